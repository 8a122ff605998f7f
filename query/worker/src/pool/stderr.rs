//! The end of what a worker wrote to stderr: it tells a failed allocation from a deep stack.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::ChildStderr;
use tokio::sync::watch;

const LINES: usize = 8;
const LINE_CHARS: usize = 300;
/// The pipe of a dead process is read to its end almost at once.
const DRAIN: Duration = Duration::from_millis(500);

/// The last lines of one process.
#[derive(Clone)]
pub(super) struct LastWords {
    lines: Arc<Mutex<Vec<String>>>,
    ended: watch::Receiver<bool>,
}

impl LastWords {
    /// Reads `stderr` to its end in the background. Lines go to the log at `debug` only: a panic may quote data.
    pub(super) fn listen(pid: u32, stderr: Option<ChildStderr>) -> Self {
        let lines = Arc::new(Mutex::new(Vec::new()));
        let (done, ended) = watch::channel(false);
        let kept = lines.clone();
        tokio::spawn(async move {
            if let Some(stderr) = stderr {
                read(pid, stderr, &kept).await;
            }
            done.send_replace(true);
        });
        Self { lines, ended }
    }

    pub(super) fn text(&self) -> String {
        self.lines.lock().join("\n")
    }

    /// Resolves once the process has closed its stderr, or soon after.
    pub(super) async fn ended(&self) {
        let mut ended = self.ended.clone();
        let _late = tokio::time::timeout(DRAIN, ended.wait_for(|ended| *ended)).await;
    }
}

async fn read(pid: u32, stderr: ChildStderr, kept: &Mutex<Vec<String>>) {
    let mut reader = BufReader::new(stderr);
    let mut line = Vec::new();
    // A line without an end is read in pieces: the gateway's memory is not the worker's to fill.
    while let Ok(read) = tokio::io::AsyncReadExt::take(&mut reader, 4096).read_until(b'\n', &mut line).await {
        if read == 0 {
            return;
        }
        let text: String = String::from_utf8_lossy(&line).trim_end().chars().take(LINE_CHARS).collect();
        tracing::debug!(pid, line = %text.escape_debug(), "worker");
        let mut kept = kept.lock();
        if kept.len() == LINES {
            kept.remove(0);
        }
        kept.push(text);
        line.clear();
    }
}
