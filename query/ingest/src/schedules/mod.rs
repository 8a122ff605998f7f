//! What runs by the clock (query/ingest/src/schedules).
//!
//! ```text
//! lake.toml, sources, model headers ─▶ declared in the catalog ─ due ─▶ plan ─▶ job `schedule:<name>:<planned time>` ─▶ jobs
//!                                                                │
//!                                       each node looks; the job's key makes a planned time one job
//! ```
//! Absent on purpose: what a run does (that is `jobs::Pipelines`), and the sources' own rhythm (`every`).

mod plan;
mod timetable;

use std::time::Duration;

use catalog::{Catalog, NewJob, Schedule};
use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::json;
use tokio_util::sync::CancellationToken;

pub use plan::{Plan, plan};
pub use timetable::Timetable;

use crate::jobs::{RUN, lane};
use crate::lakefile::{Lakefile, ScheduleSpec};

/// How often a node looks whether a planned time has come.
const LOOK: Duration = Duration::from_secs(1);
/// How often a run that something passing stands in the way of is begun.
const ATTEMPTS: i64 = 5;

/// The clock of a node. Cheap to clone.
#[derive(Clone)]
pub struct Clock {
    catalog: Catalog,
}

impl Clock {
    /// Makes the lake's schedules those of the catalog.
    /// - Errors: the catalog's; what is wrong with a schedule was said when the lake was read.
    pub async fn open(
        lakefile: &Lakefile,
        catalog: Catalog,
        now: DateTime<Utc>,
    ) -> Result<Self, catalog::Error> {
        let declared: Vec<Schedule> =
            lakefile.schedules.iter().map(|(name, spec)| declared(name, spec, now)).collect();
        catalog.schedules().declare(&declared, now).await?;
        Ok(Self { catalog })
    }

    /// Looks each second until `stop`.
    pub async fn tick(self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            if let Err(error) = self.look(Utc::now()).await {
                tracing::warn!(%error, "the schedules cannot be looked at now");
            }
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Queues what is due at `now`. Again, or on two nodes at once, gives the same jobs.
    /// - Shape: how many planned times this call moved past.
    /// - Errors: the catalog's; the next look goes on from there.
    pub async fn look(&self, now: DateTime<Utc>) -> Result<usize, catalog::Error> {
        let mut fired = 0;
        for schedule in self.catalog.schedules().due(now).await? {
            let Ok(times) = Timetable::parse(&schedule.cron, &schedule.timezone) else { continue };
            let plan = plan(&schedule, &times, now);
            for planned in &plan.runs {
                self.catalog.jobs().enqueue(job(&schedule, *planned, now), now).await?;
            }
            lake::failpoint("schedule.after-job");
            if self.catalog.schedules().fired(&schedule, plan.runs.last().copied(), plan.next, now).await? {
                fired += plan.runs.len();
            }
        }
        Ok(fired)
    }
}

fn declared(name: &str, spec: &ScheduleSpec, now: DateTime<Utc>) -> Schedule {
    Schedule {
        name: name.to_string(),
        cron: spec.cron.clone(),
        timezone: spec.timezone.clone(),
        pipeline: spec.run.clone(),
        catch_up: spec.catch_up,
        enabled: spec.enabled,
        next_run_at: spec.timetable().ok().and_then(|times| times.after(now)),
        fired_at: None,
    }
}

/// The key of the job of a planned time; who gives it to a verb means the same job.
pub fn key(schedule: &str, planned: DateTime<Utc>) -> String {
    format!("schedule:{schedule}:{}", planned.to_rfc3339_opts(SecondsFormat::Secs, true))
}

fn job(schedule: &Schedule, planned: DateTime<Utc>, now: DateTime<Utc>) -> NewJob {
    let payload = json!({"pipeline": schedule.pipeline, "schedule": schedule.name, "planned_at": planned});
    NewJob {
        key: Some(key(&schedule.name, planned)),
        lane: Some(lane(RUN, &schedule.pipeline)),
        max_attempts: ATTEMPTS,
        ..NewJob::new(RUN, payload, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use database::testing::Scratch;

    async fn catalog(scratch: &Scratch) -> Catalog {
        Catalog::open(scratch.connect_again().await, catalog::Config::default()).await.unwrap()
    }

    #[tokio::test]
    async fn two_nodes_make_one_job_of_a_planned_time_and_a_restart_catches_up() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        for scratch in database::testing::each().await {
            let spec: ScheduleSpec = toml::from_str(
                "cron = \"15 6 * * *\"\ntimezone = \"Europe/Rome\"\nrun = \"a\"\ncatch_up = \"each\"",
            )
            .unwrap();
            let mut lakefile = Lakefile::clone(&Lakefile::builtin().unwrap());
            lakefile.schedules.insert("early".into(), spec);
            let began = at("2026-02-01T00:00:00Z");
            let one = Clock::open(&lakefile, catalog(&scratch).await, began).await.unwrap();
            let two = Clock::open(&lakefile, catalog(&scratch).await, began).await.unwrap();
            assert_eq!(one.look(at("2026-02-01T05:14:00Z")).await.unwrap(), 0);
            let now = at("2026-02-01T05:15:01Z");
            let (here, there) = tokio::join!(one.look(now), two.look(now));
            assert_eq!(here.unwrap() + there.unwrap(), 1);
            // Both are away for two days.
            let back = at("2026-02-03T12:00:00Z");
            let three = Clock::open(&lakefile, catalog(&scratch).await, back).await.unwrap();
            assert_eq!(three.look(back).await.unwrap(), 2);
            let jobs = one.catalog.jobs().list_platform(None, 9, None).await.unwrap();
            let mut planned: Vec<_> =
                jobs.iter().map(|job| job.payload["planned_at"].as_str().unwrap()).collect();
            planned.sort_unstable();
            assert_eq!(planned, ["2026-02-01T05:15:00Z", "2026-02-02T05:15:00Z", "2026-02-03T05:15:00Z"]);
        }
    }
}
