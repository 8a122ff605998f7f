//! The operator's jobs: a source or a model run, days filled from an archive, everything computed anew. Queued by the
//! clock and by verbs alike, so that neither runs what the other does.

use std::sync::Arc;

use async_trait::async_trait;
use catalog::{Job, NewJob, Outcome, Run};
use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::Handler;
use crate::sources::weather::{Grain, Range, Wanted};
use crate::sources::{Arrivals, Maintained, Progress, SourceError};
use crate::words::chain;

/// Lands what a source has, computes a model anew, or sees to the tables.
pub const RUN: &str = "run";
/// Fills past days of a source from its archive.
pub const BACKFILL: &str = "backfill";
/// Computes every model anew.
pub const REBUILD: &str = "rebuild";
/// The run that is no source and no model.
pub const MAINTENANCE: &str = "maintenance";

/// What a rebuild of everything begins with.
const RAW: &str = "raw";

/// How often a job that a verb asked for is begun when the process under it dies: a backfill of years goes on each time.
const ATTEMPTS: i64 = 100;
/// Before the second attempt of a scheduled run; twice as long before each further one.
const BACKOFF: TimeDelta = TimeDelta::seconds(30);

/// Jobs that must not run at the same time have the same lane.
pub fn lane(kind: &str, what: &str) -> String {
    format!("{kind}:{what}")
}

/// What a verb asks for.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    kind: &'static str,
    what: String,
    payload: Value,
}

impl Request {
    /// One run of a source, a model's table or `maintenance`; `day` stands for now.
    pub fn run(name: &str, day: Option<NaiveDate>) -> Self {
        Self { kind: RUN, what: name.to_string(), payload: json!({"pipeline": name, "for": day}) }
    }

    /// Days from a source's archive, both ends included; `again`: also those that are there.
    pub fn backfill(source: &str, (from, to): (NaiveDate, NaiveDate), again: bool) -> Self {
        let payload = json!({"pipeline": source, "from": from, "to": to, "again": again});
        Self { kind: BACKFILL, what: source.to_string(), payload }
    }

    /// Every model's table, or everything after the raw area.
    pub fn rebuild(from_raw: bool) -> Self {
        let what = if from_raw { RAW } else { "models" };
        Self { kind: REBUILD, what: what.into(), payload: json!({"pipeline": what}) }
    }

    /// Whether nobody may be served meanwhile.
    pub fn needs_the_lake_alone(&self) -> bool {
        self.what == RAW
    }

    /// The job that does it; the same key is the same job.
    pub fn job(&self, key: Option<String>, now: DateTime<Utc>) -> NewJob {
        let new = NewJob::new(self.kind, self.payload.clone(), now);
        // Both kinds of rebuild write the same tables.
        let what = if self.kind == REBUILD { "" } else { &self.what };
        NewJob { key, lane: Some(lane(self.kind, what)), max_attempts: ATTEMPTS, ..new }
    }

    /// Whether a job was left behind in the middle of such work.
    pub fn is_unfinished(job: &Job) -> bool {
        job.kind == REBUILD
            && job.payload["pipeline"] == RAW
            && !job.status.is_final()
            && job.started_at.is_some()
    }

    /// Whether a job with the same key does what is asked for here: it may have been queued by a schedule, which says no day
    /// where a verb says that there is none.
    pub fn is_of(&self, job: &Job) -> bool {
        let same = |key: &str| job.payload[key] == self.payload[key];
        job.kind == self.kind && ["pipeline", "from", "to", "again", "for"].into_iter().all(same)
    }
}

/// Does the jobs of one of the kinds above.
pub struct Pipelines {
    kind: &'static str,
    arrivals: Arrivals,
}

impl Pipelines {
    /// A handler for each kind.
    pub fn handlers(arrivals: &Arrivals) -> Vec<Arc<dyn Handler>> {
        let one = |kind| Arc::new(Self { kind, arrivals: arrivals.clone() }) as Arc<dyn Handler>;
        [RUN, BACKFILL, REBUILD].map(one).to_vec()
    }

    async fn work(&self, job: &Job, run: &Run, now: DateTime<Utc>) -> Result<Value, SourceError> {
        let progress = Told(run);
        let name = job.payload["pipeline"].as_str().unwrap_or_default();
        // A rebuild from the raw area makes good itself what was left.
        if self.kind != REBUILD || name != RAW {
            self.arrivals.lead(now).await?;
        }
        match self.kind {
            RUN if name == MAINTENANCE => {
                let Maintained { tables, failed } = self.arrivals.maintain(&progress, now).await?;
                Ok(json!({"source": name, "tables": tables, "failed": failed}))
            }
            RUN => {
                let at = day(job, "for").map_or(now, |day| end_of(day, now));
                Ok(json!(self.arrivals.run_for(name, &progress, at).await?))
            }
            BACKFILL => {
                let days = day(job, "from").zip(day(job, "to"));
                let (from, to) = days.ok_or_else(|| SourceError::refused("a backfill without days"))?;
                let again = job.payload["again"] == true;
                let wanted = Wanted { range: Range { from, to }, run: Some(job.id), again };
                let grains = [Grain::Hour, Grain::Day];
                Ok(json!(self.arrivals.backfill_for(name, wanted, &grains, &progress, now).await?))
            }
            _ if name == RAW => Ok(json!({"rebuilt": self.arrivals.rebuild_from_raw(&progress, now).await?})),
            _ => Ok(json!({"rebuilt": self.arrivals.rebuild_all(&progress, now).await?})),
        }
    }

    fn outcome(&self, done: Result<Value, SourceError>, job: &Job, now: DateTime<Utc>) -> Outcome {
        match done {
            Ok(done) => Outcome::Succeeded { result: Some(done), meta: None },
            Err(SourceError::Stopped) => Outcome::Cancelled,
            // The node that works at the sources takes it.
            Err(error @ SourceError::Elsewhere { .. }) => {
                Outcome::Retry { at: now + TimeDelta::seconds(1), problem: self.problem(&error) }
            }
            Err(error) if error.is_transient() && job.payload.get("schedule").is_some() => {
                Outcome::Retry { at: now + wait(&error, job.attempts), problem: self.problem(&error) }
            }
            Err(error) => Outcome::Failed { problem: self.problem(&error) },
        }
    }

    fn problem(&self, error: &SourceError) -> Value {
        let (code, detail) = match error {
            SourceError::Unknown { .. } => {
                let (sources, models) = self.arrivals.names();
                let (sources, models) = (sources.join(", "), models.join(", "));
                ("unknown-source", format!("{error}; sources: {sources}; models: {models}"))
            }
            error => ("job-failed", chain(error)),
        };
        json!({"code": code, "detail": detail, "transient": error.is_transient()})
    }
}

#[async_trait]
impl Handler for Pipelines {
    fn kind(&self) -> &'static str {
        self.kind
    }

    async fn may_work(&self) -> bool {
        self.arrivals.may_lead().await
    }

    async fn run(&self, job: &Job, run: &Run) -> Outcome {
        let done = self.work(job, run, Utc::now()).await;
        if let Err(error) = &done {
            tracing::warn!(job = %job.id, kind = job.kind, error = %chain(error), "an operator's job did not end well");
        }
        self.outcome(done, job, Utc::now())
    }
}

/// Progress in the job's row, and its cancellation.
struct Told<'a>(&'a Run);

impl Progress for Told<'_> {
    fn step(&self, _what: &str, done: u64, of: u64) {
        self.0.progress(100.0 * done as f64 / of.max(1) as f64, 0);
    }

    fn stopped(&self) -> bool {
        self.0.cancelled().is_cancelled()
    }
}

fn day(job: &Job, key: &str) -> Option<NaiveDate> {
    job.payload.get(key)?.as_str()?.parse().ok()
}

/// The last moment of a UTC day, or now for today.
fn end_of(day: NaiveDate, now: DateTime<Utc>) -> DateTime<Utc> {
    let next = day.succ_opt().unwrap_or(day).and_time(NaiveTime::MIN).and_utc();
    // Midnight is of the next day: what comes without a date would be dated by that.
    (next - TimeDelta::microseconds(1)).min(now)
}

/// Before the next attempt: longer each time, and as long at least as a service asks for.
fn wait(error: &SourceError, attempts: i64) -> TimeDelta {
    let asked = error.patience().and_then(|asked| TimeDelta::from_std(asked).ok());
    backoff(attempts).max(asked.unwrap_or_default())
}

fn backoff(attempts: i64) -> TimeDelta {
    BACKOFF * (1 << attempts.clamp(1, 6).saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_stands_for_its_last_moment_and_today_for_now() {
        let now: DateTime<Utc> = "2026-02-03T12:00:00Z".parse().unwrap();
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        assert_eq!(end_of(day("2026-02-01"), now).to_rfc3339(), "2026-02-01T23:59:59.999999+00:00");
        assert_eq!(end_of(day("2026-02-03"), now), now);
    }

    #[test]
    fn attempts_are_further_and_further_apart() {
        let waits: Vec<i64> = (1..=8).map(|attempt| backoff(attempt).num_seconds()).collect();
        assert_eq!(waits, [30, 60, 120, 240, 480, 960, 960, 960]);
        let asked = |retry_after_secs| SourceError::Unavailable { reason: String::new(), retry_after_secs };
        let waits: Vec<i64> =
            [None, Some(10), Some(600)].map(asked).iter().map(|e| wait(e, 2).num_seconds()).collect();
        assert_eq!(waits, [60, 60, 600]);
    }
}
