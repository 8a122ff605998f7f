//! A dashboard: it polls the summary of every region with the tag that it knows.

use std::time::{Duration, Instant};

use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, StatusCode};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval_at, timeout_at};

use crate::Failure;
use crate::server::Server;
use crate::table::{Figure, Goal};

/// Between two polls of a region.
const EVERY: Duration = Duration::from_secs(5);
/// Parts of the regions, which begin one after the other.
const LANES: u32 = 8;

type Ended = Result<Polls, Box<dyn std::error::Error + Send + Sync>>;

/// What became of polls that carried a tag.
#[derive(Clone, Copy, Default)]
struct Count {
    polls: u64,
    not_modified: u64,
}

impl Count {
    fn share(self) -> f64 {
        self.not_modified as f64 / self.polls.max(1) as f64
    }

    fn and(self, other: Self) -> Self {
        Self { polls: self.polls + other.polls, not_modified: self.not_modified + other.not_modified }
    }
}

/// What a dashboard saw.
#[derive(Clone, Copy, Default)]
pub struct Polls {
    /// Of regions in which something happens all the time.
    busy: Count,
    /// Of regions in which nothing does.
    quiet: Count,
}

/// One region on the dashboard.
struct Region {
    url: String,
    quiet: bool,
    tag: Option<HeaderValue>,
}

/// A dashboard at work.
pub struct Dashboard(Vec<JoinHandle<Ended>>);

impl Dashboard {
    /// Polls the regions, busy and quiet ones, until then.
    pub fn start(server: &Server, (busy, quiet): (&[String], &[String]), until: Instant) -> Self {
        let region = |(name, quiet): (&String, bool)| {
            let url = server.url(&format!("/v1/regions/{name}/summary"));
            Region { url, quiet, tag: None }
        };
        let names = quiet.iter().map(|name| (name, true)).chain(busy.iter().map(|name| (name, false)));
        let mut lanes: Vec<Vec<Region>> = (0..LANES).map(|_| Vec::new()).collect();
        names.map(region).enumerate().for_each(|(n, region)| lanes[n % LANES as usize].push(region));
        let lane = |(begin, regions)| {
            let (http, key) = (server.http.clone(), server.key.clone());
            tokio::spawn(lane(http, key, regions, (begin, until)))
        };
        let now = Instant::now();
        let begins = (0..LANES).map(|n| now + EVERY * n / LANES);
        Self(begins.zip(lanes).map(lane).collect())
    }

    /// Waits for its end. Errors: a poll was answered by neither a summary nor a 304.
    pub async fn ended(self) -> Result<Polls, Failure> {
        let mut all = Polls::default();
        for lane in self.0 {
            let polls = lane.await?.map_err(|error| -> Failure { error })?;
            all = Polls { busy: all.busy.and(polls.busy), quiet: all.quiet.and(polls.quiet) };
        }
        Ok(all)
    }
}

async fn lane(
    http: Client,
    key: String,
    mut regions: Vec<Region>,
    (begin, until): (Instant, Instant),
) -> Ended {
    let (mut polls, mut tick) = (Polls::default(), interval_at(begin.into(), EVERY));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while timeout_at(until.into(), tick.tick()).await.is_ok() {
        for region in &mut regions {
            if Instant::now() >= until {
                break;
            }
            region.poll(&http, &key, &mut polls).await?;
        }
    }
    Ok(polls)
}

impl Region {
    /// One poll. The first one knows no tag, and does not count.
    async fn poll(&mut self, http: &Client, key: &str, polls: &mut Polls) -> reqwest::Result<()> {
        let mut request = http.get(&self.url).bearer_auth(key);
        if let Some(tag) = &self.tag {
            request = request.header(IF_NONE_MATCH, tag);
        }
        let answer = request.send().await?.error_for_status()?;
        let not_modified = answer.status() == StatusCode::NOT_MODIFIED;
        let before = match answer.headers().get(ETAG).cloned() {
            Some(tag) => self.tag.replace(tag),
            None => self.tag.clone(),
        };
        answer.bytes().await?;
        if before.is_some() {
            let count = if self.quiet { &mut polls.quiet } else { &mut polls.busy };
            *count = count.and(Count { polls: 1, not_modified: u64::from(not_modified) });
        }
        Ok(())
    }
}

impl Polls {
    /// Share of 304s where nothing had happened since the poll before.
    pub fn figure(&self, regions: usize, rate: f64) -> Figure {
        let (share, all) = (self.quiet.share(), self.quiet.and(self.busy));
        let seconds = EVERY.as_secs();
        Figure {
            what: format!(
                "304s of a dashboard that polls {regions} regions each {seconds} s at {rate:.0} events/s, of its polls of \
                 regions without an event"
            ),
            ours: format!("{:.1} % of {}", share * 100.0, self.quiet.polls),
            peer: format!("all of them (of all {} polls {:.1} %)", all.polls, all.share() * 100.0),
            ratio: share,
            goal: Goal::AtLeast(0.98),
        }
    }
}
