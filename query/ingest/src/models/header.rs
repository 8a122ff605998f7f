//! A model file's header: TOML in the comment it begins with.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use datafusion::sql::parser::{DFParser, Statement};
use datafusion::sql::resolve::resolve_table_references;
use identity::TableName;
use serde::Deserialize;

use super::Model;
use super::partials::Cut;
use super::tests::{Tests, rows as new_rows};
use crate::lakefile::{LakefileError, Times};

const OPENS: &str = "/*---";
const CLOSES: &str = "---*/";

/// Which part of a model's table a change recomputes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Window {
    /// Rows of a region and a local day, in the columns `region_id` and `day`.
    RegionDay,
    /// Rows of a region and a month, in the columns `region_id` and `month`: the month's first day.
    RegionMonth,
    /// All rows of a region.
    Region,
}

impl Window {
    /// The column that dates an output partition; `None` where it is a whole region.
    pub fn date(self) -> Option<&'static str> {
        match self {
            Self::RegionDay => Some("day"),
            Self::RegionMonth => Some("month"),
            Self::Region => None,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    table: TableName,
    key: Vec<String>,
    window: Window,
    /// An output day rests on input rows dated up to so many days before it, so a changed input day recomputes the output
    /// days up to so many days after it.
    #[serde(default)]
    lookback_days: u16,
    /// Inputs whose rows hold until the region's next one: a change recomputes every later day.
    #[serde(default)]
    carried: BTreeSet<TableName>,
    /// Inputs that are read whole, whatever regions are touched.
    #[serde(default)]
    whole: BTreeSet<TableName>,
    /// By input: the column that says which output day a row is about, where another one says when it came.
    #[serde(default)]
    valid: BTreeMap<TableName, String>,
    settled: Option<String>,
    /// An input for whose files the statement's part `partials` is computed one by one.
    partials: Option<TableName>,
    schedule: Option<Times>,
    /// A program and its arguments, beside the model's file: what the statement gives goes through it.
    command: Option<Vec<String>>,
    #[serde(default)]
    tests: Tests,
}

/// Something wrong in the text of a model, and on which of its lines.
pub(super) struct Wrong {
    pub line: usize,
    pub reason: String,
}

impl Model {
    /// A model from the text of its file.
    /// - Errors: [`LakefileError::Model`] with file, line and what is wrong: no header, a misspelt key, SQL that
    ///   is not one statement.
    pub fn parse(file: &str, text: &str) -> Result<Self, LakefileError> {
        let wrong = |w: Wrong| LakefileError::Model { file: file.into(), line: w.line, reason: w.reason };
        read(file, text).map_err(wrong)
    }

    /// The line of the file on which `word` first stands; the first one if it stands nowhere.
    pub fn line_of(&self, word: &str) -> usize {
        self.line_with(word).unwrap_or(1)
    }

    /// The same; `None` if it stands nowhere.
    pub fn line_with(&self, word: &str) -> Option<usize> {
        self.text.lines().position(|line| line.contains(word)).map(|n| n + 1)
    }
}

fn read(file: &str, text: &str) -> Result<Model, Wrong> {
    let parts = Parts::of(text)?;
    let mut header: Header = toml::from_str(parts.header).map_err(|e| Wrong {
        line: parts.header_line + e.span().map_or(0, |span| lines(&parts.header[..span.start])),
        reason: e.message().to_owned(),
    })?;
    let at = |line: usize| move |reason: String| Wrong { line, reason };
    let sql_line = parts.sql_line;
    let upstream = tables(parts.sql)
        .map_err(|e| Wrong { line: sql_line + e.line.saturating_sub(1), reason: e.reason })?;
    if upstream.contains(&header.table) {
        return Err(at(sql_line)(format!("it reads `{}`, the table it fills", header.table)));
    }
    let mut named =
        header.carried.iter().chain(&header.whole).chain(header.valid.keys()).chain(&header.partials);
    if let Some(table) = named.find(|table| !upstream.contains(table)) {
        return Err(at(parts.header_line)(format!("the header names `{table}`, which it does not read")));
    }
    if header.command.as_ref().is_some_and(Vec::is_empty) {
        return Err(at(parts.header_line)("`command` names no program".to_owned()));
    }
    let cut = header.partials.map(|input| Cut::of(input, parts.sql)).transpose();
    let partials = cut.map_err(|reason| Wrong { line: sql_line, reason })?;
    for statement in &mut header.tests.sql {
        let reads = tables(&statement.sql)
            .map_err(|e| at(parts.header_line)(format!("test `{}`: {}", statement.name, e.reason)))?;
        statement.reads = reads.into_iter().filter(|table| *table != new_rows()).collect();
    }
    Ok(Model {
        file: file.to_string(),
        table: header.table,
        key: header.key,
        window: header.window,
        lookback_days: header.lookback_days,
        carried: header.carried,
        whole: header.whole,
        valid: header.valid,
        settled: header.settled,
        partials,
        schedule: header.schedule,
        command: header.command,
        tests: header.tests,
        sql: parts.sql.to_string(),
        sql_line,
        text: text.to_string(),
        upstream,
    })
}

/// Header and statement, and the lines on which they begin.
struct Parts<'a> {
    header: &'a str,
    header_line: usize,
    sql: &'a str,
    sql_line: usize,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Result<Self, Wrong> {
        let reason = || format!("it must begin with a TOML header between `{OPENS}` and `{CLOSES}`");
        let none = || Wrong { line: 1, reason: reason() };
        let body = text.trim_start();
        let header = body.strip_prefix(OPENS).ok_or_else(none)?;
        let (header, rest) = header.split_once(CLOSES).ok_or_else(none)?;
        let sql = rest.trim_start();
        let before = |part: &str| 1 + lines(&text[..text.len() - part.len()]);
        Ok(Self {
            header,
            header_line: before(&body[OPENS.len()..]),
            sql: sql.trim_end(),
            sql_line: before(sql),
        })
    }
}

fn lines(text: &str) -> usize {
    text.matches('\n').count()
}

/// The tables a statement reads, as the SQL parser sees them.
pub(super) fn tables(sql: &str) -> Result<BTreeSet<TableName>, Wrong> {
    let first = |reason: String| Wrong { line: 1, reason };
    let mut statements = DFParser::parse_sql(sql).map_err(|e| {
        let text = e.to_string();
        Wrong { line: told_line(&text).unwrap_or(1), reason: text }
    })?;
    let (Some(statement), true) = (statements.pop_front(), statements.is_empty()) else {
        return Err(first("it must hold exactly one statement".to_string()));
    };
    names(&statement).map_err(first)
}

/// The line that the parser's words name: `… at Line: 3, Column: 5`.
fn told_line(words: &str) -> Option<usize> {
    let (_, rest) = words.rsplit_once("Line: ")?;
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
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
        assert_eq!((model.window, model.sql_line), (Window::Region, 6));
    }

    #[test]
    fn what_a_test_reads_is_no_dependency() {
        let tests = "[tests]\nunique = [\"name\"]\nrow_count = { least = 1 }\nfreshness = { day = \"3d\" }\n\
                     relationship = { region_id = \"geo.regions.region_id\" }\n\
                     [[tests.sql]]\nname = \"no gaps\"\nsql = \"SELECT * FROM lake.rows JOIN x.y USING (day)\"\n---*/";
        let model = Model::parse("m.sql", &(GOOD.replace("---*/", tests) + "SELECT * FROM c.d")).unwrap();
        let names = |set: BTreeSet<&TableName>| set.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names(model.tests.reads()), ["geo.regions", "x.y"]);
        assert_eq!(names(model.upstream.iter().collect()), ["c.d"]);
    }

    #[test]
    fn what_is_wrong_is_said_with_file_and_line() {
        let wrongs = [
            ("SELECT 1".to_string(), 1, "header"),
            (GOOD.replace("window", "windows") + "SELECT 1", 4, "windows"),
            (GOOD.to_string() + "SELECT 1; SELECT 2", 6, "one statement"),
            (GOOD.to_string() + "SELECT * FROM a.b", 6, "the table it fills"),
            (GOOD.to_string() + "SELECT * FROM b", 6, "schema.table"),
            (GOOD.to_string() + "SELECT 1\nFROM )", 8, "ParserError"),
            (GOOD.replace("---*/", "carried = [\"x.y\"]\n---*/") + "SELECT 1", 1, "x.y"),
        ];
        for (text, line, reason) in wrongs {
            let refused = Model::parse("m.sql", &text).unwrap_err().to_string();
            let place = format!("model m.sql, line {line}: ");
            assert!(refused.starts_with(&place) && refused.contains(reason), "{refused}");
        }
    }
}
