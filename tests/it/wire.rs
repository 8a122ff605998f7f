//! A bare connection, for requests that no HTTP client would send.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longer than any answer takes here.
const LONG: Duration = Duration::from_secs(30);

pub struct Wire(TcpStream);

impl Wire {
    pub async fn to(url: &str) -> Self {
        Self(TcpStream::connect(url.trim_start_matches("http://")).await.unwrap())
    }

    /// Sends as much as is taken: who refuses may close before the end.
    pub async fn send(mut self, text: &str) -> Self {
        let _ = self.0.write_all(text.as_bytes()).await;
        self
    }

    /// Sends no more, and still listens.
    pub async fn end(mut self) -> Self {
        let _ = self.0.shutdown().await;
        self
    }

    /// Waits until an answer begins.
    pub async fn answered(&mut self) {
        let first = tokio::time::timeout(LONG, self.0.read_u8()).await;
        assert!(matches!(first, Ok(Ok(b'H'))), "{first:?}");
    }

    /// Everything that comes until the server closes the connection.
    pub async fn closed(mut self) -> String {
        let mut heard = Vec::new();
        let closed = tokio::time::timeout(LONG, self.0.read_to_end(&mut heard)).await.is_ok();
        let heard = String::from_utf8_lossy(&heard).into_owned();
        assert!(closed, "the connection is still open: {heard}");
        heard
    }
}

/// Status and reason of each answer.
pub fn statuses(heard: &str) -> Vec<&str> {
    heard.split("HTTP/1.1 ").skip(1).filter_map(|answer| answer.lines().next()).collect()
}
