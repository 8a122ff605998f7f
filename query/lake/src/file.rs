//! One Parquet file of a table, as the log knows it.

use std::collections::BTreeMap;

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::stats;

/// A data file: where it is, what is in it. Serialises as the JSON that workers are handed and hand back.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct DataFile {
    /// Relative to the table's folder (in a worker: to the prefix it is given).
    pub path: String,
    /// Bytes.
    pub size: u64,
    pub rows: u64,
    /// Values of the partition columns in Delta's text form; `None` is NULL.
    #[serde(default)]
    pub partition: BTreeMap<String, Option<String>>,
    /// Lower bounds of columns in Delta's JSON form (text cut to 32 characters, instants rounded to ms):
    /// true bounds always, exact values not always. [`DataFile::min`] gives them typed.
    #[serde(default)]
    pub min: BTreeMap<String, Value>,
    /// Upper bounds, likewise.
    #[serde(default)]
    pub max: BTreeMap<String, Value>,
    /// Number of NULLs a column, exact.
    #[serde(default)]
    pub nulls: BTreeMap<String, u64>,
    /// Milliseconds since the epoch.
    #[serde(default)]
    pub modified: i64,
    /// Hex SHA-256 of the whole file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Checksums of its blocks, checked on each read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocks: Option<crate::verify::Blocks>,
    /// The columns its rows are sorted by, ascending, nulls last; empty when nobody vouches for an order.
    #[serde(default)]
    pub sort: Vec<String>,
}

impl DataFile {
    /// A lower bound of `column` as a value of type `of`; `None` when none is known or all values are NULL.
    pub fn min(&self, column: &str, of: &DataType) -> Option<ScalarValue> {
        stats::typed(self.min.get(column)?, of)
    }

    /// An upper bound of `column` as a value of type `of`.
    pub fn max(&self, column: &str, of: &DataType) -> Option<ScalarValue> {
        stats::typed(self.max.get(column)?, of)
    }

    /// The file's own name, the last segment of its path.
    pub fn name(&self) -> &str {
        self.path.rsplit('/').next().unwrap_or(&self.path)
    }
}
