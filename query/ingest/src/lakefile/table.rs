//! A platform table as the lake's TOML declares it: columns, units, key, order, promise.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Date32Type, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use catalog::Column;
use chrono::NaiveDate;
use identity::TableName;
use serde::Deserialize;

use super::Period;

/// One platform table.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableSpec {
    pub name: TableName,
    /// Which kind of area it stands in: a key of the lake's `[areas]`.
    pub area: String,
    pub description: String,
    /// Columns that name a row.
    pub key: Vec<String>,
    /// The order rows are stored in; readers may rely on it within a file.
    pub sort: Vec<String>,
    /// How old its newest commit may become before answers say `overdue`.
    pub promise: Option<Period>,
    pub columns: Vec<ColumnSpec>,
}

/// One column, with what a reader of the catalog wants to know of it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    pub name: String,
    pub r#type: ColumnType,
    pub unit: Option<String>,
    pub description: String,
}

/// The types of platform tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ColumnType {
    Text,
    Bigint,
    Double,
    Date,
    /// An instant in UTC, in microseconds.
    Timestamp,
}

impl ColumnType {
    /// How it is held in memory and in Parquet.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Text => DataType::Utf8,
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        }
    }

    /// Its name in the catalog.
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Bigint => "bigint",
            Self::Double => "double",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
        }
    }
}

impl TableSpec {
    /// The Arrow schema of its rows, every column nullable but those of the key.
    pub fn schema(&self) -> SchemaRef {
        let field = |c: &ColumnSpec| Field::new(&c.name, c.r#type.arrow(), !self.key.contains(&c.name));
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    /// Its columns as the catalog shows them.
    pub fn catalog_columns(&self) -> Vec<Column> {
        let column = |spec: &ColumnSpec| Column {
            name: spec.name.clone(),
            label: None,
            r#type: spec.r#type.name().to_string(),
            nulls: None,
            unit: spec.unit.clone(),
            description: Some(spec.description.clone()),
        };
        self.columns.iter().map(column).collect()
    }

    /// The date or instant that its rows are ordered by; `None` for a table without one.
    pub fn dated(&self) -> Option<&str> {
        let is_date = |name: &&String| {
            let column = self.columns.iter().find(|c| c.name == **name);
            column.is_some_and(|c| matches!(c.r#type, ColumnType::Date | ColumnType::Timestamp))
        };
        self.sort.iter().find(is_date).map(String::as_str)
    }

    /// How many of these rows each UTC day has; none where the table has no date.
    /// - Errors: its column is no date.
    pub fn rows_by_day(&self, rows: &[RecordBatch]) -> Result<BTreeMap<NaiveDate, u64>, ArrowError> {
        let mut days = BTreeMap::new();
        let columns =
            self.dated().into_iter().flat_map(|name| rows.iter().filter_map(|b| b.column_by_name(name)));
        for column in columns {
            let dates = cast(column, &DataType::Date32)?;
            for day in dates.as_primitive::<Date32Type>().iter().flatten() {
                *days.entry(Date32Type::to_naive_date_opt(day).unwrap_or_default()).or_default() += 1;
            }
        }
        Ok(days)
    }

    /// Whether its rows belong to regions.
    pub fn has_regions(&self) -> bool {
        self.columns.iter().any(|c| c.name == "region_id")
    }

    /// Errors: what is wrong with it, in words for the operator.
    pub(super) fn check(&self) -> Result<(), String> {
        for column in self.key.iter().chain(&self.sort) {
            if !self.columns.iter().any(|c| &c.name == column) {
                return Err(format!(
                    "table `{}`: key or order names an unknown column `{column}`",
                    self.name
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_the_schema_it_declares() {
        let table: TableSpec = toml::from_str(
            r#"
            name = "weather.daily"
            area = "aggregated"
            description = "x"
            key = ["region_id", "day"]
            sort = ["region_id", "day"]
            promise = "2h"
            columns = [
                { name = "region_id", type = "text", description = "x" },
                { name = "day", type = "date", description = "x" },
                { name = "hours", type = "bigint", description = "x" },
            ]
            "#,
        )
        .unwrap();
        assert!(table.check().is_ok() && table.has_regions());
        assert_eq!(table.schema().field(1).data_type(), &DataType::Date32);
        assert!(!table.schema().field(0).is_nullable() && table.schema().field(2).is_nullable());
    }
}
