//! A closed-loop load: so many connections, each sending its next request when the last answer is whole.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a load saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    pub ok: u64,
    pub not_modified: u64,
    pub failed: u64,
}

/// Sends `requests` in turn over `connections` for `time`. A request is the bytes of a whole HTTP/1.1 request.
/// Errors: a connection cannot be opened or breaks.
pub async fn load(
    address: SocketAddr,
    requests: Vec<Vec<u8>>,
    connections: usize,
    time: Duration,
) -> std::io::Result<Seen> {
    let requests = std::sync::Arc::new(requests);
    let started = Instant::now();
    let tasks: Vec<_> = (0..connections)
        .map(|first| tokio::spawn(one_connection(address, requests.clone(), first * 7919, started + time)))
        .collect();
    let (mut waits, mut seen) = (Vec::new(), Seen::default());
    for task in tasks {
        let (mut more, counts) = task.await??;
        waits.append(&mut more);
        seen.ok += counts.ok;
        seen.not_modified += counts.not_modified;
        seen.failed += counts.failed;
    }
    waits.sort_unstable();
    let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
    seen.per_second = waits.len() as f64 / started.elapsed().as_secs_f64();
    (seen.p50, seen.p99) = (at(0.5), at(0.99));
    Ok(seen)
}

async fn one_connection(
    address: SocketAddr,
    requests: std::sync::Arc<Vec<Vec<u8>>>,
    first: usize,
    until: Instant,
) -> std::io::Result<(Vec<Duration>, Seen)> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (mut waits, mut seen, mut buffer) = (Vec::new(), Seen::default(), Vec::with_capacity(64 << 10));
    for n in first.. {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        socket.write_all(&requests[n % requests.len()]).await?;
        match answer(&mut socket, &mut buffer).await? {
            200 => seen.ok += 1,
            304 => seen.not_modified += 1,
            _ => seen.failed += 1,
        }
        waits.push(sent.elapsed());
    }
    Ok((waits, seen))
}

/// Reads one answer whole and gives its status. Every answer of the product carries its length.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<u16> {
    buffer.clear();
    loop {
        if socket.read_buf(buffer).await? == 0 {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        let Some(head) = find(buffer, b"\r\n\r\n") else { continue };
        let text = String::from_utf8_lossy(&buffer[..head]).to_ascii_lowercase();
        let status = text.get(9..12).and_then(|s| s.parse().ok()).unwrap_or(0);
        let length: usize = text
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))
            .and_then(|n| n.trim().parse().ok())
            .unwrap_or(0);
        let length = if status == 304 { 0 } else { length };
        while buffer.len() < head + 4 + length {
            if socket.read_buf(buffer).await? == 0 {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        }
        return Ok(status);
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

/// A GET with these headers.
pub fn get(path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n");
    for (name, value) in headers {
        request += &format!("{name}: {value}\r\n");
    }
    (request + "\r\n").into_bytes()
}
