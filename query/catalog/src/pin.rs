//! Pinning: the versions of all tables of a statement, in one SQL read, so that its answer is one consistent moment.

use std::collections::HashMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::reading;
use identity::{Slug, TableName, WorkspaceId};
use sqlx::types::Json;

use crate::names::visible;
use crate::sql::{elements, text_for};
use crate::table::{Table, TableRow, table_columns};
use crate::{Catalog, Error, Kind};

macro_rules! pin_text {
    ($database:ident) => {
        concat!(
            "SELECT ",
            table_columns!(),
            " FROM tables WHERE workspace_id = $1 AND ",
            visible!(),
            " AND name IN (SELECT value FROM ",
            elements!($database, "$2"),
            ")
             UNION ALL
             SELECT ",
            table_columns!(),
            " FROM tables WHERE workspace_id IS NULL AND deleted_at IS NULL
               AND schema_name || '.' || name IN (SELECT value FROM ",
            elements!($database, "$3"),
            ")"
        )
    };
}

/// The names of a statement, sorted by whose they can be.
struct Wanted<'a> {
    own: Vec<&'a str>,
    platform: Vec<String>,
}

impl<'a> Wanted<'a> {
    fn of(slug: &Slug, names: &'a [TableName]) -> Self {
        let mut wanted = Self { own: Vec::new(), platform: Vec::new() };
        for name in names.iter().filter(|name| is_storable(name)) {
            if is_own(slug, name) {
                wanted.own.push(&name.table);
            } else {
                wanted.platform.push(name.to_string());
            }
        }
        wanted
    }
}

/// PostgreSQL refuses a NUL character, and nothing is called so.
fn is_storable(name: &TableName) -> bool {
    !name.schema.contains('\0') && !name.table.contains('\0')
}

fn is_own(slug: &Slug, name: &TableName) -> bool {
    name.is_my() || name.schema == slug.as_str()
}

impl Catalog {
    /// The tables of those names as the workspace sees them now, each at its visible version; `None` for what it does not see.
    /// - Shape: one entry a wanted name, in the same order. `my` and the own slug are the workspace itself.
    /// - A materialised analysis that has not run yet is there, without a version.
    /// - Errors: [`Error::Database`]; platform tables alone are answered from memory and cannot fail.
    pub async fn pin(
        &self,
        workspace: WorkspaceId,
        slug: &Slug,
        wanted: &[TableName],
    ) -> Result<Vec<Option<Arc<Table>>>, Error> {
        if !wanted.iter().any(|name| is_own(slug, name)) {
            let moment = self.moment();
            return Ok(wanted.iter().map(|name| moment.table(name)).collect());
        }
        let names = Wanted::of(slug, wanted);
        let sql = text_for!(self.db.kind(), pin_text);
        let rows: Vec<TableRow> = reading!(self.db, |pool| sqlx::query_as(sql)
            .bind(workspace.as_uuid())
            .bind(Json(&names.own))
            .bind(Json(&names.platform))
            .fetch_all(pool))?;
        let (newest, found) = by_name(rows);
        // What one answer has shown, the next one from memory must not take back.
        if newest > self.moment().ticks() {
            self.refresh().await?;
        }
        let key = |name: &TableName| {
            (
                is_own(slug, name),
                if is_own(slug, name) { None } else { Some(name.schema.clone()) },
                name.table.clone(),
            )
        };
        Ok(wanted.iter().map(|name| found.get(&key(name)).cloned()).collect())
    }

    /// The same as they were at `at`: content of then under today's names and definitions; `None` also for what had no content then.
    /// Errors: [`Error::AsOfExpired`], [`Error::Database`].
    pub async fn pin_at(
        &self,
        workspace: WorkspaceId,
        slug: &Slug,
        wanted: &[TableName],
        at: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Option<Arc<Table>>>, Error> {
        self.within_horizon(at, now)?;
        let mut pinned = self.pin(workspace, slug, wanted).await?;
        for slot in &mut pinned {
            if let Some(table) = slot.take() {
                *slot = self.as_it_was(table, at).await?;
            }
        }
        Ok(pinned)
    }

    async fn as_it_was(&self, table: Arc<Table>, at: DateTime<Utc>) -> Result<Option<Arc<Table>>, Error> {
        if table.kind == Kind::View {
            return Ok((table.created_at <= at).then_some(table));
        }
        let then = self.version_row_at(table.id, at).await?;
        Ok(then.map(|then| {
            let (rows, bytes, rejects) = (then.rows, then.bytes, then.rejects);
            let version = Some(then.version);
            Arc::new(Table {
                version,
                updated_at: then.published_at,
                rows,
                bytes,
                rejects,
                ..(*table).clone()
            })
        }))
    }
}

type Key = (bool, Option<String>, String);

fn by_name(rows: Vec<TableRow>) -> (i64, HashMap<Key, Arc<Table>>) {
    let newest = rows.iter().map(|row| row.changed).max().unwrap_or_default();
    let keyed = rows.into_iter().map(|row| {
        let own = row.workspace_id.is_some();
        let schema = if own { None } else { Some(row.schema_name.clone()) };
        ((own, schema, row.name.clone()), row.shared())
    });
    (newest, keyed.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{each, minute, name, publish, slug, table};
    use crate::{Error, PutAnalysis, Touched};

    fn names(texts: &[&str]) -> Vec<TableName> {
        texts.iter().map(|text| table(text)).collect()
    }

    #[tokio::test]
    async fn own_and_platform_tables_are_pinned_in_the_order_asked_for() {
        for node in each().await {
            let (acme, globex) = (WorkspaceId::new(), WorkspaceId::new());
            let (sales, daily) = (node.dataset(acme, "sales").await, node.platform("weather.daily").await);
            publish(&node, &sales, 1, Touched::Everything, minute(1)).await;
            publish(&node, &daily, 3, Touched::Everything, minute(1)).await;
            let wanted = names(&[
                "weather.daily",
                "my.sales",
                "acme.sales",
                "my.absent",
                "globex.sales",
                "weather.absent",
            ]);
            let pinned = node.pin(acme, &slug("acme"), &wanted).await.unwrap();
            let versions: Vec<_> =
                pinned.iter().map(|table| table.as_ref().and_then(|table| table.version)).collect();
            assert_eq!(versions, [Some(3), Some(1), Some(1), None, None, None]);
            let others = node.pin(globex, &slug("globex"), &wanted).await.unwrap();
            assert_eq!(
                others.iter().map(Option::is_some).collect::<Vec<_>>(),
                [true, false, false, false, false, false]
            );
        }
    }

    #[tokio::test]
    async fn the_name_of_an_own_table_never_reaches_a_platform_table() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let (own, daily) = (node.dataset(acme, "daily").await, node.platform("weather.daily").await);
            publish(&node, &own, 1, Touched::Everything, minute(1)).await;
            publish(&node, &daily, 7, Touched::Everything, minute(1)).await;
            let pinned = node.pin(acme, &slug("acme"), &names(&["my.daily", "weather.daily"])).await.unwrap();
            let ids: Vec<_> = pinned.into_iter().map(|table| table.unwrap().id).collect();
            assert_eq!(ids, [own.id, daily.id]);
        }
    }

    #[tokio::test]
    async fn what_a_statement_has_shown_memory_does_not_take_back() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let (sales, daily) = (node.dataset(acme, "sales").await, node.platform("weather.daily").await);
            publish(&node, &sales, 1, Touched::Everything, minute(1)).await;
            let other = node.again("other").await;
            publish(&node, &daily, 1, Touched::Everything, minute(1)).await;
            other.pin(acme, &slug("acme"), &names(&["my.sales", "weather.daily"])).await.unwrap();
            let alone = other.pin(acme, &slug("acme"), &names(&["weather.daily"])).await.unwrap();
            assert_eq!(alone[0].as_ref().unwrap().version, Some(1));
        }
    }

    #[tokio::test]
    async fn the_past_has_the_versions_of_then() {
        for node in each().await {
            let acme = WorkspaceId::new();
            let (sales, daily) = (node.dataset(acme, "sales").await, node.platform("weather.daily").await);
            for version in 1..=3 {
                publish(&node, &sales, version, Touched::Everything, minute(version * 10)).await;
                publish(&node, &daily, version, Touched::Everything, minute(version * 10)).await;
            }
            let view = PutAnalysis::new(slug("acme"), name("report"), "select 1");
            node.put_view(acme, view, minute(25)).await.unwrap();
            let wanted = names(&["my.sales", "weather.daily", "my.report"]);
            let own = slug("acme");
            let at = |minutes| node.pin_at(acme, &own, &wanted, minute(minutes), minute(60));
            let seen = |pinned: Vec<Option<Arc<Table>>>| {
                pinned
                    .into_iter()
                    .map(|table| table.map(|table| (table.version, table.rows)))
                    .collect::<Vec<_>>()
            };
            assert_eq!(seen(at(22).await.unwrap()), [Some((Some(2), 20)), Some((Some(2), 20)), None]);
            assert_eq!(seen(at(25).await.unwrap())[2], Some((None, 0)));
            assert_eq!(seen(at(9).await.unwrap()), [None, None, None]);
            let expired = node
                .pin_at(acme, &slug("acme"), &wanted, minute(0), minute(0) + chrono::TimeDelta::days(8))
                .await;
            assert!(matches!(expired, Err(Error::AsOfExpired { .. })));
            let moment = node.moment_at(minute(15), minute(60)).await.unwrap();
            let then = moment.table(&daily.name).unwrap();
            assert_eq!((then.version, then.updated_at), (Some(1), minute(10)));
            let rome = crate::testing::region("rome");
            assert_eq!(moment.stamp(daily.id, &rome).unwrap().version, 1);
        }
    }
}
