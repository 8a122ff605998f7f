//! One entry of the log, read and written.

use std::collections::{BTreeMap, HashMap};

use deltalake_core::kernel::{Action, Add, Metadata, Protocol, Remove, Transaction};
use serde::Deserialize;
use serde_json::Value;

use crate::file::DataFile;
use crate::{Error, Version, stats};

const SORT: &str = "lakefront.sort";
const SHA256: &str = "lakefront.sha256";
const BLOCKS: &str = "lakefront.blocks";

/// An application transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Txn {
    pub app: String,
    pub number: i64,
}

/// A file that is no longer part of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub path: String,
    /// Milliseconds since the epoch.
    pub at: i64,
}

/// What one commit says, or what a checkpoint adds up to.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub version: Version,
    pub protocol: Option<Protocol>,
    pub metadata: Option<Metadata>,
    pub add: Vec<DataFile>,
    pub remove: Vec<Removed>,
    pub txn: Vec<Txn>,
    /// Whether rows changed, and files were not merely laid out anew.
    pub changes_data: bool,
}

/// A line of the log; what is not named here (commit infos, sidecars of no concern) is passed over.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Line {
    add: Option<Add>,
    remove: Option<RemoveLine>,
    meta_data: Option<Metadata>,
    protocol: Option<Protocol>,
    txn: Option<Transaction>,
    sidecar: Option<Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RemoveLine {
    path: String,
    #[serde(default)]
    data_change: bool,
    #[serde(default)]
    deletion_timestamp: Option<i64>,
}

impl Entry {
    /// Reads the lines of an entry. Errors: [`Error::Unsupported`] for what we do not read, [`Error::Corrupt`] for
    /// what nobody can.
    pub fn parse(version: Version, bytes: &[u8]) -> Result<Self, Error> {
        let mut entry = Self { version, ..Self::default() };
        for line in bytes.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            let line = serde_json::from_slice(line).map_err(|error| {
                tracing::error!(version, %error, "a log entry cannot be read");
                Error::Corrupt { path: super::entry_name(version) }
            })?;
            entry.take(line)?;
        }
        Ok(entry)
    }

    fn take(&mut self, line: Line) -> Result<(), Error> {
        if line.sidecar.is_some() {
            return Err(Error::Unsupported("checkpoints with sidecars".to_owned()));
        }
        if let Some(add) = line.add {
            self.changes_data |= add.data_change;
            self.add.push(data_file(add)?);
        }
        if let Some(remove) = line.remove {
            self.changes_data |= remove.data_change;
            self.remove
                .push(Removed { path: decoded(&remove.path)?, at: remove.deletion_timestamp.unwrap_or(0) });
        }
        self.txn.extend(line.txn.map(|txn| Txn { app: txn.app_id, number: txn.version }));
        self.metadata = line.meta_data.or(self.metadata.take());
        self.protocol = line.protocol.or(self.protocol.take());
        Ok(())
    }
}

fn decoded(path: &str) -> Result<String, Error> {
    // names we write need no escapes; those of others are read through the crate's own rule
    let add: Add = serde_json::from_value(serde_json::json!({
        "path": path, "partitionValues": {}, "size": 0, "modificationTime": 0, "dataChange": false,
    }))?;
    Ok(add.path)
}

fn data_file(add: Add) -> Result<DataFile, Error> {
    if add.deletion_vector.is_some() {
        return Err(Error::Unsupported("deletion vectors".to_owned()));
    }
    let mut tags: HashMap<String, String> =
        add.tags.unwrap_or_default().into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let mut file = DataFile {
        path: add.path,
        size: u64::try_from(add.size).unwrap_or(0),
        partition: add.partition_values.into_iter().collect(),
        modified: add.modification_time,
        sha256: tags.remove(SHA256),
        blocks: tags.remove(BLOCKS).and_then(|text| text.try_into().ok()),
        sort: tags.remove(SORT).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        ..DataFile::default()
    };
    let told = add.stats.as_deref().is_some_and(|text| stats::from_log(text, &mut file));
    if told { Ok(file) } else { Err(Error::Unsupported("files whose number of rows is not told".to_owned())) }
}

/// The Add action of a file.
pub(crate) fn add_action(file: &DataFile, data_change: bool) -> Action {
    let blocks = file.blocks.clone().map(String::from);
    let sort = (!file.sort.is_empty()).then(|| serde_json::json!(file.sort).to_string());
    let tags = [(SHA256, file.sha256.clone()), (BLOCKS, blocks), (SORT, sort)];
    let tags: HashMap<_, _> =
        tags.into_iter().filter_map(|(name, value)| Some((name.to_owned(), Some(value?)))).collect();
    Action::Add(Add {
        path: file.path.clone(),
        partition_values: file.partition.clone().into_iter().collect(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: file.modified,
        data_change,
        stats: Some(stats::to_log(file)),
        tags: (!tags.is_empty()).then_some(tags),
        ..Add::default()
    })
}

/// The Remove action of a file.
pub(crate) fn remove_action(file: &DataFile, data_change: bool, now_ms: i64) -> Action {
    Action::Remove(Remove {
        path: file.path.clone(),
        data_change,
        deletion_timestamp: Some(now_ms),
        extended_file_metadata: Some(true),
        partition_values: Some(file.partition.clone().into_iter().collect()),
        size: i64::try_from(file.size).ok(),
        ..Remove::default()
    })
}

/// The bytes of an entry, one action a line.
pub(crate) fn write_actions(actions: &[Action]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(actions.len() * 512);
    for action in actions {
        serde_json::to_writer(&mut bytes, action)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Whether two files belong to one partition.
pub(crate) fn in_partition(file: &DataFile, partition: &BTreeMap<String, Option<String>>) -> bool {
    partition.iter().all(|(column, value)| file.partition.get(column).unwrap_or(&None) == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_reads_back_as_it_was_written() {
        let file = DataFile {
            path: "part-é 1.parquet".into(),
            size: 10,
            rows: 2,
            partition: [("day".to_owned(), Some("2026-01-01".to_owned())), ("x".to_owned(), None)].into(),
            min: [("a".to_owned(), 1.into())].into(),
            max: [("a".to_owned(), 2.into())].into(),
            nulls: [("a".to_owned(), 0)].into(),
            modified: 5,
            sha256: Some("00".into()),
            blocks: None,
            sort: vec!["a".into()],
        };
        let bytes = write_actions(&[add_action(&file, true), remove_action(&file, true, 9)]).unwrap();
        let entry = Entry::parse(3, &bytes).unwrap();
        let removed = Removed { path: file.path.clone(), at: 9 };
        assert_eq!((entry.add, entry.remove, entry.changes_data), (vec![file], vec![removed], true));
    }

    #[test]
    fn what_we_do_not_read_is_refused_and_what_does_not_matter_passed_over() {
        assert!(
            Entry::parse(0, b"{\"commitInfo\":{\"operation\":\"WRITE\"}}\n{\"domainMetadata\":{}}\n").is_ok()
        );
        assert!(matches!(Entry::parse(0, b"{\"sidecar\":{}}"), Err(Error::Unsupported(_))));
        assert!(matches!(Entry::parse(0, b"half a li"), Err(Error::Corrupt { .. })));
        let bare =
            r#"{"add":{"path":"a","partitionValues":{},"size":1,"modificationTime":0,"dataChange":true}}"#;
        assert!(matches!(Entry::parse(0, bare.as_bytes()), Err(Error::Unsupported(_))));
    }
}
