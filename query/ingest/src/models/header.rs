//! A model file's header: TOML in the comment it begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::resolve::resolve_table_references;
use identity::TableName;
use serde::Deserialize;

use super::Model;
use crate::lakefile::{LakefileError, Times};

const OPENS: &str = "/*---";
const CLOSES: &str = "---*/";

/// Which part of a model's table a change recomputes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Rows of a region and a local day, in the columns `region_id` and `day`.
    RegionDay,
    /// All rows of a region.
    Region,
}

/// What must hold of the new rows before anybody sees them. The key is always unique.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tests {
    pub not_null: Vec<String>,
    /// Column -> the values it may have; null passes.
    pub accepted: BTreeMap<String, Vec<String>>,
    /// Column -> [lowest, highest]; null passes.
    pub between: BTreeMap<String, [f64; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    table: TableName,
    key: Vec<String>,
    window: Window,
    #[serde(default)]
    lookback_days: i64,
    settled: Option<String>,
    schedule: Option<Times>,
    #[serde(default)]
    tests: Tests,
}

impl Model {
    /// A model from the text of its file.
    /// - Errors: [`LakefileError::Model`] with the file and what is wrong: no header, a misspelt key, SQL that
    ///   is not one statement.
    pub fn parse(file: &str, text: &str) -> Result<Self, LakefileError> {
        let wrong = |reason: String| LakefileError::Model { file: file.to_string(), reason };
        let (header, sql) = split(text).ok_or_else(|| {
            wrong(format!("it must begin with a TOML header between `{OPENS}` and `{CLOSES}`"))
        })?;
        let header: Header = toml::from_str(header).map_err(|e| wrong(e.to_string()))?;
        let upstream = upstream(sql, &header.table).map_err(wrong)?;
        Ok(Self {
            file: file.to_string(),
            table: header.table,
            key: header.key,
            window: header.window,
            lookback_days: header.lookback_days,
            settled: header.settled,
            schedule: header.schedule,
            tests: header.tests,
            sql: sql.trim().to_string(),
            upstream,
        })
    }
}

fn split(text: &str) -> Option<(&str, &str)> {
    text.trim_start().strip_prefix(OPENS)?.split_once(CLOSES)
}

/// The tables a statement reads, as the SQL parser sees them.
fn upstream(sql: &str, own: &TableName) -> Result<BTreeSet<TableName>, String> {
    let mut statements = DFParser::parse_sql(sql).map_err(|e| e.to_string())?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err("it must hold exactly one statement".to_string());
    };
    let names = names(&statement)?;
    if names.contains(own) {
        return Err(format!("it reads `{own}`, the table it fills"));
    }
    Ok(names)
}

fn names(statement: &Statement) -> Result<BTreeSet<TableName>, String> {
    let (tables, _) = resolve_table_references(statement, true).map_err(|e| e.to_string())?;
    tables
        .iter()
        .map(|t| {
            TableName::from_str(&t.to_string()).map_err(|_| format!("`{t}` must be written schema.table"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "/*---\ntable = \"a.b\"\nkey = [\"region_id\"]\nwindow = \"region\"\n---*/\n-- why\n";

    #[test]
    fn the_tables_of_the_statement_are_the_dependencies() {
        let sql = format!("{GOOD}WITH x AS (SELECT * FROM c.d) SELECT * FROM x JOIN e.f USING (region_id)");
        let model = Model::parse("m.sql", &sql).unwrap();
        let upstream: Vec<String> = model.upstream.iter().map(ToString::to_string).collect();
        assert_eq!(upstream, ["c.d", "e.f"]);
        assert_eq!(model.window, Window::Region);
    }

    #[test]
    fn what_is_wrong_is_said_with_the_file() {
        let wrongs = [
            ("SELECT 1".to_string(), "header"),
            (GOOD.replace("window", "windows") + "SELECT 1", "windows"),
            (GOOD.to_string() + "SELECT 1; SELECT 2", "one statement"),
            (GOOD.to_string() + "SELECT * FROM a.b", "the table it fills"),
            (GOOD.to_string() + "SELECT * FROM b", "schema.table"),
        ];
        for (text, reason) in wrongs {
            let refused = Model::parse("m.sql", &text).unwrap_err().to_string();
            assert!(refused.starts_with("model m.sql") && refused.contains(reason), "{refused}");
        }
    }
}
