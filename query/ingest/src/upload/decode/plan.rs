//! Which columns the dataset gets, where in the file they come from, and how they are read.

use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;

use super::facts::{Facts, Reading};
use super::fault::Fault;
use super::marks::Found;
use super::names::{Named, sql_name};
use super::request::{DecodeRequest, DecodedColumn, TableColumn, UnknownColumns};
use super::types::Type;

/// Names that a message lists.
const LISTED: usize = 10;

/// One column of the dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Planned {
    pub name: String,
    pub label: String,
    pub reading: Reading,
    /// The file's column; `None` where the file has none for it.
    pub source: Option<usize>,
}

/// All of them, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub columns: Vec<Planned>,
    /// Positions of the key columns.
    pub key: Vec<usize>,
    /// Columns of the file that the table does not have, where they are kept.
    pub beyond: Vec<String>,
}

impl Plan {
    /// Columns for a file with these names, facts and decimal mark. Errors: a type, key or table that does not go with the file.
    pub fn new(
        request: &DecodeRequest,
        named: &[Named],
        facts: &[Facts],
        found: Found,
    ) -> Result<Self, Fault> {
        let given = given_types(request, named)?;
        let mut columns = match &request.table {
            None => Vec::with_capacity(named.len()),
            Some(_) => of_table(request, named)?,
        };
        // Without a table all of the file's columns are taken; with one, those that it lacks, where they are kept.
        let lacks = |named: &Named| !columns.iter().any(|column: &Planned| column.name == named.name);
        let own = named.iter().enumerate().filter(|(_, named)| request.table.is_none() || lacks(named));
        let own: Vec<Planned> = own.map(|(at, named)| of_file(at, named)).collect();
        let beyond = request.table.iter().flat_map(|_| &own).map(|column| column.name.clone()).collect();
        columns.extend(own);
        for column in &mut columns {
            let Some(at) = column.source else { continue };
            let of_table =
                request.table.as_ref().and_then(|table| table.iter().find(|known| known.name == column.name));
            column.reading = match of_table.map(|known| known.of).or(given[at]) {
                None => facts[at].reading(found),
                Some(of) => facts[at]
                    .reading_as(of, found)
                    .map_err(|why| Fault::malformed(format!("column `{}`: {why}", column.label)))?,
            };
            column.reading.instants = of_table.is_some() && request.instants_as_dates;
        }
        let key = key_places(&request.key, &columns)?;
        Ok(Self { columns, key, beyond })
    }

    pub fn schema(&self) -> SchemaRef {
        let field = |column: &Planned| Field::new(&column.name, column.reading.of.arrow(), true);
        Arc::new(Schema::new(self.columns.iter().map(field).collect::<Vec<_>>()))
    }

    pub fn names(&self) -> Vec<String> {
        self.columns.iter().map(|column| column.name.clone()).collect()
    }

    pub fn decoded(&self) -> Vec<DecodedColumn> {
        let column = |column: &Planned| DecodedColumn {
            name: column.name.clone(),
            label: column.label.clone(),
            of: column.reading.of,
            nulls: 0,
            note: None,
            absent: column.source.is_none(),
        };
        self.columns.iter().map(column).collect()
    }
}

/// Whether a caller's word means this column.
fn is_meant(word: &str, named: &Named) -> bool {
    named.name == word || named.label == word
}

/// The types the caller asked for, by the file's columns.
fn given_types(request: &DecodeRequest, named: &[Named]) -> Result<Vec<Option<Type>>, Fault> {
    let mut given = vec![None; named.len()];
    for (word, of) in &request.types {
        let Some(at) = named.iter().position(|named| is_meant(word, named)) else {
            return Err(Fault::parameter(format!(
                "`types` names the column `{word}`, which the file does not have"
            )));
        };
        given[at] =
            Some(of.parse().map_err(|error| Fault::parameter(format!("`types` for `{word}`: {error}")))?);
    }
    Ok(given)
}

/// A column of the file as it stands there.
fn of_file(at: usize, named: &Named) -> Planned {
    let (name, label) = (named.name.clone(), named.label.clone());
    Planned { name, label, reading: Reading::of(Type::Text), source: Some(at) }
}

/// The file's columns that the table does not have.
fn beside<'a>(table: &'a [TableColumn], named: &'a [Named]) -> impl Iterator<Item = &'a Named> {
    named.iter().filter(|named| !table.iter().any(|known| known.name == named.name))
}

/// The table's columns, each with the file's column of that name. Errors: a column that the table does not have.
fn of_table(request: &DecodeRequest, named: &[Named]) -> Result<Vec<Planned>, Fault> {
    let table = request.table.as_deref().unwrap_or_default();
    let unknown: Vec<_> = beside(table, named).collect();
    if !unknown.is_empty() && request.unknown == UnknownColumns::Refuse {
        return Err(mismatch(&unknown, named, table));
    }
    let column = |known: &TableColumn| Planned {
        name: known.name.clone(),
        label: known.name.clone(),
        reading: Reading { given: true, ..Reading::of(known.of) },
        source: named.iter().position(|named| named.name == known.name),
    };
    Ok(table.iter().map(column).collect())
}

/// The file's columns that the table lacks, and the table's that the file lacks.
fn mismatch(unknown: &[&Named], named: &[Named], table: &[TableColumn]) -> Fault {
    let foreign: Vec<&str> = unknown.iter().map(|named| named.name.as_str()).collect();
    let known = table.iter().map(|known| known.name.as_str());
    let missing: Vec<&str> = known.filter(|name| !named.iter().any(|named| named.name == *name)).collect();
    let mut detail = format!("the dataset has no column {}", list(&foreign));
    if !missing.is_empty() {
        detail = format!("{detail}, and the file has no column {}", list(&missing));
    }
    let place =
        |reason: &'static str| move |name: &&str| serde_json::json!({ "column": name, "reason": reason });
    let places = foreign.iter().map(place("is not in the dataset"));
    places.chain(missing.iter().map(place("is not in the file"))).fold(Fault::mismatch(detail), Fault::at)
}

/// The first names in words.
fn list(names: &[&str]) -> String {
    let shown = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(LISTED) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

fn key_places(key: &[String], columns: &[Planned]) -> Result<Vec<usize>, Fault> {
    let place = |word: &String| {
        let named = |column: &Planned| {
            column.source.is_some()
                && (column.name == *word || column.label == *word || column.name == sql_name(word))
        };
        let missing =
            || Fault::parameter(format!("`key` names the column `{word}`, which the file does not have"));
        columns.iter().position(named).ok_or_else(missing)
    };
    key.iter().map(place).collect()
}
