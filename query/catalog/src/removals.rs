//! Places in the lake that nobody may read any more, kept until their last readers are through.

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, instant, on, reading, within};
use identity::{TableId, WorkspaceId};
use uuid::Uuid;

use crate::{Catalog, Error};

/// A place to be emptied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    pub id: Uuid,
    pub workspace: Option<WorkspaceId>,
    pub table: Option<TableId>,
    /// A path in the lake; everything under it goes.
    pub location: String,
    pub marked_at: DateTime<Utc>,
}

type Row = (Uuid, Option<Uuid>, Option<Uuid>, String, DateTime<Utc>);

impl From<Row> for Removal {
    fn from((id, workspace, table, location, marked_at): Row) -> Self {
        let workspace = workspace.map(WorkspaceId::from_uuid);
        Self { id, workspace, table: table.map(TableId::from_uuid), location, marked_at }
    }
}

impl Catalog {
    /// What may be removed at `now`, oldest first. Errors: [`Error::Database`].
    pub async fn removals_due(&self, now: DateTime<Utc>, limit: i64) -> Result<Vec<Removal>, Error> {
        const DUE: &str =
            "SELECT id, workspace_id, table_id, location, marked_at FROM removals WHERE due_at <= $1
             ORDER BY due_at, id LIMIT $2";
        let rows: Vec<Row> =
            reading!(self.db, |pool| sqlx::query_as(DUE).bind(instant(now)).bind(limit).fetch_all(pool))?;
        Ok(rows.into_iter().map(Removal::from).collect())
    }

    /// Notes that the place is empty. Errors: [`Error::Database`].
    pub async fn removed(&self, removal: &Removal) -> Result<(), Error> {
        const REMOVED: &str = "DELETE FROM removals WHERE id = $1";
        on!(self.db, |pool| sqlx::query(REMOVED).bind(removal.id).run(pool))?;
        Ok(())
    }

    /// Queues any place for removal once its readers are through. Errors: [`Error::Database`].
    pub async fn remove_later(
        &self,
        workspace: Option<WorkspaceId>,
        location: &str,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let mut tx = self.db.begin().await?;
        mark(&mut tx, workspace, None, location, (now, now + self.config.removal_grace)).await?;
        Ok(tx.commit().await?)
    }
}

/// Queues a place for removal, marked and due at the given instants.
pub(crate) async fn mark(
    tx: &mut Tx,
    workspace: Option<WorkspaceId>,
    table: Option<TableId>,
    location: &str,
    (marked_at, due_at): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), Error> {
    const MARK: &str = "INSERT INTO removals (id, workspace_id, table_id, location, marked_at, due_at)
         VALUES ($1, $2, $3, $4, $5, $6)";
    within!(tx, |conn| sqlx::query(MARK)
        .bind(Uuid::now_v7())
        .bind(workspace.map(|id| id.as_uuid()))
        .bind(table.map(|id| id.as_uuid()))
        .bind(location)
        .bind(instant(marked_at))
        .bind(instant(due_at))
        .run(conn))?;
    Ok(())
}
