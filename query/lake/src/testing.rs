//! Lakes and rows for the unit tests.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use arrow::util::pretty::pretty_format_batches;
use datafusion::prelude::{SessionConfig, SessionContext};
use identity::IntentId;
use url::Url;

use crate::{Commit, Committed, DataFile, Lake, LakeConfig, Location, Version, WriterOptions};

/// A lake in memory, one in a folder, and one in a folder with fsync.
pub(crate) async fn lakes() -> (tempfile::TempDir, Vec<Lake>) {
    let folder = tempfile::tempdir().expect("a folder");
    let mut lakes = vec![Lake::open(LakeConfig::default()).await.expect("a lake")];
    for (name, fsync) in [("plain", false), ("durable", true)] {
        lakes.push(in_folder(&folder.path().join(name), fsync).await);
    }
    (folder, lakes)
}

pub(crate) async fn in_folder(folder: &std::path::Path, fsync: bool) -> Lake {
    let url = Url::from_directory_path(folder).expect("a url").to_string();
    Lake::open(LakeConfig { url, fsync, ..LakeConfig::default() }).await.expect("a lake")
}

pub(crate) fn place(name: &str) -> Location {
    format!("curated/weather/{name}").parse().expect("a location")
}

/// Rows `(region, day, value)`; the value is NULL for every seventh.
pub(crate) fn rows(region: &str, days: std::ops::Range<i32>) -> RecordBatch {
    let count = days.len();
    let values: Vec<Option<f64>> =
        days.clone().map(|day| (day % 7 != 0).then(|| f64::from(day) / 2.0)).collect();
    let columns: [(&str, ArrayRef, bool); 4] = [
        ("region_id", Arc::new(StringArray::from(vec![region; count])), true),
        ("day", Arc::new(Date32Array::from(days.clone().collect::<Vec<_>>())), true),
        ("n", Arc::new(Int64Array::from(days.map(i64::from).collect::<Vec<_>>())), true),
        ("value", Arc::new(Float64Array::from(values)), true),
    ];
    RecordBatch::try_from_iter_with_nullable(columns).expect("a batch")
}

pub(crate) fn schema() -> SchemaRef {
    rows("x", 0..0).schema()
}

pub(crate) fn by_region_and_day() -> Vec<String> {
    vec!["region_id".to_owned(), "day".to_owned()]
}

/// Files of the given rows, not yet committed.
pub(crate) async fn files(
    lake: &Lake,
    at: &Location,
    batches: &[RecordBatch],
    options: WriterOptions,
) -> Vec<DataFile> {
    let mut writer = lake.writer(at, schema(), options).expect("a writer");
    for batch in batches {
        writer.write(batch).await.expect("written");
    }
    writer.finish().await.expect("finished")
}

/// One append of sorted rows.
pub(crate) async fn append(lake: &Lake, at: &Location, batch: RecordBatch) -> Committed {
    let options = WriterOptions { sort: by_region_and_day(), ..WriterOptions::default() };
    let add = files(lake, at, &[batch], options).await;
    lake.commit(at, Commit { add, ..Commit::new(IntentId::new(), "WRITE") }).await.expect("committed")
}

/// What a statement over table `t` answers, as text.
pub(crate) async fn query(lake: &Lake, at: &Location, version: Version, sql: &str) -> String {
    let context = SessionContext::new_with_config(SessionConfig::new().with_target_partitions(2));
    let snapshot = lake.snapshot(at, version).await.expect("a snapshot");
    context
        .register_table("t", lake.provider(snapshot, &by_region_and_day()).expect("a provider"))
        .expect("registered");
    let batches = context.sql(sql).await.expect("planned").collect().await.expect("run");
    pretty_format_batches(&batches).expect("text").to_string()
}

/// The plan of a statement, as text.
pub(crate) async fn plan(lake: &Lake, at: &Location, version: Version, sql: &str) -> String {
    query(lake, at, version, &format!("EXPLAIN FORMAT INDENT {sql}")).await
}
