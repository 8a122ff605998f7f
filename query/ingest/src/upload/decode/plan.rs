//! Which columns the dataset gets, where in the file they come from, and how they are read.

use arrow::datatypes::{Field, Schema, SchemaRef};
use std::sync::Arc;

use super::facts::{Facts, Reading};
use super::fault::Fault;
use super::names::{Named, sql_name};
use super::request::{DecodeRequest, DecodedColumn};
use super::types::Type;

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
}

impl Plan {
    /// Columns for a file with these names and facts. Errors: a type, key or table that does not go with the file.
    pub fn new(request: &DecodeRequest, named: &[Named], facts: &[Facts]) -> Result<Self, Fault> {
        let given = given_types(request, named)?;
        let mut columns = match &request.table {
            None => Vec::with_capacity(named.len()),
            Some(_) => of_table(request, named)?,
        };
        if request.table.is_none() {
            columns.extend(named.iter().enumerate().map(|(at, named)| Planned {
                name: named.name.clone(),
                label: named.label.clone(),
                reading: Reading::of(Type::Text),
                source: Some(at),
            }));
        }
        for column in &mut columns {
            let Some(at) = column.source else { continue };
            let of_table =
                request.table.as_ref().and_then(|table| table.iter().find(|known| known.name == column.name));
            column.reading = match of_table.map(|known| known.of).or(given[at]) {
                None => facts[at].reading(),
                Some(of) => facts[at]
                    .reading_as(of)
                    .map_err(|why| Fault::malformed(format!("column `{}`: {why}", column.label)))?,
            };
        }
        let key = key_places(&request.key, &columns)?;
        Ok(Self { columns, key })
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

/// The table's columns, each with the file's column of that name. Errors: a column that the table does not have.
fn of_table(request: &DecodeRequest, named: &[Named]) -> Result<Vec<Planned>, Fault> {
    let table = request.table.as_deref().unwrap_or_default();
    let unknown: Vec<_> =
        named.iter().filter(|named| !table.iter().any(|known| known.name == named.name)).collect();
    if let Some(first) = unknown.first() {
        let fault = Fault::malformed(format!("the dataset has no column `{}`", first.name));
        let place =
            |named: &&Named| serde_json::json!({ "column": named.name, "reason": "is not in the dataset" });
        return Err(unknown.iter().map(place).fold(fault, Fault::at));
    }
    let column = |known: &super::request::TableColumn| Planned {
        name: known.name.clone(),
        label: known.name.clone(),
        reading: Reading { given: true, ..Reading::of(known.of) },
        source: named.iter().position(|named| named.name == known.name),
    };
    Ok(table.iter().map(column).collect())
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
