//! Cached reads and 304s against a bare axum handler that returns the same bytes.

use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::demo::{Demo, free_address};
use crate::load::{Seen, get, load};
use crate::{Failure, Figure};

const CONNECTIONS: usize = 32;
const ROUND: Duration = Duration::from_secs(4);

/// A summary that no event moves while it is measured: its window ends in the past.
async fn quiet_path(demo: &Demo) -> Result<String, Failure> {
    let region = demo.regions().await?.into_iter().next().ok_or("no regions")?;
    let day = chrono::Utc::now().date_naive() - chrono::Days::new(60);
    Ok(format!("/v1/regions/{region}/weather?grain=day&from={}&to={day}", day - chrono::Days::new(3)))
}

/// 1: the cached answer with credentials, rate limit, metrics and access log on.
pub async fn summary(demo: &Demo) -> Result<Vec<Figure>, Failure> {
    let path = quiet_path(demo).await?;
    let body = demo.get(&path).await?.bytes().await?;
    let authorization = demo.authorization();
    let request = get(&path, &[("Authorization", &authorization)]);
    compare("cached answer", demo, &body, request).await
}

/// 2: the same, answered 304.
pub async fn not_modified(demo: &Demo) -> Result<Vec<Figure>, Failure> {
    let path = quiet_path(demo).await?;
    let answer = demo.get(&path).await?;
    let tag = answer.headers()["etag"].to_str()?.to_owned();
    let authorization = demo.authorization();
    let request = get(&path, &[("Authorization", &authorization), ("If-None-Match", &tag)]);
    compare("304 answer", demo, &answer.bytes().await?, request).await
}

async fn compare(what: &str, demo: &Demo, body: &[u8], request: Vec<u8>) -> Result<Vec<Figure>, Failure> {
    let peer = Bare::start(body).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        ours.push(load(demo.address, vec![request.clone()], CONNECTIONS, ROUND).await?);
        theirs.push(load(peer.address, vec![request.clone()], CONNECTIONS, ROUND).await?);
    }
    let (ours, theirs) = (middle(ours), middle(theirs));
    if ours.failed > 0 {
        return Err(format!("{what}: {} answers failed", ours.failed).into());
    }
    let figure = |what: String, ours: String, peer: String, ratio: f64, goal: &str| Figure {
        what,
        ours,
        peer,
        ratio,
        goal: goal.into(),
    };
    let rate = |seen: &Seen| format!("{:.0}/s", seen.per_second);
    let micros = |d: Duration| format!("{} µs", d.as_micros());
    Ok(vec![
        figure(
            format!("{what}, requests/s against bare axum"),
            rate(&ours),
            rate(&theirs),
            ours.per_second / theirs.per_second,
            "at least 0.6",
        ),
        figure(
            format!("{what}, p99 against bare axum"),
            micros(ours.p99),
            micros(theirs.p99),
            ours.p99.as_secs_f64() / theirs.p99.as_secs_f64(),
            "at most 1.5",
        ),
    ])
}

fn middle(mut rounds: Vec<Seen>) -> Seen {
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    rounds.swap_remove(rounds.len() / 2)
}

/// The bare handler in a process of its own.
struct Bare {
    address: SocketAddr,
    child: Child,
    _body: tempfile::NamedTempFile,
}

impl Bare {
    async fn start(body: &[u8]) -> Result<Self, Failure> {
        let file = tempfile::NamedTempFile::new()?;
        std::fs::write(file.path(), body)?;
        let address = free_address()?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("bare").arg(file.path()).arg(address.port().to_string());
        let child = command.stdin(Stdio::piped()).spawn()?;
        for _ in 0..100 {
            if tokio::net::TcpStream::connect(address).await.is_ok() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Ok(Self { address, child, _body: file })
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
