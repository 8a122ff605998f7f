//! A closed-loop load: so many connections, each sending its next request when the last answer is whole.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::process;

/// One connection's side of the conversation.
pub trait Client: Send + 'static {
    /// The bytes of the next request.
    fn request(&mut self) -> &[u8];
    /// What came back: status and head.
    fn answered(&mut self, status: u16, head: &[u8]);
    /// How long it waits before it asks again.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }
}

/// Always the same request.
#[derive(Clone)]
pub struct Same(pub Arc<[u8]>);

impl Client for Same {
    fn request(&mut self) -> &[u8] {
        &self.0
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}
}

/// Always the same request, with a pause behind each answer.
#[derive(Clone)]
pub struct Paced(pub Same, pub Duration);

impl Client for Paced {
    fn request(&mut self) -> &[u8] {
        self.0.request()
    }

    fn answered(&mut self, _: u16, _: &[u8]) {}

    fn pause(&self) -> Duration {
        self.1
    }
}

/// What a load saw.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    pub per_second: f64,
    pub p50: Duration,
    pub p99: Duration,
    /// Processor time of the server for each answer.
    pub cpu: Duration,
    pub ok: u64,
    pub not_modified: u64,
    pub failed: u64,
}

impl Seen {
    /// `31000/s, 24 µs CPU each`.
    pub fn rate(&self) -> String {
        format!("{:.0}/s, {:.1} µs CPU each", self.per_second, self.cpu.as_secs_f64() * 1e6)
    }

    pub fn answers(&self) -> u64 {
        self.ok + self.not_modified + self.failed
    }
}

/// Lets each client speak over a connection of its own for `time` with the server of process `pid`.
/// Errors: a connection cannot be opened or breaks.
pub async fn load<C: Client>(
    (address, pid): (SocketAddr, u32),
    clients: Vec<C>,
    time: Duration,
) -> std::io::Result<(Seen, Vec<C>)> {
    let (started, cpu) = (Instant::now(), process::cpu(pid));
    let talk = |client| tokio::spawn(one_connection(address, client, started + time));
    let tasks: Vec<_> = clients.into_iter().map(talk).collect();
    let (mut waits, mut seen, mut clients) = (Vec::new(), Seen::default(), Vec::new());
    for task in tasks {
        let (mut more, counts, client) = task.await??;
        waits.append(&mut more);
        clients.push(client);
        seen.ok += counts.ok;
        seen.not_modified += counts.not_modified;
        seen.failed += counts.failed;
    }
    seen.per_second = waits.len() as f64 / started.elapsed().as_secs_f64();
    seen.cpu = (process::cpu(pid) - cpu).div_f64(waits.len().max(1) as f64);
    waits.sort_unstable();
    let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
    (seen.p50, seen.p99) = (at(0.5), at(0.99));
    Ok((seen, clients))
}

async fn one_connection<C: Client>(
    address: SocketAddr,
    mut client: C,
    until: Instant,
) -> std::io::Result<(Vec<Duration>, Seen, C)> {
    let mut socket = TcpStream::connect(address).await?;
    socket.set_nodelay(true)?;
    let (mut waits, mut seen, mut buffer) = (Vec::new(), Seen::default(), Vec::with_capacity(64 << 10));
    loop {
        let request = client.request();
        let sent = Instant::now();
        if sent >= until {
            return Ok((waits, seen, client));
        }
        socket.write_all(request).await?;
        let (status, head) = answer(&mut socket, &mut buffer).await?;
        waits.push(sent.elapsed());
        match status {
            200 => seen.ok += 1,
            304 => seen.not_modified += 1,
            _ => seen.failed += 1,
        }
        client.answered(status, &buffer[..head]);
        if !client.pause().is_zero() {
            tokio::time::sleep(client.pause()).await;
        }
    }
}

/// Reads one answer whole: its status and the length of its head. Every answer of the product carries its length.
async fn answer(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<(u16, usize)> {
    buffer.clear();
    let head = loop {
        more(socket, buffer).await?;
        if let Some(head) = find(buffer, b"\r\n\r\n") {
            break head;
        }
    };
    let number = |bytes: &[u8]| std::str::from_utf8(bytes).ok().and_then(|text| text.trim().parse().ok());
    let status = buffer.get(9..12).and_then(number).unwrap_or(0);
    let length = header(&buffer[..head], "content-length").and_then(number).unwrap_or(0);
    let length = if status == 304 { 0 } else { length };
    while buffer.len() < head + 4 + length {
        more(socket, buffer).await?;
    }
    Ok((u16::try_from(status).unwrap_or(0), head))
}

async fn more(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> std::io::Result<()> {
    match socket.read_buf(buffer).await? {
        0 => Err(std::io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(()),
    }
}

/// Value of a header. Both servers write names in lower case.
pub fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a [u8]> {
    let mut lines = head.split(|byte| *byte == b'\n');
    let value = lines.find_map(|line| line.strip_prefix(name.as_bytes())?.strip_prefix(b":"))?;
    Some(value.trim_ascii())
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
