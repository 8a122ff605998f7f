//! Cached reads and 304s against a bare axum handler that returns the same bytes.

use crate::Failure;
use crate::bare::Bare;
use crate::lake::Lake;
use crate::load::{Client, Same, Seen, get, load};
use crate::server::Server;
use crate::sizes::Sizes;
use crate::table::{Figure, Goal, median};

pub const CONNECTIONS: usize = 32;

/// A summary. Nothing moves it: the lake's sources are not running.
async fn path(server: &Server) -> Result<String, Failure> {
    let region = server.regions().await?.into_iter().next().ok_or("no regions")?;
    Ok(format!("/v1/regions/{region}/summary?window=7d"))
}

/// 1: the cached answer with credentials, rate limit, metrics and access log on.
pub async fn summary(lake: &Lake, sizes: &Sizes) -> Result<[Figure; 2], Failure> {
    let server = lake.serve("").await?;
    let path = path(&server).await?;
    let body = server.get(&path).await?.bytes().await?;
    let request = get(&path, &[("Authorization", &server.authorization())]);
    let (ours, theirs) = compare(&server, &body, &same(request), sizes).await?;
    figures("cached summary", &ours, &theirs, 0.6)
}

/// 2: the same, answered 304.
pub async fn not_modified(lake: &Lake, sizes: &Sizes) -> Result<[Figure; 2], Failure> {
    let server = lake.serve("").await?;
    let path = path(&server).await?;
    let answer = server.get(&path).await?;
    let tag = answer.headers()["etag"].to_str()?.to_owned();
    let request = get(&path, &[("Authorization", &server.authorization()), ("If-None-Match", &tag)]);
    let (ours, theirs) = compare(&server, &answer.bytes().await?, &same(request), sizes).await?;
    if ours.iter().any(|seen| seen.ok > 0) {
        return Err("the summary moved while it was measured".into());
    }
    figures("304 of a summary", &ours, &theirs, 0.6)
}

fn same(request: Vec<u8>) -> Vec<Same> {
    vec![Same(request.into()); CONNECTIONS]
}

/// The rounds of both, taken in turns. Each side keeps its clients from round to round.
pub async fn compare<C: Client + Clone>(
    server: &Server,
    body: &[u8],
    clients: &[C],
    sizes: &Sizes,
) -> Result<(Vec<Seen>, Vec<Seen>), Failure> {
    let peer = Bare::start(body).await?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let (mut our_clients, mut their_clients) = (clients.to_vec(), clients.to_vec());
    let (us, them) = ((server.address, server.pid()), (peer.address, peer.pid()));
    for _ in 0..sizes.rounds {
        let (seen, clients) = load(us, our_clients, sizes.round).await?;
        our_clients = clients;
        ours.push(seen);
        let (seen, clients) = load(them, their_clients, sizes.round).await?;
        their_clients = clients;
        theirs.push(seen);
    }
    match ours.iter().map(|seen| seen.failed).sum() {
        0_u64 => Ok((ours, theirs)),
        failed => Err(format!("{failed} answers failed").into()),
    }
}

/// Requests a second and the 99th percentile of the middle rounds.
pub fn figures(what: &str, ours: &[Seen], theirs: &[Seen], goal: f64) -> Result<[Figure; 2], Failure> {
    let (us, them) = (middle(ours)?, middle(theirs)?);
    let p99 = |rounds: &[Seen]| median(rounds.iter().map(|r| r.p99.as_secs_f64() * 1000.0).collect());
    Ok([
        Figure {
            what: format!("{what}, requests/s"),
            ours: us.rate(),
            peer: format!("bare axum {}", them.rate()),
            ratio: us.per_second / them.per_second,
            goal: Goal::AtLeast(goal),
        },
        Figure::times(&format!("{what}, p99"), p99(ours), ("bare axum", p99(theirs)), 1.5),
    ])
}

fn middle(rounds: &[Seen]) -> Result<Seen, Failure> {
    let mut rounds = rounds.to_vec();
    rounds.sort_by(|a, b| a.per_second.total_cmp(&b.per_second));
    Ok(rounds.get(rounds.len() / 2).ok_or("no round")?.clone())
}
