//! A customer's names: datasets and analyses share one namespace a workspace.
//!
//! A dataset holds its name from [`Catalog::create_table`] on, but nobody sees it before its first publish; a deleted one is hidden at
//! once and its place in the lake waits for removal.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::{Run as _, Tx, instant, on, reading, within};
use identity::{Name, Slug, TableName, WorkspaceId};

use crate::removals::mark;
use crate::table::{self, Column, Kind, Table, TableRow, table_columns};
use crate::{Catalog, Error};

/// What readers may see; an unpublished dataset is nobody's yet.
macro_rules! visible {
    () => {
        "deleted_at IS NULL AND (kind <> 'dataset' OR version IS NOT NULL)"
    };
}
pub(crate) use visible;

/// A dataset about to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct NewTable {
    /// The workspace's slug: its schema name.
    pub slug: Slug,
    pub name: Name,
    pub columns: Vec<Column>,
    pub key: Vec<String>,
    pub sort: Vec<String>,
    pub description: Option<String>,
}

impl NewTable {
    /// A dataset with a name, everything else unknown.
    pub fn new(slug: Slug, name: Name) -> Self {
        Self { slug, name, columns: Vec::new(), key: Vec::new(), sort: Vec::new(), description: None }
    }
}

/// What may be changed of a dataset or analysis without writing it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Patch {
    pub name: Option<Name>,
    /// `Some(None)` takes the description away.
    pub description: Option<Option<String>>,
}

impl Catalog {
    /// Takes a name for a dataset that is about to be written; hidden until its first publish.
    /// Errors: [`Error::NameTaken`], also where an upload of that name is still under way.
    pub async fn create_table(
        &self,
        workspace: WorkspaceId,
        new: NewTable,
        now: DateTime<Utc>,
    ) -> Result<Arc<Table>, Error> {
        let table = Table {
            columns: new.columns,
            key: new.key,
            sort: new.sort,
            description: new.description,
            ..Table::of_workspace(workspace, &new.slug, &new.name, Kind::Dataset, now)
        };
        let mut tx = self.db.begin().await?;
        let mut added = table::insert(&mut tx, &table, self.owner(), 0).await?;
        if !added && self.free_name(&mut tx, workspace, &new.name, now).await? {
            added = table::insert(&mut tx, &table, self.owner(), 0).await?;
        }
        tx.commit().await?;
        if added { Ok(Arc::new(table)) } else { Err(Error::NameTaken { name: new.name.to_string() }) }
    }

    /// Deletes an unpublished dataset of that name whose process is dead, or which nobody has worked at for too long.
    async fn free_name(
        &self,
        tx: &mut Tx,
        workspace: WorkspaceId,
        name: &Name,
        now: DateTime<Utc>,
    ) -> Result<bool, Error> {
        const FREE: &str = "DELETE FROM tables WHERE workspace_id = $1 AND name = $2
             AND kind = 'dataset' AND version IS NULL AND deleted_at IS NULL
             AND (created_at < $3 OR (owner <> $4 AND substr(owner, 1, $5) = $6))
             AND NOT EXISTS (SELECT 1 FROM intents i WHERE i.table_id = tables.id AND i.status = 'open')";
        let prefix = self.owner().prefix();
        let freed = within!(tx, |conn| sqlx::query(FREE)
            .bind(workspace.as_uuid())
            .bind(name.as_str())
            .bind(instant(now - self.config.pending))
            .bind(self.owner().to_string())
            .bind(i32::try_from(prefix.chars().count()).unwrap_or(i32::MAX))
            .bind(&prefix)
            .run(conn))?;
        Ok(freed > 0)
    }

    /// One of the workspace's own tables by name. Errors: [`Error::Database`].
    pub async fn find(&self, workspace: WorkspaceId, name: &Name) -> Result<Option<Arc<Table>>, Error> {
        const FIND: &str = concat!(
            "SELECT ",
            table_columns!(),
            " FROM tables WHERE workspace_id = $1 AND name = $2 AND ",
            visible!()
        );
        let row: Option<TableRow> = reading!(self.db, |pool| sqlx::query_as(FIND)
            .bind(workspace.as_uuid())
            .bind(name.as_str())
            .fetch_optional(pool))?;
        Ok(row.map(TableRow::shared))
    }

    /// The workspace's own tables ordered by name, from the one after `after` on. Errors: [`Error::Database`].
    pub async fn own(
        &self,
        workspace: WorkspaceId,
        after: Option<&Name>,
        limit: i64,
    ) -> Result<Vec<Arc<Table>>, Error> {
        const OWN: &str = concat!(
            "SELECT ",
            table_columns!(),
            " FROM tables WHERE workspace_id = $1 AND name > $2 AND ",
            visible!(),
            " ORDER BY name LIMIT $3"
        );
        let rows: Vec<TableRow> = reading!(self.db, |pool| sqlx::query_as(OWN)
            .bind(workspace.as_uuid())
            .bind(after.map_or("", Name::as_str))
            .bind(limit)
            .fetch_all(pool))?;
        Ok(rows.into_iter().map(TableRow::shared).collect())
    }

    /// Everything the workspace sees, ordered by full name: the platform's published tables and its own.
    /// Errors: [`Error::Database`].
    pub async fn list(&self, workspace: WorkspaceId) -> Result<Vec<Arc<Table>>, Error> {
        let mut tables = self.own(workspace, None, i64::MAX).await?;
        let platform = self.moment().platform_tables();
        tables.extend(platform.into_iter().filter(|table| table.version.is_some()));
        tables.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(tables)
    }

    /// The workspace's own tables that are computed from `name`. Errors: [`Error::Database`].
    pub async fn downstream(
        &self,
        workspace: WorkspaceId,
        name: &TableName,
    ) -> Result<Vec<TableName>, Error> {
        let tables = self.list(workspace).await?;
        let reads = |table: &&Arc<Table>| table.upstream.contains(name);
        Ok(tables.iter().filter(reads).map(|table| table.name.clone()).collect())
    }

    /// Renames or describes anew; `None` where nothing of that name is visible.
    /// Errors: [`Error::NameTaken`], [`Error::Database`].
    pub async fn patch(
        &self,
        workspace: WorkspaceId,
        name: &Name,
        patch: Patch,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<Table>>, Error> {
        const PATCH: &str = concat!(
            "UPDATE tables SET name = $3, revision = revision + 1,
                 description = CASE WHEN $4 THEN $5 ELSE description END,
                 updated_at = CASE WHEN updated_at < $6 THEN $6 ELSE updated_at END
             WHERE workspace_id = $1 AND name = $2 AND ",
            visible!(),
            " RETURNING ",
            table_columns!()
        );
        let new_name = patch.name.as_ref().unwrap_or(name);
        let row: Option<TableRow> = on!(self.db, |pool| sqlx::query_as(PATCH)
            .bind(workspace.as_uuid())
            .bind(name.as_str())
            .bind(new_name.as_str())
            .bind(patch.description.is_some())
            .bind(patch.description.as_ref().and_then(Option::as_deref))
            .bind(instant(now))
            .fetch_optional(pool))
        .map_err(|e| {
            e.on_constraint("tables_workspace_id_name", Error::NameTaken { name: new_name.to_string() })
        })?;
        Ok(row.map(TableRow::shared))
    }

    /// Hides a table at once and has its place in the lake removed later; `None` where nothing of that name is visible.
    /// Errors: [`Error::Database`].
    pub async fn delete(
        &self,
        workspace: WorkspaceId,
        name: &Name,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<Table>>, Error> {
        const HIDE: &str = concat!(
            "UPDATE tables SET deleted_at = $3 WHERE workspace_id = $1 AND name = $2 AND ",
            visible!(),
            " RETURNING ",
            table_columns!()
        );
        let mut tx = self.db.begin().await?;
        let row: Option<TableRow> = within!(tx, |conn| sqlx::query_as(HIDE)
            .bind(workspace.as_uuid())
            .bind(name.as_str())
            .bind(instant(now))
            .fetch_optional(conn))?;
        let table = row.map(TableRow::shared);
        if let Some(table) = &table {
            self.mark_location(&mut tx, table, now).await?;
        }
        tx.commit().await?;
        Ok(table)
    }

    /// Queues a table's place in the lake for removal once its last readers are through; views have none.
    pub(crate) async fn mark_location(
        &self,
        tx: &mut Tx,
        table: &Table,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        if table.kind == Kind::View {
            return Ok(());
        }
        mark(tx, table.workspace, Some(table.id), &table.location, (now, now + self.config.removal_grace))
            .await
    }
}

#[cfg(test)]
mod tests {
    use identity::TableId;

    use super::*;
    use crate::testing::{each, intend, minute, name, publish, slug, table};
    use crate::{Publish, Touched};

    fn new(text: &str) -> NewTable {
        NewTable::new(slug("acme"), name(text))
    }

    #[tokio::test]
    async fn a_dataset_is_seen_from_its_first_publish_on() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let sales = node.dataset(acme, "sales").await;
            assert_eq!(node.find(acme, &name("sales")).await.unwrap(), None);
            assert!(node.list(acme).await.unwrap().is_empty());
            let shown = publish(&node, &sales, 1, Touched::Everything, minute(1)).await;
            assert_eq!(node.find(acme, &name("sales")).await.unwrap(), Some(shown.clone()));
            assert_eq!(node.list(acme).await.unwrap(), [shown]);
            assert_eq!(sales.location, acme.place(sales.id));
        }
    }

    #[tokio::test]
    async fn nobody_sees_what_is_anothers() {
        for node in each().await {
            let (acme, globex) = (WorkspaceId::new(), WorkspaceId::new());
            let sales = node.dataset(acme, "sales").await;
            publish(&node, &sales, 1, Touched::Everything, minute(1)).await;
            assert_eq!(node.find(globex, &name("sales")).await.unwrap(), None);
            assert_eq!(node.delete(globex, &name("sales"), minute(2)).await.unwrap(), None);
            assert_eq!(node.patch(globex, &name("sales"), Patch::default(), minute(2)).await.unwrap(), None);
            // The same name is free in another workspace.
            node.create_table(globex, NewTable::new(slug("globex"), name("sales")), minute(2)).await.unwrap();
            assert!(node.find(acme, &name("sales")).await.unwrap().is_some());
        }
    }

    #[tokio::test]
    async fn a_name_is_taken_until_its_write_is_given_up() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let sales = node.dataset(acme, "sales").await;
            let intent = intend(&node, &sales, minute(0)).await;
            let taken = node.create_table(acme, new("sales"), minute(60)).await;
            assert!(matches!(taken, Err(Error::NameTaken { name }) if name == "sales"));
            node.abandon(intent, minute(60)).await.unwrap();
            node.create_table(acme, new("sales"), minute(60)).await.unwrap();
            let due = node.removals_due(minute(60), 9).await.unwrap();
            assert_eq!(due.iter().map(|removal| &removal.location).collect::<Vec<_>>(), [&sales.location]);
        }
    }

    #[tokio::test]
    async fn a_dead_process_does_not_keep_a_name() {
        for node in each().await {
            let acme = WorkspaceId::new();
            node.dataset(acme, "sales").await;
            let beside = node.again("other").await;
            assert!(beside.create_table(acme, new("sales"), minute(1)).await.is_err());
            let restarted = node.again("local").await;
            restarted.create_table(acme, new("sales"), minute(1)).await.unwrap();
            // On another node only time tells.
            assert!(beside.create_table(acme, new("sales"), minute(2)).await.is_err());
            beside.create_table(acme, new("sales"), minute(99)).await.unwrap();
        }
    }

    #[tokio::test]
    async fn deleting_hides_at_once_and_removes_later() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let sales = node.dataset(acme, "sales").await;
            publish(&node, &sales, 1, Touched::Everything, minute(1)).await;
            let gone = node.delete(acme, &name("sales"), minute(2)).await.unwrap().unwrap();
            assert_eq!(gone.id, sales.id);
            assert_eq!(node.find(acme, &name("sales")).await.unwrap(), None);
            assert_eq!(node.delete(acme, &name("sales"), minute(2)).await.unwrap(), None);
            assert!(node.removals_due(minute(3), 9).await.unwrap().is_empty());
            let due = node.removals_due(minute(30), 9).await.unwrap();
            assert_eq!((due.len(), due[0].workspace, due[0].table), (1, Some(acme), Some(sales.id)));
            let again = node.dataset(acme, "sales").await;
            assert_ne!((again.id, &again.location), (sales.id, &sales.location));
            assert_eq!(node.upkeep(minute(30)).await.unwrap().tables, 0);
            node.removed(&due[0]).await.unwrap();
            assert_eq!(node.upkeep(minute(30)).await.unwrap().tables, 1);
            assert!(node.versions(sales.id, 9, None).await.unwrap().is_empty());
        }
    }

    #[tokio::test]
    async fn a_table_is_renamed_and_described() {
        for node in each().await {
            let acme = WorkspaceId::new();
            for text in ["sales", "costs"] {
                let table = node.dataset(acme, text).await;
                publish(&node, &table, 1, Touched::Everything, minute(1)).await;
            }
            let rename = |text| Patch { name: Some(name(text)), ..Patch::default() };
            let taken = node.patch(acme, &name("sales"), rename("costs"), minute(2)).await;
            assert!(matches!(taken, Err(Error::NameTaken { name }) if name == "costs"));
            let renamed =
                node.patch(acme, &name("sales"), rename("turnover"), minute(2)).await.unwrap().unwrap();
            assert_eq!((renamed.name.clone(), renamed.revision), (table("acme.turnover"), 2));
            let describe =
                |text: Option<&str>| Patch { description: Some(text.map(str::to_owned)), ..Patch::default() };
            let told = node
                .patch(acme, &name("turnover"), describe(Some("of shops")), minute(3))
                .await
                .unwrap()
                .unwrap();
            assert_eq!(told.description.as_deref(), Some("of shops"));
            let silent =
                node.patch(acme, &name("turnover"), describe(None), minute(3)).await.unwrap().unwrap();
            assert_eq!((silent.description.as_deref(), silent.version), (None, Some(1)));
        }
    }

    #[tokio::test]
    async fn lists_come_in_pages_ordered_by_name() {
        for node in each().await {
            let acme = WorkspaceId::new();
            node.platform("weather.daily").await;
            for text in ["cc", "aa", "bb"] {
                let table = node.dataset(acme, text).await;
                publish(&node, &table, 1, Touched::Everything, minute(1)).await;
            }
            let names = |tables: Vec<Arc<Table>>| {
                tables.iter().map(|table| table.name.table.clone()).collect::<Vec<_>>()
            };
            assert_eq!(names(node.own(acme, None, 2).await.unwrap()), ["aa", "bb"]);
            assert_eq!(names(node.own(acme, Some(&name("bb")), 2).await.unwrap()), ["cc"]);
            // A platform table without a version is not listed.
            assert_eq!(names(node.list(acme).await.unwrap()), ["aa", "bb", "cc"]);
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn of_many_who_take_a_name_at_once_one_gets_it() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let takers = (0..8).map(|_| {
                let catalog = node.catalog.clone();
                tokio::spawn(async move { catalog.create_table(acme, new("sales"), minute(1)).await.is_ok() })
            });
            let mut won = 0;
            for taker in takers.collect::<Vec<_>>() {
                won += usize::from(taker.await.unwrap());
            }
            assert_eq!(won, 1);
        }
    }

    #[tokio::test]
    async fn an_unknown_table_cannot_be_written() {
        for node in each().await {
            let unknown = Publish::new(identity::IntentId::new(), TableId::new(), 1, minute(1));
            assert!(matches!(node.publish(unknown).await, Err(Error::Abandoned)));
        }
    }
}
