//! Analyses: saved statements. A view runs at every read, a materialised one serves the result of its last run.
//!
//! Its runs are the jobs that carry its id.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, instant, within};
use identity::{JobId, Name, Slug, TableId, TableName, WorkspaceId};
use serde_json::Value;
use sqlx::types::Json;

use crate::sql::storable;
use crate::table::{self, Column, Kind, Table, TableRow, table_columns};
use crate::{Catalog, Error, Job};

/// The definition of an analysis.
#[derive(Clone, Debug, PartialEq)]
pub struct PutAnalysis {
    /// The workspace's slug: its schema name.
    pub slug: Slug,
    pub name: Name,
    pub sql: String,
    /// Declared parameters, as they are shown again.
    pub params: Value,
    /// The tables the statement names; `my.x` under the workspace's own slug or as `my`, whichever the caller keeps to.
    pub upstream: Vec<TableName>,
    /// The result's columns, where they are known.
    pub columns: Vec<Column>,
    /// When a materialised one runs by itself.
    pub refresh: Option<String>,
    pub tests: Value,
    pub description: Option<String>,
}

/// What became of a definition.
#[derive(Clone, Debug, PartialEq)]
pub struct Put {
    pub table: Arc<Table>,
    /// It was not there before.
    pub created: bool,
    /// It differs from what was there; true for a new one.
    pub changed: bool,
}

impl PutAnalysis {
    /// An analysis with a statement, everything else absent.
    pub fn new(slug: Slug, name: Name, sql: impl Into<String>) -> Self {
        Self {
            slug,
            name,
            sql: sql.into(),
            params: Value::Null,
            upstream: Vec::new(),
            columns: Vec::new(),
            refresh: None,
            tests: Value::Null,
            description: None,
        }
    }

    fn over(&self, kind: Kind, base: Table) -> Table {
        Table {
            kind,
            columns: self.columns.clone(),
            description: self.description.clone(),
            sql: Some(self.sql.clone()),
            params: storable(self.params.clone()),
            upstream: self.upstream.clone(),
            refresh: self.refresh.clone(),
            tests: storable(self.tests.clone()),
            ..base
        }
    }
}

impl Catalog {
    /// Saves a view. The same definition again changes nothing, another one is its next revision.
    /// Errors: [`Error::NameTaken`] where a dataset has the name.
    pub async fn put_view(
        &self,
        workspace: WorkspaceId,
        put: PutAnalysis,
        now: DateTime<Utc>,
    ) -> Result<Put, Error> {
        self.put(workspace, Kind::View, put, now).await
    }

    /// Saves an analysis whose result is stored. Its last result keeps serving until the next run; it has no version before the first.
    /// Errors: [`Error::NameTaken`] where a dataset has the name.
    pub async fn put_materialised(
        &self,
        workspace: WorkspaceId,
        put: PutAnalysis,
        now: DateTime<Utc>,
    ) -> Result<Put, Error> {
        self.put(workspace, Kind::Materialised, put, now).await
    }

    /// The runs of an analysis, newest first, from the one before `before` on. Errors: [`Error::Database`].
    pub async fn runs(
        &self,
        workspace: WorkspaceId,
        analysis: TableId,
        limit: i64,
        before: Option<JobId>,
    ) -> Result<Vec<Job>, Error> {
        self.jobs().of_table(workspace, analysis, limit, before).await
    }

    async fn put(
        &self,
        workspace: WorkspaceId,
        kind: Kind,
        put: PutAnalysis,
        now: DateTime<Utc>,
    ) -> Result<Put, Error> {
        let mut tx = self.db.begin().await?;
        let new = put.over(kind, Table::of_workspace(workspace, &put.slug, &put.name, kind, now));
        let outcome = match table::insert(&mut tx, &new, self.owner(), 0).await? {
            true => Put { table: Arc::new(new), created: true, changed: true },
            false => self.redefine(&mut tx, workspace, kind, &put, now).await?,
        };
        tx.commit().await?;
        Ok(outcome)
    }

    async fn redefine(
        &self,
        tx: &mut Tx,
        workspace: WorkspaceId,
        kind: Kind,
        put: &PutAnalysis,
        now: DateTime<Utc>,
    ) -> Result<Put, Error> {
        let taken = || Error::NameTaken { name: put.name.to_string() };
        let old = locked(tx, workspace, &put.name).await?.ok_or_else(taken)?;
        if !matches!(old.kind, Kind::View | Kind::Materialised) {
            return Err(taken());
        }
        let mut new = put.over(kind, (*old).clone());
        if kind == Kind::Materialised && old.kind == Kind::Materialised {
            new.columns = if old.version.is_some() { old.columns.clone() } else { new.columns };
        }
        if new == *old {
            return Ok(Put { table: old, created: false, changed: false });
        }
        if old.kind == Kind::Materialised && kind == Kind::View {
            self.mark_location(tx, &old, now).await?;
            forget_versions(tx, old.id).await?;
            new = Table {
                version: None,
                rows: 0,
                bytes: 0,
                // A fresh folder where it starts anew.
                location: workspace.place(TableId::new()),
                ..new
            };
        }
        new.revision += 1;
        new.updated_at = instant(now).max(old.updated_at);
        define(tx, &new).await?;
        Ok(Put { table: Arc::new(new), created: false, changed: true })
    }
}

/// The table of that name, locked until the transaction ends.
async fn locked(tx: &mut Tx, workspace: WorkspaceId, name: &Name) -> Result<Option<Arc<Table>>, Error> {
    const LOCK: &str = concat!(
        "UPDATE tables SET revision = revision WHERE workspace_id = $1 AND name = $2 AND deleted_at IS NULL RETURNING ",
        table_columns!()
    );
    let row: Option<TableRow> = within!(tx, |conn| sqlx::query_as(LOCK)
        .bind(workspace.as_uuid())
        .bind(name.as_str())
        .fetch_optional(conn))?;
    Ok(row.map(TableRow::shared))
}

/// Versions count from the start again at a new place.
async fn forget_versions(tx: &mut Tx, table: TableId) -> Result<(), Error> {
    const FORGET: &str = "DELETE FROM table_versions WHERE table_id = $1";
    within!(tx, |conn| sqlx::query(FORGET).bind(table.as_uuid()).run(conn))?;
    Ok(())
}

async fn define(tx: &mut Tx, table: &Table) -> Result<(), Error> {
    const DEFINE: &str = "UPDATE tables SET kind = $2, location = $3, version = $4, revision = $5, updated_at = $6, columns = $7,
             row_count = $8, byte_count = $9, description = $10, definition = $11, params = $12, upstream = $13,
             refresh = $14, tests = $15
         WHERE id = $1 RETURNING id";
    let _: uuid::Uuid = within!(tx, |conn| sqlx::query_scalar(DEFINE)
        .bind(table.id.as_uuid())
        .bind(table.kind.as_str())
        .bind(&table.location)
        .bind(table.version)
        .bind(table.revision)
        .bind(table.updated_at)
        .bind(Json(&table.columns))
        .bind(table.rows)
        .bind(table.bytes)
        .bind(&table.description)
        .bind(&table.sql)
        .bind(Json(&table.params))
        .bind(Json(&table.upstream))
        .bind(&table.refresh)
        .bind(Json(&table.tests))
        .fetch_one(conn))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{each, minute, name, publish, slug, table};
    use crate::{NewJob, Touched};

    fn report(sql: &str) -> PutAnalysis {
        PutAnalysis {
            upstream: vec![table("my.sales")],
            params: json!([{"name": "from", "type": "date"}]),
            ..PutAnalysis::new(slug("acme"), name("report"), sql)
        }
    }

    #[tokio::test]
    async fn the_same_definition_again_changes_nothing() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let first = node.put_view(acme, report("select 1"), minute(1)).await.unwrap();
            assert!(first.created && first.changed);
            let again = node.put_view(acme, report("select 1"), minute(2)).await.unwrap();
            assert_eq!(again, Put { table: first.table.clone(), created: false, changed: false });
            let other = node.put_view(acme, report("select 2"), minute(3)).await.unwrap();
            assert_eq!((other.created, other.changed, other.table.revision), (false, true, 2));
            assert_eq!(node.find(acme, &name("report")).await.unwrap(), Some(other.table));
            assert_eq!(node.find(WorkspaceId::new(), &name("report")).await.unwrap(), None);
            assert_eq!(node.downstream(acme, &table("my.sales")).await.unwrap(), [table("acme.report")]);
        }
    }

    #[tokio::test]
    async fn datasets_and_analyses_share_their_names() {
        for node in each().await {
            let acme = WorkspaceId::new();
            node.dataset(acme, "report").await;
            let taken = node.put_view(acme, report("select 1"), minute(1)).await;
            assert!(matches!(taken, Err(Error::NameTaken { .. })));
            node.put_view(acme, PutAnalysis { name: name("other"), ..report("select 1") }, minute(1))
                .await
                .unwrap();
            let new = crate::NewTable::new(slug("acme"), name("other"));
            assert!(matches!(node.create_table(acme, new, minute(2)).await, Err(Error::NameTaken { .. })));
        }
    }

    #[tokio::test]
    async fn a_stored_result_serves_until_the_next_run() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let put = node.put_materialised(acme, report("select 1"), minute(1)).await.unwrap();
            assert_eq!(put.table.version, None);
            publish(&node, &put.table, 1, Touched::Everything, minute(2)).await;
            let changed = node.put_materialised(acme, report("select 2"), minute(3)).await.unwrap();
            assert_eq!((changed.table.version, changed.table.rows), (Some(1), 10));
            assert_eq!(changed.table.location, put.table.location);
        }
    }

    #[tokio::test]
    async fn a_result_made_a_view_leaves_its_place_and_begins_anew() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let put = node.put_materialised(acme, report("select 1"), minute(1)).await.unwrap();
            publish(&node, &put.table, 1, Touched::Everything, minute(2)).await;
            let view = node.put_view(acme, report("select 1"), minute(3)).await.unwrap();
            assert_eq!((view.table.version, view.table.kind), (None, Kind::View));
            let due = node.removals_due(minute(60), 9).await.unwrap();
            assert_eq!(
                due.iter().map(|due| due.location.as_str()).collect::<Vec<_>>(),
                [put.table.location.as_str()]
            );
            let stored = node.put_materialised(acme, report("select 1"), minute(4)).await.unwrap();
            assert_ne!(stored.table.location, put.table.location);
            let run = publish(&node, &stored.table, 1, Touched::Everything, minute(5)).await;
            assert_eq!((run.version, run.id), (Some(1), put.table.id));
        }
    }

    #[tokio::test]
    async fn runs_are_the_jobs_of_an_analysis() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let put = node.put_materialised(acme, report("select 1"), minute(1)).await.unwrap();
            let new = NewJob {
                table: Some(put.table.id),
                ..NewJob::new("materialise", json!({}), minute(1)).of(acme)
            };
            let first = node.jobs().enqueue(new.clone(), minute(1)).await.unwrap();
            let second = node.jobs().enqueue(new, minute(2)).await.unwrap();
            let ids = |jobs: Vec<Job>| jobs.into_iter().map(|job| job.id).collect::<Vec<_>>();
            assert_eq!(ids(node.runs(acme, put.table.id, 9, None).await.unwrap()), [second.id, first.id]);
            assert_eq!(ids(node.runs(acme, put.table.id, 9, Some(second.id)).await.unwrap()), [first.id]);
            assert!(node.runs(WorkspaceId::new(), put.table.id, 9, None).await.unwrap().is_empty());
        }
    }
}
