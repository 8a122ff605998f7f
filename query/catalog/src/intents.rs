//! Intents: a write announces itself before it writes, so that whoever finds it open can finish or clear it.
//!
//! ```text
//! intend ─▶ Parquet ─▶ prepare (files, the whole publish) ─▶ Delta commit ─▶ publish
//!    └──────────── abandon ◀── no commit carries its id        commit found ──┘
//! ```

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, instant, on, reading, within};
use identity::{IntentId, TableId, WorkspaceId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sqlx::types::Json;
use uuid::Uuid;

use crate::publish::Publish;
use crate::sql::storable;
use crate::{Catalog, Error};

/// What a write is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IntentKind {
    /// The first rows of a new table.
    Create,
    /// Rows added or changed.
    Write,
    /// All rows replaced.
    Replace,
    /// The result of an analysis.
    Materialise,
    /// The same rows in fewer files.
    Compact,
}

impl IntentKind {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Write => "write",
            Self::Replace => "replace",
            Self::Materialise => "materialise",
            Self::Compact => "compact",
        }
    }
}

impl From<String> for IntentKind {
    fn from(text: String) -> Self {
        let known = [Self::Create, Self::Replace, Self::Materialise, Self::Compact];
        known.into_iter().find(|kind| kind.as_str() == text).unwrap_or(Self::Write)
    }
}

/// A write about to begin.
#[derive(Clone, Debug, PartialEq)]
pub struct NewIntent {
    pub kind: IntentKind,
    pub table: TableId,
    pub workspace: Option<WorkspaceId>,
    /// The table's path in the lake.
    pub location: String,
    /// The version the write builds on.
    pub base_version: Option<i64>,
}

/// A write that has begun and not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Intent {
    pub id: IntentId,
    pub kind: IntentKind,
    pub table: TableId,
    pub workspace: Option<WorkspaceId>,
    pub location: String,
    pub base_version: Option<i64>,
    /// What it wrote, as [`Catalog::prepare`] was told; null before.
    pub files: Value,
    /// What to publish once its commit is found; `version` in it is not known yet.
    pub draft: Option<Publish>,
    pub created_at: DateTime<Utc>,
}

database::row! {
    struct Row {
        id: Uuid,
        kind: IntentKind as String,
        table_id: Uuid,
        workspace_id: Option<Uuid>,
        location: String,
        base_version: Option<i64>,
        files: Json<Value>,
        draft: Option<Json<Publish>>,
        created_at: DateTime<Utc>,
    }
}

impl From<Row> for Intent {
    fn from(row: Row) -> Self {
        Self {
            id: IntentId::from_uuid(row.id),
            kind: row.kind,
            table: TableId::from_uuid(row.table_id),
            workspace: row.workspace_id.map(WorkspaceId::from_uuid),
            location: row.location,
            base_version: row.base_version,
            files: row.files.0,
            draft: row.draft.map(|draft| draft.0),
            created_at: row.created_at,
        }
    }
}

macro_rules! intent_columns {
    () => {
        "id, kind, table_id, workspace_id, location, base_version, files, draft, created_at"
    };
}

impl Catalog {
    /// Announces a write. Errors: [`Error::TableGone`] where the table is not there (any more).
    pub async fn intend(&self, new: NewIntent, now: DateTime<Utc>) -> Result<IntentId, Error> {
        const INTEND: &str =
            "INSERT INTO intents (id, kind, table_id, workspace_id, location, base_version, files, status,
                 owner, created_at, touched_at)
             SELECT $1, $2, t.id, t.workspace_id, $3, $4, $5, 'open', $6, $7, $7 FROM tables t
             WHERE t.id = $8 AND t.deleted_at IS NULL";
        let id = IntentId::new();
        let added = on!(self.db, |pool| sqlx::query(INTEND)
            .bind(id.as_uuid())
            .bind(new.kind.as_str())
            .bind(&new.location)
            .bind(new.base_version)
            .bind(Json(Value::Null))
            .bind(self.owner().to_string())
            .bind(instant(now))
            .bind(new.table.as_uuid())
            .run(pool))?;
        if added == 1 { Ok(id) } else { Err(Error::TableGone) }
    }

    /// Notes, just before the Delta commit, what was written and what is to be published: all that a finder needs to finish it.
    /// Errors: [`Error::Abandoned`] where another has cleared it meanwhile.
    pub async fn prepare(
        &self,
        intent: IntentId,
        files: &Value,
        draft: &Publish,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        const PREPARE: &str =
            "UPDATE intents SET files = $2, draft = $3, touched_at = $4 WHERE id = $1 AND status = 'open'";
        let noted = on!(self.db, |pool| sqlx::query(PREPARE)
            .bind(intent.as_uuid())
            .bind(Json(storable(files.clone())))
            .bind(Json(draft.clone().storable()))
            .bind(instant(now))
            .run(pool))?;
        if noted == 1 { Ok(()) } else { Err(Error::Abandoned) }
    }

    /// Tells the other processes that the writer is still at work. Errors: [`Error::Database`].
    pub async fn touch(&self, intent: IntentId, now: DateTime<Utc>) -> Result<(), Error> {
        const TOUCH: &str = "UPDATE intents SET touched_at = $2 WHERE id = $1 AND status = 'open'";
        on!(self.db, |pool| sqlx::query(TOUCH).bind(intent.as_uuid()).bind(instant(now)).run(pool))?;
        Ok(())
    }

    /// Ends a write of which nothing may become visible; a dataset that was never published gives its name back.
    /// Abandoning what is published or abandoned changes nothing. Errors: [`Error::Database`].
    pub async fn abandon(&self, intent: IntentId, now: DateTime<Utc>) -> Result<(), Error> {
        const ABANDON: &str =
            "UPDATE intents SET status = 'abandoned', closed_at = $2 WHERE id = $1 AND status = 'open'
             RETURNING table_id";
        let mut tx = self.db.begin().await?;
        let table: Option<Uuid> = within!(tx, |conn| sqlx::query_scalar(ABANDON)
            .bind(intent.as_uuid())
            .bind(instant(now))
            .fetch_optional(conn))?;
        if let Some(table) = table {
            self.give_name_back(&mut tx, table, now).await?;
        }
        Ok(tx.commit().await?)
    }

    async fn give_name_back(&self, tx: &mut Tx, table: Uuid, now: DateTime<Utc>) -> Result<(), Error> {
        const HIDE: &str =
            "UPDATE tables SET deleted_at = $2 WHERE id = $1 AND kind = 'dataset' AND version IS NULL
             AND deleted_at IS NULL
             AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.table_id = tables.id AND i.status = 'open')
             RETURNING location";
        let location: Option<String> =
            within!(tx, |conn| sqlx::query_scalar(HIDE).bind(table).bind(instant(now)).fetch_optional(conn))?;
        if let Some(location) = location {
            // Nobody has ever read it: it may go at once.
            crate::removals::mark(tx, None, Some(TableId::from_uuid(table)), &location, (now, now)).await?;
        }
        Ok(())
    }

    /// Open intents whose writers were last known to be at work before `older_than`, and those that dead processes of this node left, oldest first.
    /// Errors: [`Error::Database`].
    pub async fn open_intents(&self, older_than: DateTime<Utc>) -> Result<Vec<Intent>, Error> {
        const OPEN: &str = concat!(
            "SELECT ",
            intent_columns!(),
            " FROM intents WHERE status = 'open'
               AND (touched_at < $1 OR (owner <> $2 AND substr(owner, 1, $3) = $4))
             ORDER BY created_at, id"
        );
        let prefix = self.owner().prefix();
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(OPEN)
            .bind(instant(older_than))
            .bind(self.owner().to_string())
            .bind(i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX))
            .bind(&prefix)
            .fetch_all(pool))?;
        Ok(rows.into_iter().map(Intent::from).collect())
    }

    /// All open intents of a table, oldest first: the next writer finishes those whose commit is in the log. Errors: [`Error::Database`].
    pub async fn open_intents_of(&self, table: TableId) -> Result<Vec<Intent>, Error> {
        const OPEN: &str = concat!(
            "SELECT ",
            intent_columns!(),
            " FROM intents WHERE status = 'open' AND table_id = $1 ORDER BY created_at, id"
        );
        let rows: Vec<Row> =
            reading!(self.db, |pool| sqlx::query_as(OPEN).bind(table.as_uuid()).fetch_all(pool))?;
        Ok(rows.into_iter().map(Intent::from).collect())
    }
}

/// How closing an intent went.
pub(crate) enum Closing {
    Now,
    /// It was published before; nothing is left to do.
    Before,
}

/// Closes an intent as published, inside the transaction that publishes it. Errors: [`Error::Abandoned`], also for an unknown one.
pub(crate) async fn close(tx: &mut Tx, publish: &Publish) -> Result<Closing, Error> {
    const CLOSE: &str = "UPDATE intents SET status = 'published', version = $2, closed_at = $3 WHERE id = $1 AND status = 'open'";
    const STATUS: &str = "SELECT status FROM intents WHERE id = $1";
    let id = publish.intent.as_uuid();
    let closed = within!(tx, |conn| sqlx::query(CLOSE)
        .bind(id)
        .bind(publish.version)
        .bind(instant(publish.at))
        .run(conn))?;
    if closed == 1 {
        return Ok(Closing::Now);
    }
    let status: Option<String> =
        within!(tx, |conn| sqlx::query_scalar(STATUS).bind(id).fetch_optional(conn))?;
    if status.as_deref() == Some("published") { Ok(Closing::Before) } else { Err(Error::Abandoned) }
}
