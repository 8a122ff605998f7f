//! What runs by the clock: the next planned time of each schedule, shared by all nodes.
//!
//! ```text
//! declare (at the start) ─▶ due ─▶ a job for each planned time, its key the schedule and that time ─▶ fired: the next time
//! ```
//! A node that dies between the job and `fired` leaves the time due: the next one finds the job there and goes on. So a
//! planned time has one job, whoever plans it. Absent on purpose: what a cron text means (that is `ingest`'s).

use chrono::{DateTime, Utc};
use database::{Db, Run as _, instant, on, reading};
use serde::{Deserialize, Serialize};
use sqlx::types::Json;

use crate::Error;
use crate::sql::{elements, text_for};

/// What becomes of planned times at which no node was there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CatchUp {
    /// One run for all of them, as of the last.
    #[default]
    Once,
    /// A run for each.
    Each,
    /// None.
    Skip,
}

impl CatchUp {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Once => "once",
            Self::Each => "each",
            Self::Skip => "skip",
        }
    }
}

impl From<String> for CatchUp {
    fn from(text: String) -> Self {
        [Self::Each, Self::Skip].into_iter().find(|known| known.as_str() == text).unwrap_or_default()
    }
}

/// One schedule.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    pub name: String,
    pub cron: String,
    /// IANA name.
    pub timezone: String,
    /// What it runs: a source, a model's table, or `maintenance`.
    pub pipeline: String,
    pub catch_up: CatchUp,
    pub enabled: bool,
    /// The first planned time that has not fired; `None` where no more will come.
    pub next_run_at: Option<DateTime<Utc>>,
    /// The last planned time that has fired.
    pub fired_at: Option<DateTime<Utc>>,
}

database::row! {
    struct Row {
        name: String,
        cron: String,
        timezone: String,
        pipeline: String,
        catch_up: CatchUp as String,
        enabled: bool,
        next_run_at: Option<DateTime<Utc>>,
        fired_at: Option<DateTime<Utc>>,
    }
}

impl From<Row> for Schedule {
    fn from(row: Row) -> Self {
        Self {
            name: row.name,
            cron: row.cron,
            timezone: row.timezone,
            pipeline: row.pipeline,
            catch_up: row.catch_up,
            enabled: row.enabled,
            next_run_at: row.next_run_at,
            fired_at: row.fired_at,
        }
    }
}

macro_rules! schedule_columns {
    () => {
        "name, cron, timezone, pipeline, catch_up, enabled, next_run_at, fired_at"
    };
}

macro_rules! others_text {
    ($database:ident) => {
        concat!(
            "DELETE FROM schedules WHERE name NOT IN (SELECT value FROM ",
            elements!($database, "$1"),
            ")"
        )
    };
}

/// All schedules; cheap to clone.
#[derive(Clone, Debug)]
pub struct Schedules {
    db: Db,
}

impl Schedules {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Makes these the schedules there are. One that is known keeps its next time, and so what it has missed, unless its
    /// times are others now or it was switched on or off. Errors: [`Error::Database`].
    pub async fn declare(&self, declared: &[Schedule], now: DateTime<Utc>) -> Result<(), Error> {
        for schedule in declared {
            self.declare_one(schedule, now).await?;
        }
        let names: Vec<&str> = declared.iter().map(|schedule| schedule.name.as_str()).collect();
        let sql = text_for!(self.db.kind(), others_text);
        on!(self.db, |pool| sqlx::query(sql).bind(Json(names)).run(pool))?;
        Ok(())
    }

    async fn declare_one(&self, schedule: &Schedule, now: DateTime<Utc>) -> Result<(), Error> {
        const DECLARE: &str =
            "INSERT INTO schedules (name, cron, timezone, pipeline, catch_up, enabled, next_run_at, updated_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (name) DO UPDATE SET cron = excluded.cron, timezone = excluded.timezone,
               pipeline = excluded.pipeline, catch_up = excluded.catch_up, enabled = excluded.enabled,
               updated_at = excluded.updated_at,
               next_run_at = CASE WHEN schedules.cron = excluded.cron AND schedules.timezone = excluded.timezone
                                   AND schedules.enabled = excluded.enabled
                                  THEN schedules.next_run_at ELSE excluded.next_run_at END";
        on!(self.db, |pool| sqlx::query(DECLARE)
            .bind(&schedule.name)
            .bind(&schedule.cron)
            .bind(&schedule.timezone)
            .bind(&schedule.pipeline)
            .bind(schedule.catch_up.as_str())
            .bind(schedule.enabled)
            .bind(schedule.next_run_at.map(instant))
            .bind(instant(now))
            .run(pool))?;
        Ok(())
    }

    /// All of them, by name. Errors: [`Error::Database`].
    pub async fn all(&self) -> Result<Vec<Schedule>, Error> {
        const ALL: &str = concat!("SELECT ", schedule_columns!(), " FROM schedules ORDER BY name");
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(ALL).fetch_all(pool))?;
        Ok(rows.into_iter().map(Schedule::from).collect())
    }

    /// Those whose next time has come. Errors: [`Error::Database`].
    pub async fn due(&self, now: DateTime<Utc>) -> Result<Vec<Schedule>, Error> {
        const DUE: &str = concat!(
            "SELECT ",
            schedule_columns!(),
            " FROM schedules WHERE enabled AND next_run_at <= $1 ORDER BY next_run_at, name"
        );
        let rows: Vec<Row> =
            reading!(self.db, |pool| sqlx::query_as(DUE).bind(instant(now)).fetch_all(pool))?;
        Ok(rows.into_iter().map(Schedule::from).collect())
    }

    /// Notes that a schedule has fired up to `last`, and when it is next. False where another node has noted it before.
    /// Errors: [`Error::Database`].
    pub async fn fired(
        &self,
        schedule: &Schedule,
        last: Option<DateTime<Utc>>,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const FIRED: &str =
            "UPDATE schedules SET next_run_at = $3, fired_at = COALESCE($4, fired_at), updated_at = $5
             WHERE name = $1 AND next_run_at = $2";
        let moved = on!(self.db, |pool| sqlx::query(FIRED)
            .bind(&schedule.name)
            .bind(schedule.next_run_at.map(instant))
            .bind(next.map(instant))
            .bind(last.map(instant))
            .bind(instant(now))
            .run(pool))?;
        Ok(moved == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{each, minute};

    fn daily(cron: &str, next: i64) -> Schedule {
        Schedule {
            name: "daily".into(),
            cron: cron.into(),
            timezone: "Europe/Rome".into(),
            pipeline: "a".into(),
            catch_up: CatchUp::Each,
            enabled: true,
            next_run_at: Some(minute(next)),
            fired_at: None,
        }
    }

    #[tokio::test]
    async fn a_schedule_keeps_what_it_missed_until_its_times_are_others() {
        for node in each().await {
            let schedules = node.schedules();
            schedules.declare(&[daily("15 6 * * *", 5)], minute(0)).await.unwrap();
            assert!(schedules.due(minute(4)).await.unwrap().is_empty());
            schedules.declare(&[daily("15 6 * * *", 90)], minute(60)).await.unwrap();
            assert_eq!(schedules.due(minute(60)).await.unwrap(), [daily("15 6 * * *", 5)]);
            schedules.declare(&[daily("16 6 * * *", 90)], minute(60)).await.unwrap();
            assert!(schedules.due(minute(60)).await.unwrap().is_empty());
            let off = Schedule { enabled: false, ..daily("16 6 * * *", 90) };
            schedules.declare(&[off], minute(60)).await.unwrap();
            assert!(schedules.due(minute(99)).await.unwrap().is_empty());
            schedules.declare(&[], minute(61)).await.unwrap();
            assert!(schedules.all().await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn of_two_nodes_that_fire_one_moves_the_schedule_on() {
        for node in each().await {
            let (here, there) = (node.schedules(), node.again("other").await.schedules());
            here.declare(&[daily("15 6 * * *", 5)], minute(0)).await.unwrap();
            let due = here.due(minute(6)).await.unwrap().remove(0);
            let (last, next) = (Some(minute(5)), Some(minute(65)));
            assert!(here.fired(&due, last, next, minute(6)).await.unwrap());
            assert!(!there.fired(&due, last, next, minute(6)).await.unwrap());
            let now = there.all().await.unwrap().remove(0);
            assert_eq!((now.fired_at, now.next_run_at), (last, next));
        }
    }
}
