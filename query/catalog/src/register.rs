//! The platform's own tables: declared by the lake, repeated at every start.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use database::within;
use identity::TableName;
use sqlx::types::Json;

use crate::publish::tick;
use crate::table::{self, Column, Kind, Table, TableRow, table_columns};
use crate::{Catalog, Error};

/// A table the lake declares.
#[derive(Clone, Debug, PartialEq)]
pub struct NewPlatformTable {
    pub name: TableName,
    /// Its path in the lake, e.g. `aggregated/weather/daily`.
    pub location: String,
    pub columns: Vec<Column>,
    pub key: Vec<String>,
    pub sort: Vec<String>,
    pub description: Option<String>,
    /// The tables it is computed from.
    pub upstream: Vec<TableName>,
    /// How old its newest commit may be, in seconds.
    pub promise_secs: Option<i64>,
    /// Whether columns that came later, and are not declared, stay.
    pub widens: bool,
}

impl NewPlatformTable {
    /// A table with a name and a place, everything else unknown.
    pub fn new(name: TableName, location: impl Into<String>) -> Self {
        Self {
            name,
            location: location.into(),
            columns: Vec::new(),
            key: Vec::new(),
            sort: Vec::new(),
            description: None,
            upstream: Vec::new(),
            promise_secs: None,
            widens: false,
        }
    }

    /// The same with the columns that the table has come to have.
    fn with_columns_of(mut self, known: Option<&Arc<Table>>) -> Self {
        if let Some(known) = known.filter(|_| self.widens) {
            let more = known.columns.iter().filter(|c| !self.columns.iter().any(|own| own.name == c.name));
            let more: Vec<Column> = more.cloned().collect();
            self.columns.extend(more);
        }
        self
    }

    fn is(&self, table: &Table) -> bool {
        table.location == self.location
            && table.columns == self.columns
            && table.key == self.key
            && table.sort == self.sort
            && table.description == self.description
            && table.upstream == self.upstream
            && table.promise_secs == self.promise_secs
    }

    fn into_table(self, now: DateTime<Utc>) -> Table {
        Table {
            location: self.location,
            columns: self.columns,
            key: self.key,
            sort: self.sort,
            description: self.description,
            upstream: self.upstream,
            promise_secs: self.promise_secs,
            ..Table::empty(Kind::Platform, self.name, now)
        }
    }
}

impl Catalog {
    /// Declares a platform table: a new one has no version yet, a known one takes the new definition and keeps its content.
    /// Declaring the same again writes nothing. Errors: [`Error::Database`].
    pub async fn register_platform(
        &self,
        new: NewPlatformTable,
        now: DateTime<Utc>,
    ) -> Result<Arc<Table>, Error> {
        let known = self.moment().table(&new.name);
        let new = new.with_columns_of(known.as_ref());
        if let Some(known) = known.filter(|known| new.is(known)) {
            return Ok(known);
        }
        let declared = new.into_table(now);
        let mut tx = self.db.begin().await?;
        let ticks = tick(&mut tx).await?;
        let table = match table::insert(&mut tx, &declared, self.owner(), ticks).await? {
            true => Arc::new(declared),
            false => redefine(&mut tx, &declared, ticks).await?,
        };
        tx.commit().await?;
        self.refresh().await?;
        Ok(table)
    }
}

async fn redefine(tx: &mut database::Tx, declared: &Table, ticks: i64) -> Result<Arc<Table>, Error> {
    const REDEFINE: &str = concat!(
        "UPDATE tables SET location = $3, columns = $4, key_columns = $5, sort_columns = $6, description = $7,
             upstream = $8, promise_secs = $9, changed = $10, revision = revision + 1
         WHERE workspace_id IS NULL AND deleted_at IS NULL AND schema_name = $1 AND name = $2
         RETURNING ", table_columns!()
    );
    let row: TableRow = within!(tx, |conn| sqlx::query_as(REDEFINE)
        .bind(&declared.name.schema)
        .bind(&declared.name.table)
        .bind(&declared.location)
        .bind(Json(&declared.columns))
        .bind(Json(&declared.key))
        .bind(Json(&declared.sort))
        .bind(&declared.description)
        .bind(Json(&declared.upstream))
        .bind(declared.promise_secs)
        .bind(ticks)
        .fetch_one(conn))?;
    Ok(row.shared())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Touched;
    use crate::testing::{each, minute, publish, table};

    #[tokio::test]
    async fn declaring_again_keeps_content_and_writes_nothing() {
        for node in each().await {
            let mut new = NewPlatformTable::new(table("weather.daily"), "aggregated/weather/daily");
            new.columns = vec![
                Column::new("region_id", "text"),
                Column::new("air_temperature_mean", "double").in_unit("degC"),
            ];
            new.promise_secs = Some(60);
            let first = node.register_platform(new.clone(), minute(0)).await.unwrap();
            publish(&node, &first, 1, Touched::Everything, minute(1)).await;
            let ticks = node.moment().ticks();
            let again = node.register_platform(new.clone(), minute(2)).await.unwrap();
            assert_eq!((again.id, again.version, node.moment().ticks()), (first.id, Some(1), ticks));
            new.description = Some("one row a day".to_owned());
            let changed = node.register_platform(new, minute(3)).await.unwrap();
            assert_eq!((changed.id, changed.version, changed.revision), (first.id, Some(1), 2));
            assert_eq!(node.moment().table(&first.name).unwrap(), changed);
        }
    }

    #[tokio::test]
    async fn columns_that_came_later_stay_where_the_table_widens() {
        for node in each().await {
            for (widens, expected) in [(true, 2), (false, 1)] {
                let name = if widens { "source_a.wide" } else { "source_a.narrow" };
                let mut new = NewPlatformTable::new(table(name), format!("curated/{name}"));
                (new.columns, new.widens) = (vec![Column::new("region_id", "text")], widens);
                let first = node.register_platform(new.clone(), minute(0)).await.unwrap();
                let columns = [first.columns.clone(), vec![Column::new("shops", "bigint")]].concat();
                let intent = crate::testing::intend(&node, &first, minute(1)).await;
                let wider = crate::Publish {
                    columns: Some(columns),
                    ..crate::Publish::new(intent, first.id, 1, minute(1))
                };
                node.publish(wider).await.unwrap();
                let again = node.again("other").await.register_platform(new, minute(2)).await.unwrap();
                assert_eq!(again.columns.len(), expected);
            }
        }
    }

    #[tokio::test]
    async fn a_promise_breaks_without_a_commit_and_holds_again_with_one() {
        for node in each().await {
            let mut new = NewPlatformTable::new(table("weather.daily"), "aggregated/weather/daily");
            new.promise_secs = Some(60);
            let daily = node.register_platform(new, minute(0)).await.unwrap();
            assert!(!daily.overdue(minute(1)) && daily.overdue(minute(2)));
            let fresh = publish(&node, &daily, 1, Touched::Everything, minute(2)).await;
            assert!(!fresh.overdue(minute(3)) && fresh.overdue(minute(4)));
        }
    }

    /// A start of two nodes at once.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn two_starters_declare_one_table() {
        for node in each().await {
            let nodes = [node.again("one").await, node.again("two").await];
            let declare = nodes.map(|catalog| {
                let new = NewPlatformTable::new(table("geo.regions"), "operational/geo/regions");
                tokio::spawn(async move { catalog.register_platform(new, minute(0)).await.unwrap().id })
            });
            let [one, two] = declare;
            assert_eq!(one.await.unwrap(), two.await.unwrap());
        }
    }
}
