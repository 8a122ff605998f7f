//! How the last run of each model ended.
//!
//! ```text
//! a run fails ─▶ model_runs (why, what it owes) + tables.failing_since ─▶ memory of every node ─▶ `failing` in answers
//! a good run  ─▶ model_runs, and the mark goes
//! ```
//! The mark is part of the table's state and moves by the clock; the reasons are read when somebody asks for them.

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, instant, on, reading, within};
use identity::TableId;
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::publish::tick;
use crate::sql::storable;
use crate::{Catalog, Error};

/// The last run of the model behind a table.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelRun {
    pub table: TableId,
    pub at: DateTime<Utc>,
    /// The version readers are served since; a failed run leaves the one that was there.
    pub version: Option<i64>,
    /// Rows that it computed.
    pub rows: i64,
    /// Why it failed, in words; `None` for a good run.
    pub failure: Option<String>,
    /// What each test found: an array.
    pub tests: Value,
    /// What waits for a good run, in the runner's own JSON; null when nothing does.
    pub owed: Value,
    /// A failing model is not tried again before.
    pub retry_at: Option<DateTime<Utc>>,
}

database::row! {
    struct Row {
        table_id: Uuid,
        ran_at: DateTime<Utc>,
        version: Option<i64>,
        row_count: i64,
        reason: Option<String>,
        tests: Json<Value>,
        owed: Json<Value>,
        retry_at: Option<DateTime<Utc>>,
    }
}

impl From<Row> for ModelRun {
    fn from(row: Row) -> Self {
        Self {
            table: TableId::from_uuid(row.table_id),
            at: row.ran_at,
            version: row.version,
            rows: row.row_count,
            failure: row.reason,
            tests: row.tests.0,
            owed: row.owed.0,
            retry_at: row.retry_at,
        }
    }
}

impl ModelRun {
    fn outcome(&self) -> &'static str {
        if self.failure.is_some() { "failed" } else { "succeeded" }
    }
}

impl Catalog {
    /// The last run of the model behind a table; `None` where none ran yet. Errors: [`Error::Database`].
    pub async fn model_run(&self, table: TableId) -> Result<Option<ModelRun>, Error> {
        const RUN: &str = "SELECT table_id, ran_at, version, row_count, reason, tests, owed, retry_at
             FROM model_runs WHERE table_id = $1";
        let row: Option<Row> =
            reading!(self.db, |pool| sqlx::query_as(RUN).bind(table.as_uuid()).fetch_optional(pool))?;
        Ok(row.map(ModelRun::from))
    }

    /// Notes how a run ended: a failure marks the table, a good run takes the mark away. Errors: [`Error::Database`].
    pub async fn note_model_run(&self, run: &ModelRun) -> Result<(), Error> {
        let marked = self.moment().platform_tables().iter().any(|t| t.id == run.table && t.failing());
        let moves = marked != run.failure.is_some();
        let mut tx = self.db.begin().await?;
        // Taken first, as a publish does: ticks become visible in their order.
        let ticks = if moves { Some(tick(&mut tx).await?) } else { None };
        write(&mut tx, run).await?;
        if let Some(ticks) = ticks {
            mark(&mut tx, run, ticks).await?;
        }
        tx.commit().await?;
        if moves { self.refresh().await } else { Ok(()) }
    }

    /// Notes that a failing model owes more than it did. Errors: [`Error::Database`].
    pub async fn owe(&self, table: TableId, owed: &Value) -> Result<(), Error> {
        const OWE: &str = "UPDATE model_runs SET owed = $2 WHERE table_id = $1";
        on!(self.db, |pool| sqlx::query(OWE).bind(table.as_uuid()).bind(Json(owed)).run(pool))?;
        Ok(())
    }
}

async fn write(tx: &mut Tx, run: &ModelRun) -> Result<(), Error> {
    const WRITE: &str = "INSERT INTO model_runs
             (table_id, ran_at, version, outcome, row_count, reason, tests, owed, retry_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
         ON CONFLICT (table_id) DO UPDATE
           SET ran_at = excluded.ran_at, version = excluded.version, outcome = excluded.outcome,
               row_count = excluded.row_count, reason = excluded.reason, tests = excluded.tests,
               owed = excluded.owed, retry_at = excluded.retry_at";
    let reason = run.failure.as_ref().map(|reason| reason.replace('\0', "\u{fffd}"));
    within!(tx, |conn| sqlx::query(WRITE)
        .bind(run.table.as_uuid())
        .bind(instant(run.at))
        .bind(run.version)
        .bind(run.outcome())
        .bind(run.rows)
        .bind(&reason)
        .bind(Json(storable(run.tests.clone())))
        .bind(Json(&run.owed))
        .bind(run.retry_at.map(instant))
        .run(conn))?;
    Ok(())
}

async fn mark(tx: &mut Tx, run: &ModelRun, ticks: i64) -> Result<(), Error> {
    const MARK: &str = "UPDATE tables SET failing_since = $2, changed = $3 WHERE id = $1";
    let since = run.failure.as_ref().map(|_| instant(run.at));
    within!(tx, |conn| sqlx::query(MARK).bind(run.table.as_uuid()).bind(since).bind(ticks).run(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{each, minute};

    fn run(table: TableId, minutes: i64, failure: Option<&str>) -> ModelRun {
        ModelRun {
            table,
            at: minute(minutes),
            version: Some(3),
            rows: 7,
            failure: failure.map(str::to_owned),
            tests: json!([{"test": "between", "passed": failure.is_none()}]),
            owed: failure.map_or(Value::Null, |_| json!({"rome": ["2026-01-01", "2026-01-02"]})),
            retry_at: failure.map(|_| minute(minutes + 1)),
        }
    }

    #[tokio::test]
    async fn a_failed_run_marks_the_table_on_every_node_until_a_good_one() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            let other = node.again("other").await;
            let since = |catalog: &Catalog| catalog.moment().table(&daily.name).unwrap().failing_since;
            assert_eq!(node.model_run(daily.id).await.unwrap(), None);
            node.note_model_run(&run(daily.id, 1, Some("hours has 26"))).await.unwrap();
            node.note_model_run(&run(daily.id, 2, Some("hours has 27\0"))).await.unwrap();
            other.refresh().await.unwrap();
            assert_eq!((since(&node), since(&other)), (Some(minute(1)), Some(minute(1))));
            node.owe(daily.id, &json!({"oslo": []})).await.unwrap();
            let failed = node.again("restarted").await.model_run(daily.id).await.unwrap().unwrap();
            assert_eq!((failed.at, failed.owed), (minute(2), json!({"oslo": []})));
            assert_eq!(failed.failure.as_deref(), Some("hours has 27\u{fffd}"));
            other.note_model_run(&run(daily.id, 3, None)).await.unwrap();
            node.refresh().await.unwrap();
            assert_eq!((since(&node), since(&other)), (None, None));
            assert_eq!(node.model_run(daily.id).await.unwrap(), Some(run(daily.id, 3, None)));
        }
    }

    #[tokio::test]
    async fn a_good_run_of_a_table_in_order_moves_no_clock() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            let ticks = node.moment().ticks();
            node.note_model_run(&run(daily.id, 1, None)).await.unwrap();
            assert_eq!(node.moment().ticks(), ticks);
        }
    }
}
