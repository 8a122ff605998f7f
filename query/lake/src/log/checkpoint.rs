//! Checkpoints: all that the entries up to a version add up to, in one Parquet file.
//!
//! Its rows are the lines of an entry in columns. So both ways lead over lines: what is written is what an entry would
//! say, and one parser reads both. Source: the Delta protocol, "Checkpoints".

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use arrow::json::writer::LineDelimited;
use arrow::json::{ReaderBuilder, WriterBuilder};
use bytes::Bytes;
use chrono::{DateTime, Duration, Utc};
use object_store::ObjectStoreExt as _;
use object_store::path::Path;
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::json;

use super::entry::{Entry, write_lines};
use super::line::Line;
use super::open::entries;
use crate::store::Store;
use crate::{Error, Location, Version};

/// Removals older than this are no longer told, as `delta.deletedFileRetentionDuration` says.
pub(crate) const REMOVALS_HOURS: i64 = 2;
/// Intents older than this are no longer told, as `delta.setTransactionRetentionDuration` says. The applications' own
/// counts carry no time and stay.
pub(crate) const INTENTS_DAYS: i64 = 1;

pub(crate) const HINT: &str = "_last_checkpoint";

fn path(location: &Location, version: Version) -> Path {
    location.log(&format!("{version:020}.checkpoint.parquet"))
}

/// Reads the checkpoint of a version as one entry.
pub(super) async fn read(store: &Store, location: &Location, version: Version) -> Result<Entry, Error> {
    let bytes = store.objects.get(&path(location, version)).await?.bytes().await?;
    tokio::task::spawn_blocking(move || parse(version, bytes)).await.map_err(Error::internal)?
}

fn parse(version: Version, bytes: Bytes) -> Result<Entry, Error> {
    let mut lines = WriterBuilder::new().with_explicit_nulls(true).build::<_, LineDelimited>(Vec::new());
    for batch in ParquetRecordBatchReaderBuilder::try_new(bytes)?.build()? {
        lines.write(&batch?)?;
    }
    lines.finish()?;
    let entry = Entry::parse(version, &lines.into_inner())?;
    // what changed when is not told: readers from before must take it that something did
    Ok(Entry { changes_data: true, ..entry })
}

/// Writes the checkpoint of a version, and the note by which readers find it. Errors: [`Error::VersionGone`] if that
/// version cannot be put together any more.
pub(crate) async fn write(store: &Store, location: &Location, version: Version) -> Result<(), Error> {
    let state = Entry { version, ..total(entries(store, location, version).await?) };
    let now = Utc::now();
    let (rows, files) = (lines(&state, now)?, state.add.len());
    let count = rows.len();
    let bytes = tokio::task::spawn_blocking(move || to_parquet(&rows)).await.map_err(Error::internal)??;
    let hint = json!({"version": version, "size": count, "sizeInBytes": bytes.len(), "numOfAddFiles": files});
    store.objects.put(&path(location, version), bytes.into()).await?;
    store.objects.put(&location.log(HINT), hint.to_string().into()).await?;
    Ok(())
}

/// What entries in a row add up to: the files that are left, and the last word on everything else.
fn total(entries: Vec<Entry>) -> Entry {
    let mut all = Entry::default();
    let (mut add, mut remove, mut txn) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
    for entry in entries {
        for removed in entry.remove {
            add.remove(&removed.path);
            remove.insert(removed.path.clone(), removed);
        }
        for file in entry.add {
            remove.remove(&file.path);
            add.insert(file.path.clone(), file);
        }
        txn.extend(entry.txn.into_iter().map(|last| (last.app_id.clone(), last)));
        all.metadata = entry.metadata.or(all.metadata);
        all.protocol = entry.protocol.or(all.protocol);
    }
    let (add, remove, txn) =
        (add.into_values().collect(), remove.into_values().collect(), txn.into_values().collect());
    Entry { add, remove, txn, ..all }
}

/// The lines that say it, without what has expired by `now`.
fn lines(state: &Entry, now: DateTime<Utc>) -> Result<Vec<Line>, Error> {
    let (Some(protocol), Some(metadata)) = (state.protocol.clone(), state.metadata.clone()) else {
        return Err(Error::VersionGone { version: state.version });
    };
    let (removals, intents) = (now - Duration::hours(REMOVALS_HOURS), now - Duration::days(INTENTS_DAYS));
    let head = [
        Line { protocol: Some(protocol), ..Line::default() },
        Line { meta_data: Some(metadata), ..Line::default() },
    ];
    let fresh = |at: &Option<i64>| at.is_none_or(|at| at >= intents.timestamp_millis());
    let txn = state.txn.iter().filter(|txn| fresh(&txn.last_updated)).cloned();
    let remove = state.remove.iter().filter(|removed| removed.at >= removals.timestamp_millis());
    let lines = head
        .into_iter()
        .chain(txn.map(|txn| Line { txn: Some(txn), ..Line::default() }))
        .chain(remove.map(|removed| removed.line()))
        .chain(state.add.iter().map(|file| super::add_line(file, false)));
    Ok(lines.collect())
}

fn to_parquet(lines: &[Line]) -> Result<Vec<u8>, Error> {
    let (text, schema) = (write_lines(lines)?, schema());
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = ArrowWriter::try_new(Vec::new(), Arc::clone(&schema), Some(properties))?;
    for batch in ReaderBuilder::new(schema).build(text.as_slice())? {
        writer.write(&batch?)?;
    }
    Ok(writer.into_inner()?)
}

/// The columns of a checkpoint: one struct a kind of line.
fn schema() -> SchemaRef {
    use DataType::{Boolean, Int32, Int64, Utf8};
    let words = || DataType::List(Arc::new(Field::new("element", Utf8, true)));
    let kinds: [(&str, Vec<(&str, DataType)>); 5] = [
        (
            "protocol",
            vec![
                ("minReaderVersion", Int32),
                ("minWriterVersion", Int32),
                ("readerFeatures", words()),
                ("writerFeatures", words()),
            ],
        ),
        (
            "metaData",
            vec![
                ("id", Utf8),
                ("name", Utf8),
                ("description", Utf8),
                ("format", structure(vec![("provider", Utf8), ("options", values())])),
                ("schemaString", Utf8),
                ("partitionColumns", words()),
                ("configuration", values()),
                ("createdTime", Int64),
            ],
        ),
        ("txn", vec![("appId", Utf8), ("version", Int64), ("lastUpdated", Int64)]),
        (
            "remove",
            vec![
                ("path", Utf8),
                ("deletionTimestamp", Int64),
                ("dataChange", Boolean),
                ("extendedFileMetadata", Boolean),
                ("partitionValues", values()),
                ("size", Int64),
            ],
        ),
        (
            "add",
            vec![
                ("path", Utf8),
                ("partitionValues", values()),
                ("size", Int64),
                ("modificationTime", Int64),
                ("dataChange", Boolean),
                ("stats", Utf8),
                ("tags", values()),
            ],
        ),
    ];
    let kinds = kinds.into_iter().map(|(name, fields)| Field::new(name, structure(fields), true));
    Arc::new(Schema::new(kinds.collect::<Fields>()))
}

fn structure(fields: Vec<(&str, DataType)>) -> DataType {
    DataType::Struct(fields.into_iter().map(|(name, r#type)| Field::new(name, r#type, true)).collect())
}

/// Text by text, with NULLs.
fn values() -> DataType {
    let pair =
        [Field::new("key", DataType::Utf8, false), Field::new("value", DataType::Utf8, true)].into_iter();
    DataType::Map(Arc::new(Field::new("key_value", DataType::Struct(pair.collect()), false)), false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file::DataFile;
    use crate::log::entry::Removed;
    use crate::log::line::{Format, Metadata, Protocol, Transaction};

    fn file(path: &str) -> DataFile {
        DataFile {
            path: path.into(),
            size: 10,
            rows: 2,
            partition: [("day".to_owned(), Some("2026-01-01".to_owned())), ("x".to_owned(), None)].into(),
            max: [("a".to_owned(), 2.into())].into(),
            ..DataFile::default()
        }
    }

    fn txn(app: &str, last_updated: Option<i64>) -> Transaction {
        Transaction { app_id: app.to_owned(), version: 7, last_updated }
    }

    fn first() -> Entry {
        let format = Format { provider: "parquet".into(), options: Some([].into()) };
        let metadata = Metadata {
            id: "1".into(),
            name: None,
            description: None,
            format,
            schema_string: "{}".into(),
            partition_columns: vec![],
            configuration: Some([("a".to_owned(), Some("b".to_owned()))].into()),
            created_time: Some(1),
        };
        let protocol = Protocol {
            min_reader_version: 1,
            min_writer_version: 2,
            reader_features: None,
            writer_features: None,
        };
        Entry { protocol: Some(protocol), metadata: Some(metadata), ..Entry::default() }
    }

    #[test]
    fn a_checkpoint_says_what_its_entries_add_up_to() {
        let now = Utc::now().timestamp_millis();
        let gone = |path: &str, at| Removed { path: path.to_owned(), at, size: 10, partition: [].into() };
        let entries = vec![
            first(),
            Entry { add: vec![file("a b"), file("c")], txn: vec![txn("old", Some(5))], ..Entry::default() },
            Entry {
                remove: vec![gone("c", now), gone("long ago", 5)],
                txn: vec![txn("intent", Some(now)), txn("source:c", None)],
                ..Entry::default()
            },
        ];
        let rows = lines(&total(entries), Utc::now()).unwrap();
        let read = parse(3, to_parquet(&rows).unwrap().into()).unwrap();
        let mut txns: Vec<_> = read.txn.iter().map(|txn| txn.app_id.as_str()).collect();
        txns.sort_unstable();
        assert_eq!(txns, ["intent", "source:c"], "what has no time stays, what is old goes");
        assert_eq!(read.remove, [gone("c", now)]);
        assert_eq!(read.add, [file("a b")]);
        assert_eq!((read.metadata, read.protocol), (first().metadata, first().protocol));
    }

    #[test]
    fn what_has_no_beginning_makes_no_checkpoint() {
        let state = Entry { version: 4, ..Entry::default() };
        assert!(matches!(lines(&state, Utc::now()), Err(Error::VersionGone { version: 4 })));
    }
}
