//! The lines of a log as the Delta protocol has them, in the names and types of its JSON.
//!
//! Only what we write or judge by is named; everything else of other writers is passed over.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use serde_with::skip_serializing_none;

/// Text by text, or nothing.
pub(crate) type Values = BTreeMap<String, Option<String>>;

/// One line: exactly one of these is there.
#[skip_serializing_none]
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Line {
    pub protocol: Option<Protocol>,
    pub meta_data: Option<Metadata>,
    pub txn: Option<Transaction>,
    pub remove: Option<Remove>,
    pub add: Option<Add>,
    /// Written for people and other tools; nothing of ours depends on it.
    #[serde(skip_deserializing)]
    pub commit_info: Option<Map<String, Value>>,
    /// A part of a checkpoint that lies elsewhere; never written.
    #[serde(skip_serializing)]
    pub sidecar: Option<Value>,
}

/// What a reader and a writer must know to take the table's files for what they mean.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Protocol {
    pub min_reader_version: i32,
    pub min_writer_version: i32,
    pub reader_features: Option<Vec<String>>,
    pub writer_features: Option<Vec<String>>,
}

/// A table's columns and settings.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub id: String,
    pub name: Option<String>,
    pub description: Option<String>,
    pub format: Format,
    /// The columns, as [`super::columns`] writes them.
    pub schema_string: String,
    pub partition_columns: Vec<String>,
    pub configuration: Option<Values>,
    /// Milliseconds since the epoch.
    pub created_time: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Format {
    pub provider: String,
    pub options: Option<Values>,
}

/// The last number of an application.
#[skip_serializing_none]
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Transaction {
    pub app_id: String,
    pub version: i64,
    /// Milliseconds since the epoch; those without one are kept for ever.
    pub last_updated: Option<i64>,
}

/// A file that becomes part of the table.
#[skip_serializing_none]
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Add {
    #[serde(with = "uri")]
    pub path: String,
    pub partition_values: Values,
    /// Bytes.
    pub size: i64,
    /// Milliseconds since the epoch.
    pub modification_time: i64,
    pub data_change: bool,
    /// JSON text: rows, bounds, NULLs.
    pub stats: Option<String>,
    pub tags: Option<Values>,
    #[serde(skip_serializing)]
    pub deletion_vector: Option<Value>,
}

/// A file that leaves the table.
#[skip_serializing_none]
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Remove {
    #[serde(with = "uri")]
    pub path: String,
    /// Milliseconds since the epoch.
    pub deletion_timestamp: Option<i64>,
    #[serde(default)]
    pub data_change: bool,
    pub extended_file_metadata: Option<bool>,
    pub partition_values: Option<Values>,
    /// Bytes.
    pub size: Option<i64>,
}

/// Characters that stand for themselves in the URI that a path is written as (RFC 2396); all others are escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'=')
    .remove(b':')
    .remove(b'@')
    .remove(b'+')
    .remove(b',')
    .remove(b'!');

mod uri {
    use percent_encoding::{percent_decode_str, utf8_percent_encode};
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    pub fn serialize<S: Serializer>(path: &str, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&utf8_percent_encode(path, super::ESCAPED))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
        let escaped = String::deserialize(from)?;
        Ok(percent_decode_str(&escaped).decode_utf8().map_err(D::Error::custom)?.into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_written_as_a_uri_and_read_back_as_it_was() {
        for (path, written) in [
            ("day=2026-01-01/part-1.parquet", "day=2026-01-01/part-1.parquet"),
            ("name=São Paulo/50%.parquet", "name=S%C3%A3o%20Paulo/50%25.parquet"),
        ] {
            let add = Add { path: path.to_owned(), ..Add::default() };
            let line = serde_json::to_value(Line { add: Some(add), ..Line::default() }).unwrap();
            assert_eq!(line["add"]["path"], written);
            let line: Line = serde_json::from_value(line).unwrap();
            assert_eq!(line.add.unwrap().path, path);
        }
    }
}
