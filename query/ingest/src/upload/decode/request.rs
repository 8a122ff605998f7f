//! What the gateway asks of a worker about a file, and what it gets back. The same types on both sides of the socket.

use std::collections::BTreeMap;

use lake::DataFile;
use serde::{Deserialize, Serialize};

use super::types::Type;
use crate::upload::{DecimalMark, Format, OnBadRows};

/// Request of task `files` with `op` = `decode`; file 0 of the task is the upload.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct DecodeRequest {
    /// Always `decode`.
    pub op: String,
    pub file_name: Option<String>,
    pub format: Option<Format>,
    /// Type by SQL name or label.
    pub types: BTreeMap<String, String>,
    /// Of a CSV file's numbers; found from the file if absent.
    #[serde(default)]
    pub decimal: Option<DecimalMark>,
    pub on_bad_rows: OnBadRows,
    /// Columns of the table that rows are added to: the file's columns are matched by name and read as these types.
    pub table: Option<Vec<TableColumn>>,
    /// What happens to columns of the file that this table does not have.
    #[serde(default)]
    pub unknown: UnknownColumns,
    /// Whether an instant fits a date column of this table, as the UTC day it is in. It does for a source's files: a partner's
    /// clock dates its rows; a customer who asked for dates is told what is none.
    #[serde(default)]
    pub instants_as_dates: bool,
    /// Columns (SQL names or labels) that tell rows apart: never null, and no two rows with the same values.
    pub key: Vec<String>,
    /// Files of the table whose rows are replaced by key: file 1, 2, … of the task. Empty unless rows are replaced.
    #[serde(default)]
    pub existing: Vec<DataFile>,
    pub caps: DecodeCaps,
}

/// What happens to columns that a table does not have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownColumns {
    /// The file is refused.
    #[default]
    Refuse,
    /// They are taken behind the table's own, each of the type that fits its values in the whole file.
    Keep,
}

/// A column that is there already.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableColumn {
    pub name: String,
    pub of: Type,
}

/// Limits of one file; the numbers of `design.md`, Defaults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DecodeCaps {
    /// Rows of one file, those set aside too.
    pub rows: u64,
    pub columns: usize,
    pub cell_bytes: usize,
    pub record_bytes: usize,
    pub depth: usize,
    /// Unpacked bytes for each stored byte, counted from 1 MiB on.
    pub ratio: u64,
    /// Unpacked bytes in all.
    pub unpacked_bytes: u64,
    /// Rows set aside that are kept with their reason; all are counted.
    pub kept_rejects: usize,
    /// Faults listed in a refusal.
    pub listed_faults: usize,
    /// A Parquet file's footer.
    pub footer_bytes: u64,
    pub row_groups: usize,
}

impl Default for DecodeCaps {
    fn default() -> Self {
        Self {
            rows: 1_000_000_000,
            columns: 2_000,
            cell_bytes: 1 << 20,
            record_bytes: 16 << 20,
            depth: 64,
            ratio: 100,
            unpacked_bytes: 50 << 30,
            kept_rejects: 10_000,
            listed_faults: 20,
            footer_bytes: 16 << 20,
            row_groups: 20_000,
        }
    }
}

/// What a file holds, and the Parquet files in the task's scratch folder that now hold it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decoded {
    pub format: Format,
    pub columns: Vec<DecodedColumn>,
    /// Rows in `files`.
    pub rows: u64,
    /// Rows set aside; the first of them are in the reply's body, one JSON line each.
    pub rejects: u64,
    /// `path` is the place in the scratch folder.
    pub files: Vec<DataFile>,
    /// SQL names of the key columns.
    pub key: Vec<String>,
    /// Paths of the existing files that go, their other rows being in `files`.
    pub replaced: Vec<String>,
    /// Columns of the file that the table does not have, where they are kept.
    #[serde(default)]
    pub beyond: Vec<String>,
}

/// A column as found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DecodedColumn {
    pub name: String,
    pub label: String,
    pub of: Type,
    pub nulls: u64,
    /// Why it is text although it looks like numbers or dates.
    #[serde(default)]
    pub note: Option<String>,
    /// A column of the table that the file does not have.
    #[serde(default)]
    pub absent: bool,
}
