//! Cached reads over many regions and customers while events arrive and are committed every two seconds.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::Failure;
use crate::cached::{CONNECTIONS, compare, figures};
use crate::lake::Lake;
use crate::load::{Client, Seen, get, header};
use crate::sales::Random;
use crate::server::Server;
use crate::sizes::Sizes;
use crate::table::{Figure, Goal};

/// Events of a push, each of another region; source D commits what has come every two seconds.
const EVENTS: usize = 20;
const YEARS: usize = 1;

/// 8: half of the customers poll with the tags they know, half ask without.
pub async fn under_commits(sizes: &Sizes) -> Result<Vec<Figure>, Failure> {
    let (_lake, server) = Lake::live(sizes.mixed_regions, YEARS).await?;
    let regions = server.regions().await?;
    let paths: Arc<[String]> = regions.iter().flat_map(|region| questions(region)).collect();
    let tags = warm(&server, &paths).await?;
    let body = server.get(&paths[0]).await?.bytes().await?;
    let mut keys = Vec::new();
    for n in 0..sizes.mixed_customers {
        keys.push(server.customer(&format!("mixed_{n}")).await?);
    }
    let clients: Vec<Visitor> = (0..CONNECTIONS).map(|n| Visitor::new(n, &paths, &tags, &keys)).collect();
    let (before, pushing) = (commits(&server).await?, push(&server, regions));
    let seen = compare(&server, &body, &clients, sizes).await;
    pushing.abort();
    let (ours, theirs) = seen?;
    let after = commits(&server).await?;
    let span = sizes.round.as_secs_f64() * 2.0 * sizes.rounds as f64;
    let what = format!(
        "cached reads of {} regions by {} customers, {} commits in {span:.0} s",
        regions_of(&paths),
        keys.len(),
        after - before
    );
    let [rate, _] = figures(&what, &ours, &theirs, 0.5)?;
    Ok(vec![rate, share(&ours, &theirs)])
}

/// Most ask for the summary.
fn questions(region: &str) -> [String; 3] {
    let summary = format!("/v1/regions/{region}/summary");
    [
        format!("{summary}?window=7d"),
        format!("{summary}?window=30d"),
        format!("/v1/regions/{region}/weather?grain=month"),
    ]
}

fn regions_of(paths: &[String]) -> usize {
    paths.len() / questions("").len()
}

/// Asks everything once: the tags.
async fn warm(server: &Server, paths: &[String]) -> Result<Vec<String>, Failure> {
    let mut tags = Vec::with_capacity(paths.len());
    for path in paths {
        tags.push(server.get(path).await?.headers()["etag"].to_str()?.to_owned());
    }
    Ok(tags)
}

/// The version of the market's days: it moves with every commit of events.
async fn commits(server: &Server) -> Result<i64, Failure> {
    let table: Value = server.get("/v1/tables/market/daily").await?.json().await?;
    Ok(table["data"]["version"].as_i64().ok_or("a table has a version")?)
}

/// Pushes events twice in the time of a commit until it is aborted.
fn push(server: &Server, regions: Vec<String>) -> JoinHandle<()> {
    let (http, url, key) = (server.http.clone(), server.url("/v1/events/d"), server.admin_key.clone());
    tokio::spawn(async move {
        let (mut random, mut tick) = (Random(11), tokio::time::interval(Duration::from_secs(1)));
        for n in 0_u64.. {
            tick.tick().await;
            let region = |random: &mut Random| &regions[random.below(regions.len() as u64) as usize];
            let event = |i: usize, region: &str| {
                json!({"event_id": format!("bench-{n}-{i}"), "event_time": Utc::now(), "region_id": region,
                       "price": 100.0, "interest": 50.0})
            };
            let events: Vec<Value> = (0..EVENTS / 2).map(|i| event(i, region(&mut random))).collect();
            let pushed = http.post(&url).bearer_auth(&key).json(&events).send().await;
            if !pushed.is_ok_and(|answer| answer.status().is_success()) {
                eprintln!("events were not taken");
            }
        }
    })
}

/// One connection: customers in turn, questions at random.
#[derive(Clone)]
struct Visitor {
    paths: Arc<[String]>,
    /// The newest tag known of each question.
    tags: Vec<String>,
    /// `Bearer …`, and whether this customer keeps tags.
    customers: Vec<(String, bool)>,
    random: Random,
    request: Vec<u8>,
    asked: usize,
}

impl Visitor {
    fn new(n: usize, paths: &Arc<[String]>, tags: &[String], keys: &[String]) -> Self {
        let customers = keys.iter().enumerate().map(|(i, key)| (format!("Bearer {key}"), i % 2 == 0));
        Self {
            paths: Arc::clone(paths),
            tags: tags.to_vec(),
            customers: customers.collect(),
            random: Random(n as u64 * 7919 + 1),
            request: Vec::new(),
            asked: 0,
        }
    }
}

impl Client for Visitor {
    fn request(&mut self) -> &[u8] {
        self.asked = self.random.below(self.paths.len() as u64) as usize;
        let (bearer, polls) = &self.customers[self.random.below(self.customers.len() as u64) as usize];
        let (bearer, tag) =
            (("Authorization", bearer.as_str()), ("If-None-Match", self.tags[self.asked].as_str()));
        let headers = if *polls { &[bearer, tag][..] } else { &[bearer][..] };
        self.request = get(&self.paths[self.asked], headers);
        &self.request
    }

    fn answered(&mut self, _: u16, head: &[u8]) {
        if let Some(tag) = header(head, "etag").and_then(|tag| std::str::from_utf8(tag).ok())
            && tag != self.tags[self.asked]
        {
            tag.clone_into(&mut self.tags[self.asked]);
        }
    }
}

/// Share of 304s among all answers; the peer says 304 to everyone who sends a tag.
fn share(ours: &[Seen], theirs: &[Seen]) -> Figure {
    let share = |rounds: &[Seen]| {
        let known: u64 = rounds.iter().map(|seen| seen.not_modified).sum();
        known as f64 / rounds.iter().map(Seen::answers).sum::<u64>().max(1) as f64
    };
    let (us, them) = (share(ours), share(theirs));
    Figure {
        what: "share of 304s in it (half of the requests carry a tag)".into(),
        ours: format!("{:.1} %", us * 100.0),
        peer: format!("every tag {:.1} %", them * 100.0),
        ratio: us / them,
        goal: Goal::AtLeast(0.98),
    }
}
