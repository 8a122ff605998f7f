//! What the engine says, in the words of a problem: a code that never changes and a sentence.
//!
//! Messages of the engine are kept where they speak of the customer's own statement; what could speak of
//! files, plans or this code is replaced.

use std::io::ErrorKind::InvalidData;

use datafusion::common::{Column, SchemaError};
use datafusion::error::DataFusionError;
use serde_json::json;
use worker::Refusal;

use super::near::{did_you_mean, near};
use super::words;

/// Columns told of where a name is like none of them.
const COLUMNS_TOLD: usize = 12;
const DETAIL_CHARS: usize = 500;

pub(super) fn too_complex(why: impl std::fmt::Display) -> Refusal {
    Refusal::new("query-too-complex", format!("the statement is too complex: {why}"))
}

pub(super) fn too_large(why: impl std::fmt::Display) -> Refusal {
    Refusal::new("query-too-large", why.to_string())
}

pub(super) fn not_read_only() -> Refusal {
    Refusal::new("sql-not-read-only", "only a single query that reads is run")
}

pub(super) fn unknown_table(name: &str) -> Refusal {
    Refusal::new("unknown-table", format!("no table `{name}`"))
}

/// A text the parser cannot read; it tells the place as `at Line: 1, Column: 8`.
pub(super) fn unreadable(message: &str) -> Refusal {
    let number = |word: &str| {
        let digits = message.rsplit_once(word)?.1.trim_start();
        let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
        digits[..end].parse::<u64>().ok()
    };
    let refusal = Refusal::new("invalid-sql", short(message));
    match (number("Line:"), number("Column:")) {
        (Some(line), Some(column)) => refusal.with_errors(vec![json!({"line": line, "column": column})]),
        _ => refusal,
    }
}

/// What went wrong while planning the statement of that text.
pub(super) fn of_statement(error: &DataFusionError, sql: &str) -> Refusal {
    let mut refusal = from_engine(error);
    if let DataFusionError::SchemaError(schema, _) = error.find_root()
        && let SchemaError::FieldNotFound { field, .. } = schema.as_ref()
        && sql.contains(&format!("\"{}\"", field.name))
    {
        // Double quotes are for names; who writes text in them is told of a column that nobody meant.
        refusal.detail.push_str(&format!(" Text stands in single quotes: '{}'", told(&field.name)));
    }
    refusal
}

/// Anything that went wrong while planning or running.
pub(super) fn from_engine(error: &DataFusionError) -> Refusal {
    let root = error.find_root();
    match root {
        DataFusionError::ResourcesExhausted(text) => exhausted(text),
        DataFusionError::SQL(error, _) => unreadable(&error.to_string()),
        DataFusionError::SchemaError(error, _) => schema(error),
        DataFusionError::Plan(text) => planning(text),
        DataFusionError::NotImplemented(text) => {
            Refusal::new("invalid-sql", format!("not offered: {}", short(text)))
        }
        DataFusionError::Configuration(_) => not_read_only(),
        DataFusionError::Execution(text) => failed(text),
        DataFusionError::ArrowError(error, _) => arrow(error),
        DataFusionError::ParquetError(_) | DataFusionError::ObjectStore(_) | DataFusionError::IoError(_) => {
            unreadable_data(root)
        }
        DataFusionError::External(source) => match source.downcast_ref::<Refusal>() {
            Some(refusal) => refusal.clone(),
            None if is_of_the_lake(root) => unreadable_data(root),
            // What a function says of its arguments, a pattern that is none above all.
            None => failed(&source.to_string()),
        },
        _ => internal(root),
    }
}

fn exhausted(text: &str) -> Refusal {
    if text.starts_with(super::functions::TOO_LARGE) {
        return too_large(short(text));
    }
    // The memory pool's own message names who may spill: only the disk's says this.
    let limit = match text.contains("used disk space") {
        true => "the space on disk that a query may use",
        false => "the memory that a query may use",
    };
    too_large(format!("the query needs more than {limit}"))
}

fn planning(text: &str) -> Refusal {
    if let Some(name) = text.strip_prefix("table '").and_then(|rest| rest.split('\'').next()) {
        let name = name.strip_prefix(super::names::CATALOG).and_then(|n| n.strip_prefix('.')).unwrap_or(name);
        let name =
            name.strip_prefix(super::names::NO_SCHEMA).and_then(|n| n.strip_prefix('.')).unwrap_or(name);
        return unknown_table(name);
    }
    if let Some(name) = text.strip_prefix("Invalid function '").and_then(|rest| rest.split('\'').next()) {
        return unknown_function(name, text);
    }
    if let Some(call) = words::unfit_call(text) {
        return Refusal::new("invalid-sql", format!("no function fits `{}`: write a CAST", told(&call)));
    }
    let unknown = ["table function", "There is no window function", "There is no UDF"];
    match unknown.iter().any(|word| text.contains(word)) {
        true => Refusal::new("unknown-function", short(text)),
        false => Refusal::new("invalid-sql", short(text)),
    }
}

/// The engine tells the function nearest to the name, however far it is.
fn unknown_function(name: &str, text: &str) -> Refusal {
    let nearest = text.split_once("Did you mean '").and_then(|(_, rest)| rest.split('\'').next());
    let hint = did_you_mean(&near(name, nearest));
    Refusal::new("unknown-function", format!("no function `{}`{hint}", told(name)))
}

fn schema(error: &SchemaError) -> Refusal {
    let detail = match error {
        SchemaError::FieldNotFound { field, valid_fields } => return unknown_column(field, valid_fields),
        SchemaError::AmbiguousReference { field } => {
            format!("`{0}` is a column of more than one table: write it as table.{0}", told(&field.name))
        }
        SchemaError::DuplicateQualifiedField { name, .. }
        | SchemaError::DuplicateUnqualifiedField { name } => {
            format!("two columns are called `{}`: give one of them another name with AS", told(name))
        }
    };
    Refusal::new("invalid-sql", detail)
}

fn unknown_column(field: &Column, known: &[Column]) -> Refusal {
    let prefix = format!("{}.", super::names::CATALOG);
    let whole = field.flat_name();
    let whole = whole.strip_prefix(&prefix).unwrap_or(&whole);
    let mut names: Vec<&str> = known.iter().map(|column| column.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    let hint = match near(&field.name, names.iter().copied()).as_slice() {
        [one] if one.to_lowercase() != **one => {
            format!(". Did you mean \"{}\"? A name with capitals stands in double quotes", told(one))
        }
        [] if names.is_empty() => String::new(),
        [] => format!(". There is {}", listed(&names)),
        near => did_you_mean(near),
    };
    let fault = json!({"column": told(whole), "reason": "unknown"});
    let end = if hint.ends_with('?') { "" } else { "." };
    Refusal::new("unknown-column", format!("no column `{}`{hint}{end}", told(whole))).with_errors(vec![fault])
}

fn listed(names: &[&str]) -> String {
    let more = if names.len() > COLUMNS_TOLD { ", …" } else { "" };
    names[..names.len().min(COLUMNS_TOLD)].join(", ") + more
}

/// Enough of a name to recognise it.
fn told(name: &str) -> String {
    name.chars().filter(|c| !c.is_control()).take(130).collect()
}

/// The statement is right, and a value is not.
fn failed(text: &str) -> Refusal {
    Refusal::new("query-failed", short(text))
}

fn arrow(error: &arrow::error::ArrowError) -> Refusal {
    use arrow::error::ArrowError as Arrow;
    match error {
        Arrow::DivideByZero => failed("division by zero"),
        Arrow::CastError(text)
        | Arrow::ComputeError(text)
        | Arrow::ParseError(text)
        | Arrow::ArithmeticOverflow(text)
        | Arrow::InvalidArgumentError(text) => failed(text),
        Arrow::MemoryError(_) | Arrow::OffsetOverflowError(_) | Arrow::DictionaryKeyOverflowError => {
            too_large("the query needs more than the memory that a query may use")
        }
        Arrow::ExternalError(source) if source.downcast_ref::<DataFusionError>().is_some() => {
            source.downcast_ref().map_or_else(|| Refusal::new("internal", "the engine failed"), from_engine)
        }
        other => {
            tracing::error!(error = %other, "the engine failed");
            Refusal::new("internal", "the engine failed")
        }
    }
}

fn unreadable_data(error: &DataFusionError) -> Refusal {
    tracing::error!(%error, "table data could not be read");
    match is_damaged(error) {
        true => Refusal::new("data-corrupt", "stored data of a table fails its checksum"),
        false => Refusal::new("lake-unavailable", "the data of a table cannot be read now"),
    }
}

fn is_of_the_lake(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.any(|cause| {
        cause.is::<std::io::Error>()
            || cause.is::<parquet::errors::ParquetError>()
            || cause.is::<lake::Error>()
    })
}

fn is_damaged(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut causes = std::iter::successors(Some(error), |cause| cause.source());
    causes.any(|cause| cause.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == InvalidData))
}

/// The statement is the customer's, and so is what the engine makes of it; the log says what it was.
fn internal(error: &DataFusionError) -> Refusal {
    tracing::error!(%error, "the engine failed");
    Refusal::new("query-failed", "the engine cannot run this statement")
}

/// One line in our words, without the engine's own prefixes and hints, cut to a length.
fn short(text: &str) -> String {
    let text = text.split("\n\nbacktrace").next().unwrap_or(text);
    let text = words::ours(text);
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("sql parser error: ").unwrap_or(text);
    text.chars().filter(|c| !c.is_control()).take(DETAIL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_of_a_mistake_is_told() {
        let refusal = unreadable("Expected: an SQL statement, found: selekt at Line: 1, Column: 8");
        assert_eq!(refusal.errors, [json!({"line": 1, "column": 8})]);
    }

    #[test]
    fn limits_are_named() {
        let refusal =
            from_engine(&DataFusionError::ResourcesExhausted("Failed to allocate additional 1 MB".into()));
        assert_eq!(refusal.code, "query-too-large");
        assert!(refusal.detail.contains("memory"), "{}", refusal.detail);
    }

    #[test]
    fn an_unknown_table_says_no_more_than_its_name() {
        let refusal = from_engine(&DataFusionError::Plan("table 'lake.my.secret' not found".into()));
        assert_eq!(
            (refusal.code.as_str(), refusal.detail.as_str()),
            ("unknown-table", "no table `my.secret`")
        );
    }
}
