//! How each source fares: its last success, its last failure, when it is asked again, and how much usually comes.

use chrono::{DateTime, Utc};
use database::{Db, Run as _, instant, on, reading};

use crate::Error;

/// A mean over the past in which the newest batch weighs a tenth.
const WEIGHT: f64 = 0.1;

/// What is known of one source.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceState {
    pub source: String,
    pub succeeded_at: Option<DateTime<Utc>>,
    pub failed_at: Option<DateTime<Utc>>,
    /// The words of the last failure; kept when it is over.
    pub error: Option<String>,
    /// Failures in a row; 0 when the last call went well.
    pub failures: i64,
    pub next_at: Option<DateTime<Utc>>,
    /// Batches with rows so far.
    pub batch_count: i64,
    /// Rows of a usual batch.
    pub usual_rows: f64,
}

database::row! {
    struct Row {
        source: String,
        succeeded_at: Option<DateTime<Utc>>,
        failed_at: Option<DateTime<Utc>>,
        error: Option<String>,
        failures: i64,
        next_at: Option<DateTime<Utc>>,
        batch_count: i64,
        usual_rows: f64,
    }
}

impl From<Row> for SourceState {
    fn from(row: Row) -> Self {
        Self {
            source: row.source,
            succeeded_at: row.succeeded_at,
            failed_at: row.failed_at,
            error: row.error,
            failures: row.failures,
            next_at: row.next_at,
            batch_count: row.batch_count,
            usual_rows: row.usual_rows,
        }
    }
}

macro_rules! state_columns {
    () => {
        "source, succeeded_at, failed_at, error, failures, next_at, batch_count, usual_rows"
    };
}

/// The states of all sources; cheap to clone.
#[derive(Clone, Debug)]
pub struct SourceStates {
    db: Db,
}

impl SourceStates {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// A call went well, whether anything was new or not. Errors: [`Error::Database`].
    pub async fn succeeded(
        &self,
        source: &str,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        const SUCCEEDED: &str =
            "INSERT INTO source_states (source, succeeded_at, failures, next_at, batch_count, usual_rows)
             VALUES ($1, $2, 0, $3, 0, 0)
             ON CONFLICT (source) DO UPDATE SET succeeded_at = excluded.succeeded_at, failures = 0,
               next_at = COALESCE(excluded.next_at, source_states.next_at)";
        on!(self.db, |pool| sqlx::query(SUCCEEDED)
            .bind(source)
            .bind(instant(now))
            .bind(next.map(instant))
            .run(pool))?;
        Ok(())
    }

    /// A call failed, for this reason. Errors: [`Error::Database`].
    pub async fn failed(
        &self,
        source: &str,
        error: &str,
        next: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        const FAILED: &str =
            "INSERT INTO source_states (source, failed_at, error, failures, next_at, batch_count, usual_rows)
             VALUES ($1, $2, $3, 1, $4, 0, 0)
             ON CONFLICT (source) DO UPDATE SET failed_at = excluded.failed_at, error = excluded.error,
               failures = source_states.failures + 1,
               next_at = COALESCE(excluded.next_at, source_states.next_at)";
        on!(self.db, |pool| sqlx::query(FAILED)
            .bind(source)
            .bind(instant(now))
            .bind(error.replace('\0', "\u{fffd}"))
            .bind(next.map(instant))
            .run(pool))?;
        Ok(())
    }

    /// A batch of so many rows landed; gives what was known before it. Errors: [`Error::Database`].
    pub async fn landed(&self, source: &str, rows: u64) -> Result<Option<SourceState>, Error> {
        const LANDED: &str = "INSERT INTO source_states (source, failures, batch_count, usual_rows) VALUES ($1, 0, 1, $2)
             ON CONFLICT (source) DO UPDATE SET batch_count = source_states.batch_count + 1, usual_rows = excluded.usual_rows";
        let before = self.get(source).await?;
        let rows = rows as f64;
        let usual = before
            .as_ref()
            .filter(|state| state.batch_count > 0)
            .map_or(rows, |state| state.usual_rows + (rows - state.usual_rows) * WEIGHT);
        on!(self.db, |pool| sqlx::query(LANDED).bind(source).bind(usual).run(pool))?;
        Ok(before)
    }

    /// One source. Errors: [`Error::Database`].
    pub async fn get(&self, source: &str) -> Result<Option<SourceState>, Error> {
        const GET: &str = concat!("SELECT ", state_columns!(), " FROM source_states WHERE source = $1");
        let row: Option<Row> =
            reading!(self.db, |pool| sqlx::query_as(GET).bind(source).fetch_optional(pool))?;
        Ok(row.map(SourceState::from))
    }

    /// All of them, by name. Errors: [`Error::Database`].
    pub async fn all(&self) -> Result<Vec<SourceState>, Error> {
        const ALL: &str = concat!("SELECT ", state_columns!(), " FROM source_states ORDER BY source");
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(ALL).fetch_all(pool))?;
        Ok(rows.into_iter().map(SourceState::from).collect())
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{each, minute};

    #[tokio::test]
    async fn failures_count_until_a_success_and_their_last_words_stay() {
        for node in each().await {
            let states = node.source_states();
            states.failed("c", "no answer", Some(minute(2)), minute(1)).await.unwrap();
            states.failed("c", "still no answer", Some(minute(5)), minute(2)).await.unwrap();
            let failing = states.get("c").await.unwrap().unwrap();
            assert_eq!((failing.failures, failing.next_at, failing.succeeded_at), (2, Some(minute(5)), None));
            states.succeeded("c", None, minute(5)).await.unwrap();
            let well = states.all().await.unwrap().remove(0);
            assert_eq!(
                (well.failures, well.succeeded_at, well.failed_at),
                (0, Some(minute(5)), Some(minute(2)))
            );
            assert_eq!(well.error.as_deref(), Some("still no answer"));
        }
    }

    #[tokio::test]
    async fn a_usual_batch_is_a_mean_that_follows_slowly() {
        for node in each().await {
            let states = node.source_states();
            assert_eq!(states.landed("a", 100).await.unwrap(), None);
            let before = states.landed("a", 200).await.unwrap().unwrap();
            assert_eq!((before.batch_count, before.usual_rows), (1, 100.0));
            let now = states.get("a").await.unwrap().unwrap();
            assert_eq!((now.batch_count, now.usual_rows), (2, 110.0));
        }
    }
}
