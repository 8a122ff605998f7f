//! Publishing: the one transaction that makes a commit visible.
//!
//! ```text
//! close the intent ─▶ lock the table ─▶ version forward ─▶ history ─▶ stamps ─▶ batch, job, answer ─▶ commit ─▶ memory
//! ```
//! A version only moves forward; an intent that is published already changes nothing. The clock's tick is taken under the table's lock
//! and held until the end, so ticks become visible in their order.

mod stamps;

use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, instant, within};
use identity::{IntentId, JobId, RegionId, TableId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::intents::{Closing, close};
use crate::sql::storable;
use crate::table::{Column, Table, TableRow, table_columns};
use crate::{Catalog, Days, Error, Outcome};

/// Which regions' rows a commit changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Touched {
    /// None: the same rows in other files.
    Nothing,
    Regions(Vec<RegionId>),
    /// All of them, or the table has none.
    Everything,
}

/// A source's batch that ends with this commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BatchMark {
    pub source: String,
    pub n: i64,
    pub position: Value,
}

/// A job that ends with this commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct JobOutcome {
    pub id: JobId,
    pub outcome: Outcome,
}

/// The first answer of a request with an `Idempotency-Key`, kept with this commit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    pub workspace: WorkspaceId,
    pub route: String,
    pub key: String,
    pub body_hash: String,
    pub response: Value,
}

/// A commit of the lake about to become visible, with everything that is decided by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Publish {
    pub intent: IntentId,
    pub table: TableId,
    /// The Delta version; not known in a draft.
    pub version: i64,
    /// Rows and bytes of the whole table at that version.
    pub rows: i64,
    pub bytes: i64,
    /// New columns; `None` keeps them.
    pub columns: Option<Vec<Column>>,
    /// How many rows this write set aside, and the first of them as an array.
    pub rejects: i64,
    pub rejected: Value,
    pub touched: Touched,
    /// The days that it brings rows of; of a platform table alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub days: Option<Days>,
    pub batch: Option<BatchMark>,
    pub job: Option<JobOutcome>,
    pub answer: Option<Answer>,
    /// What the commit did: `append`, `overwrite`, `compact`, …
    pub operation: String,
    /// When: the table's `updated_at`, unless no rows changed.
    pub at: DateTime<Utc>,
}

impl Publish {
    /// A commit that may have changed everything, with nothing else decided by it.
    pub fn new(intent: IntentId, table: TableId, version: i64, at: DateTime<Utc>) -> Self {
        Self {
            intent,
            table,
            version,
            rows: 0,
            bytes: 0,
            columns: None,
            rejects: 0,
            rejected: Value::Array(Vec::new()),
            touched: Touched::Everything,
            days: None,
            batch: None,
            job: None,
            answer: None,
            operation: "write".to_owned(),
            at,
        }
    }

    /// The same without characters that a database cannot keep.
    pub(crate) fn storable(mut self) -> Self {
        self.rejected = storable(self.rejected);
        self
    }
}

database::row! {
    /// What a table was before, read under its lock.
    struct Before {
        workspace_id: Option<Uuid>,
        version: Option<i64>,
        updated_at: DateTime<Utc>,
        /// When the visible version was published.
        published_at: Option<DateTime<Utc>>,
    }
}

impl Before {
    fn is_platform(&self) -> bool {
        self.workspace_id.is_none()
    }

    /// The instant of the next version: history never goes back, whatever a clock does.
    fn next_at(&self, at: DateTime<Utc>) -> DateTime<Utc> {
        let last = self.published_at.unwrap_or(self.updated_at);
        instant(at).max(last).max(self.updated_at)
    }
}

impl Catalog {
    /// Makes a commit visible, with all that is decided by it, in one transaction. Gives the table as readers see it from now on.
    /// - The same intent again changes nothing. A version that is not above the visible one changes no version.
    /// - Versions skipped since the last publish count as changes of every region.
    /// - Errors: [`Error::TableGone`] where it was deleted meanwhile, [`Error::Abandoned`], [`Error::Database`]; after the last one the
    ///   same call again finds out whether it was done.
    pub async fn publish(&self, publish: Publish) -> Result<Arc<Table>, Error> {
        let mut tx = self.db.begin().await?;
        let table = match close(&mut tx, &publish).await? {
            Closing::Now => self.apply(&mut tx, &publish).await?,
            Closing::Before => read_back(&mut tx, publish.table).await?,
        };
        tx.commit().await?;
        if table.workspace.is_none()
            && let Err(error) = self.refresh().await
        {
            // It is done; the poll brings it into memory.
            tracing::warn!(%error, "the published version is not in memory yet");
        }
        Ok(table)
    }

    async fn apply(&self, tx: &mut Tx, publish: &Publish) -> Result<Arc<Table>, Error> {
        let before = lock(tx, publish.table).await?;
        let ticks = if before.is_platform() { tick(tx).await? } else { 0 };
        let at = before.next_at(publish.at);
        if before.version.is_none_or(|visible| visible < publish.version) {
            // The same rows in other files are no news: a promise is kept by data.
            let updated_at = if publish.touched == Touched::Nothing { before.updated_at } else { at };
            move_forward(tx, publish, updated_at, ticks).await?;
            remember(tx, publish, at).await?;
        }
        if before.is_platform() {
            stamps::stamp(tx, publish, before.version, at, ticks).await?;
        }
        if let Some(batch) = &publish.batch {
            crate::batches::done(tx, batch, at).await?;
        }
        if before.is_platform() {
            crate::partitions::note(tx, publish, at).await?;
        }
        if let Some(job) = &publish.job {
            crate::jobs::done(tx, job, at).await?;
        }
        if let Some(answer) = &publish.answer {
            crate::idempotency::keep(tx, answer, at + self.config.idempotency).await?;
        }
        read_back(tx, publish.table).await
    }
}

/// Takes the next tick of the platform's clock, and its lock until the transaction ends.
pub(crate) async fn tick(tx: &mut Tx) -> Result<i64, Error> {
    const TICK: &str = "UPDATE clock SET ticks = ticks + 1 WHERE name = 'platform' RETURNING ticks";
    Ok(within!(tx, |conn| sqlx::query_scalar(TICK).fetch_one(conn))?)
}

async fn lock(tx: &mut Tx, table: TableId) -> Result<Before, Error> {
    const LOCK: &str = "UPDATE tables SET revision = revision WHERE id = $1 AND deleted_at IS NULL
         RETURNING workspace_id, version, updated_at,
             (SELECT v.published_at FROM table_versions v WHERE v.table_id = tables.id AND v.version = tables.version)
                 AS published_at";
    let before = within!(tx, |conn| sqlx::query_as(LOCK).bind(table.as_uuid()).fetch_optional(conn))?;
    before.ok_or(Error::TableGone)
}

async fn read_back(tx: &mut Tx, table: TableId) -> Result<Arc<Table>, Error> {
    const READ: &str =
        concat!("SELECT ", table_columns!(), " FROM tables WHERE id = $1 AND deleted_at IS NULL");
    let row: Option<TableRow> =
        within!(tx, |conn| sqlx::query_as(READ).bind(table.as_uuid()).fetch_optional(conn))?;
    row.map(TableRow::shared).ok_or(Error::TableGone)
}

async fn move_forward(tx: &mut Tx, publish: &Publish, at: DateTime<Utc>, ticks: i64) -> Result<(), Error> {
    const MOVE: &str = "UPDATE tables SET version = $2, row_count = $3, byte_count = $4, reject_count = $5,
             columns = COALESCE($6, columns), updated_at = $7, changed = $8
         WHERE id = $1 AND (version IS NULL OR version < $2)";
    within!(tx, |conn| sqlx::query(MOVE)
        .bind(publish.table.as_uuid())
        .bind(publish.version)
        .bind(publish.rows)
        .bind(publish.bytes)
        .bind(publish.rejects)
        .bind(publish.columns.as_ref().map(Json))
        .bind(at)
        .bind(ticks)
        .run(conn))?;
    Ok(())
}

async fn remember(tx: &mut Tx, publish: &Publish, at: DateTime<Utc>) -> Result<(), Error> {
    const REMEMBER: &str =
        "INSERT INTO table_versions (table_id, version, published_at, row_count, byte_count, reject_count,
             rejected, operation, intent_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
    within!(tx, |conn| sqlx::query(REMEMBER)
        .bind(publish.table.as_uuid())
        .bind(publish.version)
        .bind(at)
        .bind(publish.rows)
        .bind(publish.bytes)
        .bind(publish.rejects)
        .bind(Json(storable(publish.rejected.clone())))
        .bind(&publish.operation)
        .bind(publish.intent.as_uuid())
        .run(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{each, intend, minute, publish, region, table};
    use crate::{Batch, Begin, Keyed, NewJob, Status};

    fn regions(names: &[&str]) -> Touched {
        Touched::Regions(names.iter().map(|name| region(name)).collect())
    }

    #[tokio::test]
    async fn the_same_intent_twice_is_once() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            let intent = intend(&node, &daily, minute(1)).await;
            let commit = Publish { rows: 7, ..Publish::new(intent, daily.id, 1, minute(1)) };
            let first = node.publish(commit.clone()).await.unwrap();
            let ticks = node.moment().ticks();
            let again = node.publish(Publish { rows: 99, version: 5, ..commit }).await.unwrap();
            assert_eq!((first.version, first.rows), (Some(1), 7));
            assert_eq!((again, node.moment().ticks()), (first, ticks));
            assert_eq!(node.versions(daily.id, 10, None).await.unwrap().len(), 1);
        }
    }

    #[tokio::test]
    async fn a_version_never_moves_back() {
        for node in each().await {
            let daily = node.platform("weather.daily").await;
            publish(&node, &daily, 2, Touched::Everything, minute(2)).await;
            let late = publish(&node, &daily, 1, regions(&["rome"]), minute(3)).await;
            assert_eq!((late.version, late.rows, late.updated_at), (Some(2), 20, minute(2)));
            let served: Vec<_> =
                node.versions(daily.id, 10, None).await.unwrap().iter().map(|row| row.version).collect();
            assert_eq!(served, [2]);
            assert_eq!(node.moment().stamp(daily.id, &region("rome")).unwrap().version, 2);
        }
    }

    #[tokio::test]
    async fn what_is_deleted_or_abandoned_stays_invisible() {
        for node in each().await {
            let workspace = WorkspaceId::new();
            let sales = node.dataset(workspace, "sales").await;
            publish(&node, &sales, 1, Touched::Everything, minute(1)).await;
            let (gone, dropped) =
                (intend(&node, &sales, minute(2)).await, intend(&node, &sales, minute(2)).await);
            node.abandon(dropped, minute(2)).await.unwrap();
            let refused = node.publish(Publish::new(dropped, sales.id, 2, minute(3))).await;
            assert!(matches!(refused, Err(Error::Abandoned)), "{refused:?}");
            node.delete(workspace, &crate::testing::name("sales"), minute(3)).await.unwrap().unwrap();
            let refused = node.publish(Publish::new(gone, sales.id, 2, minute(3))).await;
            assert!(matches!(refused, Err(Error::TableGone)), "{refused:?}");
            assert!(matches!(
                node.intend(
                    crate::NewIntent {
                        table: sales.id,
                        kind: crate::IntentKind::Write,
                        workspace: Some(workspace),
                        location: String::new(),
                        base_version: None
                    },
                    minute(3)
                )
                .await,
                Err(Error::TableGone)
            ));
        }
    }

    #[tokio::test]
    async fn batch_job_and_answer_are_decided_with_the_data() {
        for node in each().await {
            let workspace = WorkspaceId::new();
            let sales = node.dataset(workspace, "sales").await;
            let job = node
                .jobs()
                .enqueue(NewJob::new("upload", json!({}), minute(0)).of(workspace), minute(0))
                .await
                .unwrap();
            let intent = intend(&node, &sales, minute(1)).await;
            let batch = BatchMark { source: "d".into(), n: 1, position: json!({"offset": 9}) };
            let outcome = Outcome::Succeeded { result: Some(json!("/v1/datasets/sales")), meta: None };
            let answer = Answer {
                workspace,
                route: "POST /v1/datasets".into(),
                key: "k".into(),
                body_hash: "h".into(),
                response: json!({"status": 201}),
            };
            let commit = Publish {
                rejected: json!([{"row": 1, "value": "a\0b"}]),
                rejects: 1,
                batch: Some(batch),
                job: Some(JobOutcome { id: job.id, outcome }),
                answer: Some(answer),
                ..Publish::new(intent, sales.id, 1, minute(1))
            };
            node.prepare(intent, &json!(["part-1"]), &commit, commit.at).await.unwrap();
            let found = node.open_intents_of(sales.id).await.unwrap().remove(0);
            assert_eq!((found.id, found.files.clone()), (intent, json!(["part-1"])));
            node.publish(Publish { version: 1, ..found.draft.unwrap() }).await.unwrap();

            assert_eq!(node.jobs().get(workspace, job.id).await.unwrap().unwrap().status, Status::Succeeded);
            let last: Batch = node.batches().last("d").await.unwrap().unwrap();
            assert_eq!((last.n, last.position), (1, json!({"offset": 9})));
            let request = Keyed { route: "POST /v1/datasets", key: "k", body_hash: "h" };
            assert_eq!(
                node.idempotency().look(workspace, request, minute(2)).await.unwrap(),
                Begin::Replay(json!({"status": 201}))
            );
            assert_eq!(node.rejects(workspace, sales.id, 9).await.unwrap()[0].rows[0]["value"], "a\u{fffd}b");
            assert!(node.rejects(WorkspaceId::new(), sales.id, 9).await.unwrap().is_empty());
            assert!(node.open_intents(minute(99)).await.unwrap().is_empty());
        }
    }

    /// Two tables are always published together by one writer; no moment on another node shows one ahead by more than that.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn moments_are_never_torn_while_commits_fall_into_the_reading() {
        for node in each().await {
            let (one, two) = (node.platform("weather.daily").await, node.platform("market.daily").await);
            let reader = node.again("reader").await;
            let writer = node.catalog.clone();
            let (first, second) = (one.clone(), two.clone());
            let writing = tokio::spawn(async move {
                for version in 1..=15 {
                    publish(&writer, &first, version, Touched::Everything, minute(version)).await;
                    publish(&writer, &second, version, regions(&["rome"]), minute(version)).await;
                }
            });
            while !writing.is_finished() {
                reader.refresh().await.unwrap();
                let seen = reader.moment();
                let version = |name| seen.table(&table(name)).unwrap().version.unwrap_or(0);
                let lead = version("weather.daily") - version("market.daily");
                assert!((0..=1).contains(&lead), "{lead}");
                let stamp = seen.stamp(two.id, &region("rome")).map_or(0, |stamp| stamp.version);
                assert_eq!(stamp, version("market.daily"));
            }
            writing.await.unwrap();
            assert_eq!(node.moment().table(&one.name).unwrap().version, Some(15));
        }
    }
}
