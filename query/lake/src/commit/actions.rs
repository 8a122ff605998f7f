//! What is written into an entry.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::{Commit, Remove};
use crate::file::DataFile;
use crate::log::checkpoint::{INTENTS_DAYS, REMOVALS_HOURS};
use crate::log::{
    Entry, Format, Line, Metadata, Protocol, Transaction, add_line, columns, entry_name, remove_line,
    write_lines,
};
use crate::snapshot::{Snapshot, intent_app};
use crate::store::Store;
use crate::{Error, Location, stats};

/// Names that the commit info has a meaning for; a second of the same name would make it unreadable.
const RESERVED: [&str; 11] = [
    "timestamp",
    "inCommitTimestamp",
    "userId",
    "userName",
    "operation",
    "operationParameters",
    "readVersion",
    "isolationLevel",
    "isBlindAppend",
    "engineInfo",
    "userMetadata",
];

/// Puts version 0; `None` if there is one.
pub(crate) async fn create(
    store: &Store,
    at: &Location,
    schema: &Schema,
    partition_by: &[&str],
) -> Result<Option<Entry>, Error> {
    let info = [("operation".to_owned(), json!("CREATE TABLE"))].into_iter().chain(info()).collect();
    let protocol = Protocol {
        min_reader_version: 1,
        min_writer_version: 2,
        reader_features: None,
        writer_features: None,
    };
    let bytes = write_lines(&[
        Line { commit_info: Some(info), ..Line::default() },
        Line { protocol: Some(protocol), ..Line::default() },
        Line { meta_data: Some(metadata(schema, partition_by)?), ..Line::default() },
    ])?;
    match store.create(&at.log(&entry_name(0)), bytes.clone()).await {
        Ok(()) => Entry::parse(0, &bytes).map(Some),
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn metadata(schema: &Schema, partition_by: &[&str]) -> Result<Metadata, Error> {
    let configuration = properties().map(|(name, value)| (name.to_owned(), Some(value)));
    Ok(Metadata {
        id: uuid::Uuid::new_v4().to_string(),
        name: None,
        description: None,
        format: Format { provider: "parquet".to_owned(), options: Some([].into()) },
        schema_string: columns::to_text(schema)?,
        partition_columns: partition_by.iter().map(|column| (*column).to_owned()).collect(),
        configuration: Some(configuration.into()),
        created_time: Some(Utc::now().timestamp_millis()),
    })
}

/// What other writers and cleaners of the table are told.
fn properties() -> [(&'static str, String); 5] {
    [
        ("delta.checkpointInterval", "100".to_owned()),
        ("delta.dataSkippingNumIndexedCols", stats::MOST_COLUMNS.to_string()),
        ("delta.logRetentionDuration", "interval 30 days".to_owned()),
        // which files old versions still need is told by the versions that are kept, not by the log
        ("delta.deletedFileRetentionDuration", format!("interval {REMOVALS_HOURS} hours")),
        ("delta.setTransactionRetentionDuration", format!("interval {INTENTS_DAYS} days")),
    ]
}

/// Who wrote an entry, and when.
fn info() -> [(String, Value); 2] {
    [
        ("timestamp".to_owned(), json!(Utc::now().timestamp_millis())),
        ("engineInfo".to_owned(), json!(concat!("lakefront/", env!("CARGO_PKG_VERSION")))),
    ]
}

/// The bytes of the next entry.
pub(super) fn entry_bytes(
    base: &Snapshot,
    commit: &Commit,
    schema: Option<&SchemaRef>,
    removed: &[Arc<DataFile>],
) -> Result<Vec<u8>, Error> {
    let now = Utc::now().timestamp_millis();
    let intent = Transaction {
        app_id: intent_app(commit.intent),
        version: base.version() + 1,
        last_updated: Some(now),
    };
    let count = commit.txn.iter().map(|(app, number)| Transaction {
        app_id: app.clone(),
        version: *number,
        last_updated: None,
    });
    let mut lines = vec![Line { commit_info: Some(commit_info(commit)), ..Line::default() }];
    if let Some(schema) = schema.filter(|schema| *schema != base.schema()) {
        let metadata = new_columns(base, schema, &commit.remove)?;
        lines.push(Line { meta_data: Some(metadata), ..Line::default() });
    }
    lines.extend([intent].into_iter().chain(count).map(|txn| Line { txn: Some(txn), ..Line::default() }));
    lines.extend(removed.iter().map(|file| remove_line(file, commit.changes_data, now)));
    lines.extend(commit.add.iter().map(|file| add_line(file, commit.changes_data)));
    write_lines(&lines)
}

fn commit_info(commit: &Commit) -> Map<String, Value> {
    let own = |name: &String| !RESERVED.contains(&name.as_str());
    let mut told: Map<String, Value> =
        commit.metadata.clone().into_iter().filter(|(name, _)| own(name)).chain(info()).collect();
    told.insert("intent".to_owned(), json!(commit.intent.to_string()));
    told.insert("operation".to_owned(), json!(commit.operation));
    told.insert(
        "isBlindAppend".to_owned(),
        json!(commit.read_version.is_none() && commit.remove == Remove::None),
    );
    told.extend(commit.read_version.map(|version| ("readVersion".to_owned(), json!(version))));
    told
}

/// The table's columns after the change. Files that stay must still be readable by them.
fn new_columns(base: &Snapshot, schema: &SchemaRef, remove: &Remove) -> Result<Metadata, Error> {
    if *remove != Remove::All {
        for field in base.schema().fields() {
            let kept =
                schema.field_with_name(field.name()).is_ok_and(|new| new.data_type() == field.data_type());
            if !kept {
                return Err(Error::Unsupported(format!(
                    "column {} changes while its rows stay",
                    field.name()
                )));
            }
        }
    }
    if base.partition_columns().iter().any(|column| schema.column_with_name(column).is_none()) {
        return Err(Error::Unsupported("a partition column goes".to_owned()));
    }
    Ok(Metadata { schema_string: columns::to_text(schema)?, ..base.metadata().clone() })
}
