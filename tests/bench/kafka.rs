//! Events of a Kafka topic: how many a second reach the committed table, and how soon one is in the summary.

use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{SecondsFormat, Utc};
use harness::{Kafka, Sender};
use serde_json::Value;

use crate::Failure;
use crate::dashboard::Dashboard;
use crate::lake::Lake;
use crate::sales::Random;
use crate::server::Server;
use crate::sizes::Sizes;
use crate::table::{Figure, Goal, millis};

const TOPIC: &str = "stream";
const YEARS: usize = 1;
/// What is asked for, events a second.
const GOAL: f64 = 20_000.0;
/// Regions that are looked at; no other event speaks of them.
const WATCHED: usize = 40;
/// Of so many other regions one has no event.
const QUIET: usize = 5;
/// Between two looks at one of them.
const LOOK: Duration = Duration::from_millis(50);
/// Between two portions of the stream.
const TICK: Duration = Duration::from_millis(50);

/// 9: a backlog, then a steady stream.
pub async fn through_a_topic(sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    if !cfg!(feature = "kafka") {
        eprintln!("kafka: left out, built without `--features kafka`");
        return Ok(Vec::new());
    }
    let kafka = Kafka::start(&[TOPIC]).ok_or("no brokers")?;
    let lake = Lake::loaded(sizes.mixed_regions, YEARS).await?;
    let sender = Arc::new(kafka.sender(TOPIC)?);
    let (regions, mut stream) = (regions(&lake).await?, Stream::default());
    let (watched, others) = regions.split_at(WATCHED.min(regions.len() / 2));
    let (quiet, others) = others.split_at(others.len() / QUIET);
    let server = lake.serve_with(&source(&kafka)).await?;
    let lines = stream.lines(sizes.stream_events, others);
    let ours = backlog(&server, &sender, lines, sizes.stream_events as u64).await?;
    let (counted, seconds) = kafka.count(TOPIC)?;
    let backlog = rate(sizes.stream_events, ours, counted as f64 / seconds);
    let [latency, known] = steady(&server, &sender, stream, (watched, others, quiet), sizes).await?;
    server.stop().await?;
    Ok(vec![backlog, latency, known])
}

async fn regions(lake: &Lake) -> Result<Vec<String>, Failure> {
    let server = lake.serve("").await?;
    let regions = server.regions().await?;
    server.stop().await?;
    Ok(regions)
}

/// A source beside the lake's own D, into the same table.
fn source(kafka: &Kafka) -> String {
    format!(
        "[sources.stream]\nkind = \"events\"\ntable = \"market.events\"\nevery = \"1s\"\nevents_per_batch = 50000\n\
         remember = \"8d\"\n[sources.stream.kafka]\nservers = [\"{}\"]\ntopic = \"{TOPIC}\"\n",
        kafka.servers
    )
}

/// Events with ids of their own, one a line.
#[derive(Default)]
struct Stream {
    sent: usize,
}

impl Stream {
    fn lines(&mut self, many: usize, regions: &[String]) -> String {
        let mut random = Random(self.sent as u64 + 1);
        let region = |random: &mut Random| &regions[random.below(regions.len() as u64) as usize];
        (0..many).map(|_| self.line(region(&mut random))).collect()
    }

    fn line(&mut self, region: &str) -> String {
        self.sent += 1;
        line(&format!("stream-{}", self.sent), region)
    }
}

fn line(id: &str, region: &str) -> String {
    let now = Utc::now().to_rfc3339_opts(SecondsFormat::Millis, true);
    format!(
        "{{\"event_id\":\"{id}\",\"event_time\":\"{now}\",\"region_id\":\"{region}\",\"price\":100.0,\"interest\":50.0}}\n"
    )
}

/// Events a second, from the moment the first is handed to the brokers until the last is committed.
async fn backlog(server: &Server, sender: &Arc<Sender>, lines: String, events: u64) -> Result<f64, Failure> {
    let (began, sender) = (Instant::now(), Arc::clone(sender));
    tokio::task::spawn_blocking(move || sender.send(&lines)).await??;
    while landed(server).await? < events {
        if began.elapsed() > Duration::from_secs(300) {
            return Err("the backlog does not land".into());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(events as f64 / began.elapsed().as_secs_f64())
}

fn rate(events: usize, ours: f64, bare: f64) -> Figure {
    Figure {
        what: format!("{events} events at once, from the brokers to the committed table, events/s"),
        ours: format!("{ours:.0}/s"),
        peer: format!("limit {GOAL:.0}/s (bare consumer that counts: {bare:.0}/s)"),
        ratio: ours / GOAL,
        goal: Goal::AtLeast(1.0),
    }
}

/// Rows of the stream that are committed, by the server's own count.
async fn landed(server: &Server) -> Result<u64, Failure> {
    let metrics = server.http.get(server.url("/metrics")).bearer_auth(&server.admin_key).send().await?;
    let metrics = metrics.text().await?;
    let row = "lakefront_source_rows_total{source=\"stream\"} ";
    let found = metrics.lines().find_map(|line| line.strip_prefix(row)?.parse::<f64>().ok());
    Ok(found.unwrap_or(0.0) as u64)
}

/// Sends at the rate that is asked for, and meanwhile looks when events of watched regions are in their summaries;
/// beside that a dashboard polls the others.
async fn steady(
    server: &Server,
    sender: &Arc<Sender>,
    mut stream: Stream,
    (watched, others, quiet): (&[String], &[String], &[String]),
    sizes: &Sizes,
) -> Result<[Figure; 2], Failure> {
    let until = Instant::now() + sizes.stream_time;
    let watch = |region: &String| {
        let (http, sender, region) = (server.http.clone(), Arc::clone(sender), region.clone());
        let (url, key) = (server.url(&format!("/v1/regions/{region}/summary")), server.key.clone());
        tokio::spawn(watch(http, (url, key), sender, region, until))
    };
    let watchers: Vec<_> = watched.iter().map(watch).collect();
    let dashboard = Dashboard::start(server, (others, quiet), until);
    let (began, first) = (Instant::now(), stream.sent);
    let mut tick = tokio::time::interval(TICK);
    while Instant::now() < until {
        tick.tick().await;
        let due = (began.elapsed().as_secs_f64() * sizes.stream_rate as f64) as usize;
        let many = due.saturating_sub(stream.sent - first);
        let lines = stream.lines(many, others);
        let sender = Arc::clone(sender);
        tokio::task::spawn_blocking(move || sender.send(&lines)).await??;
    }
    let rate = (stream.sent - first) as f64 / began.elapsed().as_secs_f64();
    let mut waits = Vec::new();
    for watcher in watchers {
        waits.extend(watcher.await?.map_err(|error| -> Failure { error })?);
    }
    let known = dashboard.ended().await?.figure(others.len() + quiet.len(), rate);
    waits.sort_unstable();
    let at = |share: f64| waits.get((waits.len() as f64 * share) as usize).copied().unwrap_or_default();
    eprintln!("{} events watched, p50 {:.0} ms", waits.len(), millis(at(0.5)));
    let what = format!("event to summary at {rate:.0} events/s, p99");
    Ok([Figure::times(&what, millis(at(0.99)), ("limit", 5_000.0), 1.0), known])
}

type Waits = Result<Vec<Duration>, Box<dyn std::error::Error + Send + Sync>>;

/// Sends one event after the other, each when the one before it is in the summary: how long each took.
async fn watch(
    http: reqwest::Client,
    (url, key): (String, String),
    sender: Arc<Sender>,
    region: String,
    until: Instant,
) -> Waits {
    let events = async || {
        let answer: Value = http.get(&url).bearer_auth(&key).send().await?.json().await?;
        let latest = &answer["data"]["market"]["latest"];
        let seen = (latest["day"].to_string(), latest["events"].as_i64().unwrap_or(0));
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(seen)
    };
    let (mut waits, mut before) = (Vec::new(), events().await?);
    for n in 0.. {
        let sent = Instant::now();
        if sent >= until {
            break;
        }
        let (sender, line) = (Arc::clone(&sender), line(&format!("watched-{region}-{n}"), &region));
        tokio::task::spawn_blocking(move || sender.send(&line)).await??;
        while events().await? == before {
            tokio::time::sleep(LOOK).await;
            if sent.elapsed() > Duration::from_secs(60) {
                return Err(format!("an event of {region} does not show").into());
            }
        }
        waits.push(sent.elapsed());
        before = events().await?;
    }
    Ok(waits)
}
