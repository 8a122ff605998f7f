//! Makes the lake's tables exist: a Delta table and a catalog entry each. Again and again gives the same.

use std::sync::Arc;

use arrow::datatypes::Field;
use catalog::{Catalog, NewPlatformTable};
use chrono::{DateTime, Utc};
use identity::TableName;
use lake::{Lake, Location};

use super::{Drift, Lakefile, SourceSpec, TableSpec};
use crate::publish::{Mode, Publisher, Regions, Rows, Write};

/// Why a table of the lake could not be made.
#[derive(Debug, thiserror::Error)]
pub enum RegisterError {
    #[error("the table `{table}` cannot be made in the lake")]
    Lake {
        table: String,
        #[source]
        source: lake::Error,
    },
    #[error("the table `{table}` cannot be entered in the catalog")]
    Catalog {
        table: String,
        #[source]
        source: catalog::Error,
    },
    #[error("the table `{table}` cannot be published empty")]
    Publish {
        table: String,
        #[source]
        source: crate::publish::Error,
    },
}

impl Lakefile {
    /// Creates and registers every platform table, empty: a lake without data answers with no rows, not with
    /// `unknown-table`. What is there already stays as it is.
    /// - Errors: [`RegisterError`] with the table, for one that exists with other columns too.
    pub async fn register(
        &self,
        lake: &Lake,
        catalog: &Catalog,
        now: DateTime<Utc>,
    ) -> Result<(), RegisterError> {
        let publisher = Publisher::new(lake.clone(), catalog.clone());
        for spec in &self.tables {
            let (location, name) = (self.location(spec), || spec.name.to_string());
            let made = match lake.create(&location, spec.schema(), &[]).await {
                Err(lake::Error::Exists) if self.widens(&spec.name) => has(lake, &location, spec).await,
                made => made.map(drop),
            };
            made.map_err(|source| RegisterError::Lake { table: name(), source })?;
            let table = catalog
                .register_platform(self.new_table(spec, &location), now)
                .await
                .map_err(|source| RegisterError::Catalog { table: name(), source })?;
            if table.version.is_none() {
                let published = publisher.write(&table, nothing(spec, now)).await;
                published.map_err(|source| RegisterError::Publish { table: name(), source })?;
            }
        }
        Ok(())
    }

    /// Whether files may bring columns that the table lacks.
    fn widens(&self, table: &TableName) -> bool {
        let widens = |source: &SourceSpec| match source {
            SourceSpec::Files(files) => files.table == *table && files.drift == Drift::Widen,
            _ => false,
        };
        self.sources.values().any(widens)
    }

    /// Where a table lies: `<area>/<schema>/<table>`, the area in the lake's own words.
    pub fn location(&self, table: &TableSpec) -> Location {
        Location::platform(self.area(&table.area), &table.name)
    }

    fn new_table(&self, table: &TableSpec, location: &Location) -> NewPlatformTable {
        let model = self.models.iter().find(|m| m.table == table.name);
        // What a model reads beside tables, the gazetteer, is no table of the catalog.
        let upstream = model.into_iter().flat_map(|m| &m.upstream).filter(|t| self.table(t).is_some());
        NewPlatformTable {
            name: table.name.clone(),
            location: location.to_string(),
            columns: table.catalog_columns(),
            widens: self.widens(&table.name),
            key: table.key.clone(),
            sort: table.sort.clone(),
            description: Some(table.description.clone()),
            upstream: upstream.cloned().collect(),
            promise_secs: table.promise.map(super::Period::seconds),
        }
    }
}

/// A write that makes a table visible without a row.
fn nothing(spec: &TableSpec, now: DateTime<Utc>) -> Write {
    let mut write = Write::new(Rows::Batches(spec.schema(), Vec::new()), Mode::Append, now);
    write.regions = Regions::These(std::collections::BTreeSet::new());
    write
}

/// Errors: [`lake::Error::Exists`] for a table that lacks a declared column, or has it of another type. It may have more.
async fn has(lake: &Lake, at: &Location, spec: &TableSpec) -> Result<(), lake::Error> {
    let version = lake.latest(at).await?.ok_or(lake::Error::NotFound)?;
    let snapshot = lake.snapshot(at, version).await?;
    let declared = lake::normalise_schema(&spec.schema())?;
    let same = |field: &Arc<Field>| {
        snapshot
            .schema()
            .field_with_name(field.name())
            .is_ok_and(|known| known.data_type() == field.data_type())
    };
    if declared.fields().iter().all(same) { Ok(()) } else { Err(lake::Error::Exists) }
}
