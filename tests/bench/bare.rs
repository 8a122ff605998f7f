//! The peer of the cached reads: an axum handler that does nothing but return the same bytes.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use crate::Failure;
use crate::server::free_address;

const TAG: (header::HeaderName, &str) = (header::ETAG, "\"bare\"");

/// Serves `body` at every path, and 304 to whoever sends a tag, until standard input closes.
pub async fn serve(body: Bytes, port: u16) -> std::io::Result<()> {
    let handler = move |headers: HeaderMap| {
        let body = body.clone();
        async move {
            if headers.contains_key(header::IF_NONE_MATCH) {
                return (StatusCode::NOT_MODIFIED, [TAG]).into_response();
            }
            ([(header::CONTENT_TYPE, "application/json"), TAG], body).into_response()
        }
    };
    let router = Router::new().route("/{*path}", get(handler));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port)).await?;
    let parent_gone = async move {
        let wait = || std::io::Read::read(&mut std::io::stdin(), &mut [0]);
        let _ = tokio::task::spawn_blocking(wait).await;
    };
    axum::serve(listener, router).with_graceful_shutdown(parent_gone).await
}

/// The bare handler in a process of its own; it ends with the value.
pub struct Bare {
    pub address: SocketAddr,
    child: Child,
    _body: tempfile::NamedTempFile,
}

impl Bare {
    pub async fn start(body: &[u8]) -> Result<Self, Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), body)?;
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare").arg(file.path()).arg(address.port().to_string());
        let child = command.stdin(Stdio::piped()).spawn()?;
        let bare = Self { address, child, _body: file };
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                return Ok(bare);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err("the bare handler does not listen".into())
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
