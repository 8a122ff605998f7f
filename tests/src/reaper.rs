//! Servers end with the test process, also those that tests share and nobody drops.

use std::io::Write;
use std::path::Path;
use std::process::{ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};

/// Reads `pid folder` lines until the test process closes the pipe, by whatever end; then ends those that still run.
const SCRIPT: &str = r#"trap '' INT TERM HUP
told=
while read -r pid folder; do told="$told$pid $folder
"; done
printf '%s' "$told" | while read -r pid folder; do
    grep -qs "$folder" "/proc/$pid/cmdline" && kill -9 "$pid" && rm -rf "$folder"
done"#;

/// Has the process of that id, which names `folder` in its arguments, ended with this one.
pub fn reap(pid: u32, folder: &Path) {
    static PIPE: OnceLock<Option<Mutex<ChildStdin>>> = OnceLock::new();
    let Some(pipe) = PIPE.get_or_init(start) else { return };
    if let Ok(mut pipe) = pipe.lock() {
        let _ = writeln!(pipe, "{pid} {}", folder.display());
    }
}

fn start() -> Option<Mutex<ChildStdin>> {
    let mut command = Command::new("sh");
    command.args(["-c", SCRIPT]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().ok()?.stdin.take().map(Mutex::new)
}
