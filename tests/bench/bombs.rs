//! Cached reads of one customer while another sends statements that want all memory and all time.

use serde_json::json;
use tokio::task::JoinSet;

use crate::Failure;
use crate::lake::Lake;
use crate::load::{Same, get, load};
use crate::server::Server;
use crate::sizes::Sizes;
use crate::table::{Figure, median, millis};

/// A wall of dashboards that does not use the processors up by itself.
const READERS: usize = 4;
/// As many as one workspace may run at a time, and more that wait.
const BOMBERS: usize = 6;
const BOMBS: [&str; 4] = [
    "SELECT count(*) FROM range(100000) a(x) CROSS JOIN range(100000) b(y) WHERE x * y = 7",
    "SELECT length(repeat('x', 2000000000))",
    "SELECT array_agg(x) FROM range(1000000000) t(x)",
    "WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r) SELECT max(n) FROM r",
];

/// The 99th percentile of both states, taken in turns.
pub async fn beside(lake: &Lake, sizes: &Sizes) -> Result<Figure, Failure> {
    let server = lake.serve("[queries]\ninline_ms = 2000\njob_secs = 5\n").await?;
    let region = server.regions().await?.into_iter().next().ok_or("no regions")?;
    let path = format!("/v1/regions/{region}/summary?window=7d");
    server.get(&path).await?.bytes().await?;
    let request = get(&path, &[("Authorization", &server.authorization())]);
    let mut readers = vec![Same(request.into()); READERS];
    let (bomber, us) = (server.customer("bomber").await?, (server.address, server.pid()));
    let (mut idle, mut bombed) = (Vec::new(), Vec::new());
    for _ in 0..sizes.rounds {
        let (seen, again) = load(us, readers, sizes.round).await?;
        idle.push(millis(seen.p99));
        let bombs = send(&server, &bomber);
        tokio::time::sleep(sizes.round / 4).await;
        let (seen, again) = load(us, again, sizes.round).await?;
        bombed.push(millis(seen.p99));
        drop(bombs);
        readers = again;
        tokio::time::sleep(sizes.round / 4).await;
    }
    let what = format!("p99 of a cached summary while another customer sends {BOMBERS} bombs at a time");
    Ok(Figure::times(&what, median(bombed), ("idle", median(idle)), 3.0))
}

/// Sends bombs, each as soon as the last was refused, until the set is dropped.
fn send(server: &Server, key: &str) -> JoinSet<()> {
    let mut bombers = JoinSet::new();
    for n in 0..BOMBERS {
        let (http, url, key) = (server.http.clone(), server.url("/v1/sql"), key.to_owned());
        bombers.spawn(async move {
            for statement in BOMBS.iter().cycle().skip(n) {
                let sent = http.post(&url).bearer_auth(&key).json(&json!({ "sql": statement })).send().await;
                if sent.is_err() {
                    return;
                }
            }
        });
    }
    bombers
}
