//! Cached reads of one customer while another sends statements that want all of the processor, the memory and the disk.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::RETRY_AFTER;
use serde_json::json;
use tokio::task::JoinSet;

use crate::Failure;
use crate::lake::Lake;
use crate::load::{Paced, Same, get, load};
use crate::server::Server;
use crate::sizes::Sizes;
use crate::table::{Figure, median, millis};

const READERS: usize = 4;
/// Behind each answer: a wall of dashboards does not use the processors up by itself.
const PAUSE: Duration = Duration::from_millis(2);
/// As many as one workspace may run at a time, and more that wait.
const BOMBERS: usize = 6;
/// Processor, memory, disk, and one that is refused at once.
const BOMBS: [&str; 4] = [
    "SELECT sum((a.hours * b.hours + c.hours) % 7) AS s FROM weather.daily a \
     JOIN weather.daily b ON a.region_id = b.region_id JOIN weather.daily c ON b.region_id = c.region_id",
    "SELECT array_agg(concat(a.origin, b.region_id)) AS all FROM weather.daily a \
     JOIN weather.daily b ON a.region_id = b.region_id",
    "SELECT a.day, b.day AS other FROM weather.daily a JOIN weather.daily b ON a.region_id = b.region_id \
     ORDER BY a.wind_speed_mean * b.wind_speed_mean, other",
    "SELECT length(repeat('x', 2000000000)) AS n",
];
/// The rate that a key has by default: who has used it up comes again when told to.
const SETTINGS: &str = "[queries]\ninline_ms = 2000\njob_secs = 5\n";

/// The 99th percentile of readers that pause, and of readers that do not.
pub async fn beside(lake: &Lake, sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    let server = lake.serve_limited(SETTINGS).await?;
    let region = server.regions().await?.into_iter().next().ok_or("no regions")?;
    let path = format!("/v1/regions/{region}/summary?window=7d");
    server.get(&path).await?.bytes().await?;
    let request = get(&path, &[("Authorization", &server.authorization())]);
    let (same, bomber) = (Same(request.into()), server.customer("bomber").await?);
    let mut figures = Vec::new();
    for (pause, words) in [(PAUSE, "2 ms between questions"), (Duration::ZERO, "no pause")] {
        let readers = vec![Paced(same.clone(), pause); READERS];
        let (idle, bombed) = both(&server, readers, &bomber, sizes).await?;
        let what = format!(
            "p99 of a cached summary while another customer sends {BOMBERS} bombs at a time ({READERS} readers, {words})"
        );
        figures.push(Figure::times(&what, bombed, ("idle", idle), 3.0));
    }
    Ok(figures)
}

/// Medians of the 99th percentiles of both states, taken in turns.
async fn both(
    server: &Server,
    mut readers: Vec<Paced>,
    bomber: &str,
    sizes: &Sizes,
) -> Result<(f64, f64), Failure> {
    let us = (server.address, server.pid());
    let (mut idle, mut bombed, answers) = (Vec::new(), Vec::new(), Answers::default());
    for _ in 0..sizes.rounds {
        let (seen, again) = load(us, readers, sizes.round).await?;
        idle.push(millis(seen.p99));
        let bombs = send(server, bomber, &answers);
        tokio::time::sleep(sizes.round / 4).await;
        let (seen, again) = load(us, again, sizes.round).await?;
        bombed.push(millis(seen.p99));
        drop(bombs);
        readers = again;
        tokio::time::sleep(sizes.round / 4).await;
    }
    eprintln!("bombs were answered {:?}", answers.lock().unwrap_or_else(PoisonError::into_inner));
    Ok((median(idle), median(bombed)))
}

/// How many answers of each status the bombs had.
type Answers = Arc<Mutex<BTreeMap<u16, u64>>>;

/// Sends bombs, each as soon as the last was answered, until the set is dropped.
fn send(server: &Server, key: &str, answers: &Answers) -> JoinSet<()> {
    let mut bombers = JoinSet::new();
    for n in 0..BOMBERS {
        let (http, url, key) = (server.http.clone(), server.url("/v1/sql"), key.to_owned());
        let answers = Arc::clone(answers);
        bombers.spawn(async move {
            for statement in BOMBS.iter().cycle().skip(n) {
                let sent = http.post(&url).bearer_auth(&key).json(&json!({ "sql": statement })).send().await;
                let Ok(answer) = sent else { return };
                count(&answers, answer.status().as_u16());
                let wait =
                    answer.headers().get(RETRY_AFTER).and_then(|secs| secs.to_str().ok()?.parse().ok());
                tokio::time::sleep(Duration::from_secs(wait.unwrap_or(0))).await;
            }
        });
    }
    bombers
}

fn count(answers: &Answers, status: u16) {
    *answers.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
}
