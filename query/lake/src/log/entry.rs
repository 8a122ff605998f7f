//! One entry of the log, read and written.

use super::line::{Add, Line, Metadata, Protocol, Remove, Transaction, Values};
use crate::file::DataFile;
use crate::{Error, Version, stats};

const SORT: &str = "lakefront.sort";
const SHA256: &str = "lakefront.sha256";
const BLOCKS: &str = "lakefront.blocks";

/// A file that is no longer part of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Removed {
    pub path: String,
    /// Milliseconds since the epoch.
    pub at: i64,
    /// Bytes.
    pub size: i64,
    pub partition: Values,
}

impl Removed {
    /// The line that tells of it once more, in a checkpoint.
    pub fn line(&self) -> Line {
        remove(&self.path, false, self.at, self.size, self.partition.clone())
    }
}

/// What one commit says, or what a checkpoint adds up to.
#[derive(Debug, Default)]
pub(crate) struct Entry {
    pub version: Version,
    pub protocol: Option<Protocol>,
    pub metadata: Option<Metadata>,
    pub add: Vec<DataFile>,
    pub remove: Vec<Removed>,
    pub txn: Vec<Transaction>,
    /// Whether rows changed, and files were not merely laid out anew.
    pub changes_data: bool,
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
            self.remove.push(Removed {
                path: remove.path,
                at: remove.deletion_timestamp.unwrap_or(0),
                size: remove.size.unwrap_or(0),
                partition: remove.partition_values.unwrap_or_default(),
            });
        }
        self.txn.extend(line.txn);
        self.metadata = line.meta_data.or(self.metadata.take());
        self.protocol = line.protocol.or(self.protocol.take());
        Ok(())
    }
}

fn data_file(add: Add) -> Result<DataFile, Error> {
    if add.deletion_vector.is_some() {
        return Err(Error::Unsupported("deletion vectors".to_owned()));
    }
    let mut tags = add.tags.unwrap_or_default();
    let mut tag = |name| tags.remove(name).flatten();
    let mut file = DataFile {
        path: add.path,
        size: u64::try_from(add.size).unwrap_or(0),
        partition: add.partition_values,
        modified: add.modification_time,
        sha256: tag(SHA256),
        blocks: tag(BLOCKS).and_then(|text| text.try_into().ok()),
        sort: tag(SORT).and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default(),
        ..DataFile::default()
    };
    let told = add.stats.as_deref().is_some_and(|text| stats::from_log(text, &mut file));
    if told { Ok(file) } else { Err(Error::Unsupported("files whose number of rows is not told".to_owned())) }
}

/// The line by which a file becomes part of a table.
pub(crate) fn add_line(file: &DataFile, data_change: bool) -> Line {
    let blocks = file.blocks.clone().map(String::from);
    let sort = (!file.sort.is_empty()).then(|| serde_json::json!(file.sort).to_string());
    let tags = [(SHA256, file.sha256.clone()), (BLOCKS, blocks), (SORT, sort)];
    let tags: Values =
        tags.into_iter().filter(|(_, value)| value.is_some()).map(|(name, v)| (name.to_owned(), v)).collect();
    let add = Add {
        path: file.path.clone(),
        partition_values: file.partition.clone(),
        size: i64::try_from(file.size).unwrap_or(i64::MAX),
        modification_time: file.modified,
        data_change,
        stats: Some(stats::to_log(file)),
        tags: (!tags.is_empty()).then_some(tags),
        deletion_vector: None,
    };
    Line { add: Some(add), ..Line::default() }
}

/// The line by which a file leaves a table.
pub(crate) fn remove_line(file: &DataFile, data_change: bool, now_ms: i64) -> Line {
    let size = i64::try_from(file.size).unwrap_or(i64::MAX);
    remove(&file.path, data_change, now_ms, size, file.partition.clone())
}

fn remove(path: &str, data_change: bool, at: i64, size: i64, partition: Values) -> Line {
    let remove = Remove {
        path: path.to_owned(),
        data_change,
        deletion_timestamp: Some(at),
        extended_file_metadata: Some(true),
        partition_values: Some(partition),
        size: Some(size),
    };
    Line { remove: Some(remove), ..Line::default() }
}

/// The bytes of an entry.
pub(crate) fn write_lines(lines: &[Line]) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::with_capacity(lines.len() * 512);
    for line in lines {
        serde_json::to_writer(&mut bytes, line)?;
        bytes.push(b'\n');
    }
    Ok(bytes)
}

/// Whether two files belong to one partition.
pub(crate) fn in_partition(file: &DataFile, partition: &Values) -> bool {
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
        let bytes = write_lines(&[add_line(&file, true), remove_line(&file, true, 9)]).unwrap();
        let entry = Entry::parse(3, &bytes).unwrap();
        let removed = Removed { path: file.path.clone(), at: 9, size: 10, partition: file.partition.clone() };
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
