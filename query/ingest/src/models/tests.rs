//! What a model's header says must hold, and what a run finds of it.

use std::collections::{BTreeMap, BTreeSet};

use identity::TableName;
use serde::{Deserialize, Serialize};

use crate::lakefile::Period;

/// What must hold of the new rows before anybody sees them. The key is always unique.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tests {
    pub not_null: Vec<String>,
    /// Column -> the values it may have; null passes.
    pub accepted: BTreeMap<String, Vec<String>>,
    /// Column -> [lowest, highest]; null passes.
    pub between: BTreeMap<String, [f64; 2]>,
    /// Columns beside the key whose values are each there once: among the new rows and those that stay.
    pub unique: Vec<String>,
    /// Column -> the `schema.table.column` that has each of its values; null passes.
    pub relationship: BTreeMap<String, Target>,
    /// Rows of each output partition that has any: a region's day, its month, or the region, as the window says.
    pub row_count: Option<RowCount>,
    /// Date or timestamp column -> the age its newest value may have. Judges the table that a run leaves behind: it marks the
    /// table and holds no rows back, as rows that come late are no reason to serve fewer.
    pub freshness: BTreeMap<String, Period>,
    /// Statements that must give no row.
    pub sql: Vec<Statement>,
}

/// A column of another table, written `schema.table.column`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Target {
    pub table: TableName,
    pub column: String,
}

impl TryFrom<String> for Target {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || format!("`{text}` must be written schema.table.column");
        let (table, column) = text.rsplit_once('.').ok_or_else(wrong)?;
        let table = table.parse().map_err(|_| wrong())?;
        Ok(Self { table, column: column.to_owned() })
    }
}

/// The least and the greatest number of rows; absent: any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RowCount {
    pub least: Option<u64>,
    pub most: Option<u64>,
}

/// A statement over the new rows, which it calls `lake.rows`, and the lake's tables as they are served now.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// What it holds, for whoever reads that it broke.
    pub name: String,
    pub sql: String,
    /// The tables that it reads, [`rows`] not among them.
    #[serde(skip)]
    pub reads: BTreeSet<TableName>,
}

/// What the statements of tests call the new rows: `lake.rows`.
pub fn rows() -> TableName {
    TableName::new("lake", "rows")
}

/// What one test found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Verdict {
    /// Which kind of test, or the name of a statement.
    pub test: String,
    pub columns: Vec<String>,
    pub passed: bool,
    /// What broke it, in words with the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

impl Verdict {
    /// The verdict on a test whose outcome is what broke it.
    pub fn of(
        test: &str,
        columns: impl IntoIterator<Item = impl Into<String>>,
        broken: Option<String>,
    ) -> Self {
        let columns = columns.into_iter().map(Into::into).collect();
        Self { test: test.to_owned(), columns, passed: broken.is_none(), found: broken }
    }
}

/// The first broken test in words.
pub fn broken(verdicts: &[Verdict]) -> Option<&str> {
    verdicts.iter().find_map(|v| v.found.as_deref())
}

/// The verdicts on two portions of one run, test by test: what broke in either is broken.
pub fn joined(mut all: Vec<Verdict>, more: Vec<Verdict>) -> Vec<Verdict> {
    for verdict in more {
        match all.iter_mut().find(|v| v.test == verdict.test && v.columns == verdict.columns) {
            Some(known) if known.passed => *known = verdict,
            Some(_) => {}
            None => all.push(verdict),
        }
    }
    all
}

impl Tests {
    /// Every column of the model's table that a test names.
    pub fn columns(&self) -> impl Iterator<Item = &String> {
        let maps = self.accepted.keys().chain(self.between.keys()).chain(self.relationship.keys());
        maps.chain(self.freshness.keys()).chain(&self.not_null).chain(&self.unique)
    }

    /// The tables beside the model's own that tests read.
    pub fn reads(&self) -> BTreeSet<&TableName> {
        let targets = self.relationship.values().map(|target| &target.table);
        targets.chain(self.sql.iter().flat_map(|statement| &statement.reads)).collect()
    }
}
