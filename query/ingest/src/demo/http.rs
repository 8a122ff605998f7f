//! A loopback HTTP server for simulated services: just enough of HTTP, spoken by hand.
//!
//! One GET a connection, an answer with its length, packed where the client takes it. It stands for somebody else's
//! service, so nothing but the simulation depends on it.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest request line and headers.
const HEAD_LIMIT: usize = 64 << 10;

/// From the target of a GET (path and query) to a JSON text, or the reason why there is none.
pub type Answers = dyn Fn(&str) -> Result<String, String> + Send + Sync;

/// The running service; it ends when this is dropped.
pub struct Service {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Service {
    /// Serves these answers on a free port of loopback.
    pub async fn start(answers: Arc<Answers>) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answers = Arc::clone(&answers);
                tokio::spawn(async move { drop(answer(stream, answers).await) });
            }
        });
        Ok(Self { address, task })
    }

    /// Its address, without a path.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(mut stream: TcpStream, answers: Arc<Answers>) -> std::io::Result<()> {
    let head = read_head(&mut stream).await?;
    let target = head.split(' ').nth(1).unwrap_or("/").to_string();
    let packed = head.to_ascii_lowercase().contains("gzip");
    // Years of many places take a moment to compute: not on the threads that serve connections.
    let work = tokio::task::spawn_blocking(move || answers(&target));
    let (status, text) = match work.await.map_err(std::io::Error::other)? {
        Ok(text) => ("200 OK", text),
        Err(reason) => ("400 Bad Request", format!("{{\"error\": true, \"reason\": \"{reason}\"}}")),
    };
    let (encoding, bytes) =
        if packed { ("Content-Encoding: gzip\r\n", pack(&text)?) } else { ("", text.into_bytes()) };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{encoding}Connection: close\r\n\r\n",
        bytes.len()
    );
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(&bytes).await?;
    stream.shutdown().await
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<String> {
    let mut head = Vec::new();
    while !head.windows(4).any(|w| w == b"\r\n\r\n") {
        if head.len() > HEAD_LIMIT || stream.read_buf(&mut head).await? == 0 {
            return Err(std::io::ErrorKind::InvalidData.into());
        }
    }
    String::from_utf8(head).map_err(std::io::Error::other)
}

fn pack(text: &str) -> std::io::Result<Vec<u8>> {
    let mut packer = GzEncoder::new(Vec::new(), Compression::fast());
    packer.write_all(text.as_bytes())?;
    packer.finish()
}
