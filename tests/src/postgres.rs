//! A PostgreSQL database for a test: the server that `LAKEFRONT_TEST_POSTGRES` names, or one started here.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use crate::require::skip;

/// A server on which the tests make their databases.
pub struct Postgres {
    base: String,
}

impl Postgres {
    /// The one server of this test run; `None` (and a message) where there is none to be had.
    pub fn shared() -> Option<&'static Self> {
        static SERVER: OnceLock<Option<Postgres>> = OnceLock::new();
        let server = SERVER.get_or_init(|| named().or_else(started));
        if server.is_none() {
            skip("no PostgreSQL: LAKEFRONT_TEST_POSTGRES names none and no initdb was found");
        }
        server.as_ref()
    }

    /// Makes an empty database and gives its URL.
    pub fn database(&self, name: &str) -> std::io::Result<String> {
        let url = format!("{}/postgres", self.base);
        let made = Command::new(program("psql"))
            .args([&url, "-q", "-c", &format!("CREATE DATABASE \"{name}\"")])
            .status()?;
        if !made.success() {
            return Err(std::io::Error::other(format!("CREATE DATABASE {name} failed")));
        }
        Ok(format!("{}/{name}", self.base))
    }
}

fn named() -> Option<Postgres> {
    let url = std::env::var("LAKEFRONT_TEST_POSTGRES").ok()?;
    Some(Postgres { base: url.trim_end_matches('/').to_owned() })
}

/// Starts a server in a temporary folder; it ends when the test process does.
fn started() -> Option<Postgres> {
    if !program("initdb").exists() {
        return None;
    }
    let folder = tempfile::Builder::new().prefix("lakefront-pg-").tempdir().ok()?.keep();
    let port = std::net::TcpListener::bind("127.0.0.1:0").ok()?.local_addr().ok()?.port();
    let script = folder.join("serve.sh");
    std::fs::write(&script, serve_script(&folder, port)).ok()?;
    open_to_others(&folder);
    as_other_user(&script)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map(std::mem::forget)
        .ok()?;
    wait_until_ready(port).then(|| Postgres { base: format!("postgres://postgres@127.0.0.1:{port}") })
}

/// The script holds the server in the foreground and stops it when its standard input, the test process, closes.
fn serve_script(folder: &Path, port: u16) -> String {
    let (data, initdb, postgres) = (folder.join("data"), program("initdb"), program("postgres"));
    format!(
        "#!/bin/sh\n'{}' -D '{data}' -U postgres -A trust --no-sync >/dev/null || exit 1\n\
         '{}' -D '{data}' -p {port} -k '{folder}' -c listen_addresses=127.0.0.1 -c fsync=off -c max_connections=200 &\n\
         server=$!\ncat >/dev/null\nkill -INT $server\nwait $server\nrm -rf '{folder}'\n",
        initdb.display(),
        postgres.display(),
        data = data.display(),
        folder = folder.display(),
    )
}

/// PostgreSQL will not run as root, so root starts it as the user that its package made.
fn as_other_user(script: &Path) -> Command {
    let root = Command::new("id").arg("-u").output().is_ok_and(|o| o.stdout.starts_with(b"0\n"));
    let mut command = Command::new(if root { "setpriv" } else { "sh" });
    if root {
        command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "sh"]);
    }
    command.arg(script);
    command
}

fn open_to_others(folder: &Path) {
    let _ = Command::new("chown").arg("-R").arg("postgres").arg(folder).status();
}

fn wait_until_ready(port: u16) -> bool {
    (0..150).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(100));
        Command::new(program("pg_isready"))
            .args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()])
            .status()
            .is_ok_and(|s| s.success())
    })
}

/// A binary of the newest installed PostgreSQL, else the one on the path.
fn program(name: &str) -> PathBuf {
    let mut versions: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    versions.sort();
    versions.pop().unwrap_or_else(|| PathBuf::from(name))
}
