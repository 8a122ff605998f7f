//! What is written into an entry.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use chrono::Utc;
use deltalake_core::kernel::{Action, CommitInfo, MetadataExt as _, Protocol, Transaction, new_metadata};
use serde_json::{Value, json};

use super::{Commit, Remove};
use crate::file::DataFile;
use crate::log::{Entry, add_action, entry_name, remove_action, write_actions};
use crate::snapshot::{Snapshot, intent_app};
use crate::store::Store;
use crate::types::to_delta;
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
    let protocol: Protocol = serde_json::from_value(json!({"minReaderVersion": 1, "minWriterVersion": 2}))?;
    let metadata = new_metadata(&to_delta(schema)?, partition_by, properties()).map_err(Error::internal)?;
    let info = CommitInfo { operation: Some("CREATE TABLE".to_owned()), ..info() };
    let bytes =
        write_actions(&[Action::CommitInfo(info), Action::Protocol(protocol), Action::Metadata(metadata)])?;
    match store.create(&at.log(&entry_name(0)), bytes.clone()).await {
        Ok(()) => Entry::parse(0, &bytes).map(Some),
        Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What other writers and cleaners of the table are told.
fn properties() -> [(&'static str, String); 5] {
    [
        ("delta.checkpointInterval", "100".to_owned()),
        ("delta.dataSkippingNumIndexedCols", stats::MOST_COLUMNS.to_string()),
        ("delta.logRetentionDuration", "interval 30 days".to_owned()),
        // which files old versions still need is told by the versions that are kept, not by the log
        ("delta.deletedFileRetentionDuration", "interval 2 hours".to_owned()),
        // intents carry a time and go from checkpoints after it; the applications' own counts carry none and stay
        ("delta.setTransactionRetentionDuration", "interval 1 days".to_owned()),
    ]
}

fn info() -> CommitInfo {
    CommitInfo {
        timestamp: Some(Utc::now().timestamp_millis()),
        engine_info: Some(concat!("lakefront/", env!("CARGO_PKG_VERSION")).to_owned()),
        ..CommitInfo::default()
    }
}

/// The bytes of the next entry.
pub(super) fn entry_bytes(
    base: &Snapshot,
    commit: &Commit,
    schema: Option<&SchemaRef>,
    removed: &[Arc<DataFile>],
) -> Result<Vec<u8>, Error> {
    let now = Utc::now().timestamp_millis();
    let version = base.version() + 1;
    let mut actions = vec![Action::CommitInfo(commit_info(commit))];
    if let Some(schema) = schema.filter(|schema| *schema != base.schema()) {
        actions.push(new_columns(base, schema, &commit.remove)?);
    }
    actions.push(Action::Txn(Transaction::new_with_last_update(
        intent_app(commit.intent),
        version,
        Some(now),
    )));
    actions.extend(commit.txn.iter().map(|(app, number)| Action::Txn(Transaction::new(app, *number))));
    actions.extend(removed.iter().map(|file| remove_action(file, commit.changes_data, now)));
    actions.extend(commit.add.iter().map(|file| add_action(file, commit.changes_data)));
    write_actions(&actions)
}

fn commit_info(commit: &Commit) -> CommitInfo {
    let own = |name: &String| !RESERVED.contains(&name.as_str());
    let mut more: HashMap<String, Value> =
        commit.metadata.clone().into_iter().filter(|(name, _)| own(name)).collect();
    more.insert("intent".to_owned(), json!(commit.intent.to_string()));
    let blind = commit.read_version.is_none() && commit.remove == Remove::None;
    CommitInfo {
        operation: Some(commit.operation.clone()),
        read_version: commit.read_version.and_then(|version| u64::try_from(version).ok()),
        is_blind_append: Some(blind),
        info: more,
        ..info()
    }
}

/// The table's columns after the change. Files that stay must still be readable by them.
fn new_columns(base: &Snapshot, schema: &SchemaRef, remove: &Remove) -> Result<Action, Error> {
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
    let metadata = base.metadata().clone().with_schema(&to_delta(schema)?).map_err(Error::internal)?;
    Ok(Action::Metadata(metadata))
}
