//! The lake's tables are Delta tables for everybody: an independent reader gets the same rows.

use std::path::Path;
use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{Options, Python, TestApp, Upload};
use serde_json::Value;

use crate::lakes::{lake, without_weather};
use crate::shared::options;

const READER: [&str; 2] = ["deltalake==1.6.6", "pyarrow==26.0.1"];

const READ: &str = r#"
import json, os, sys
from deltalake import DeltaTable
tables = []
for root, folders, _ in os.walk(sys.argv[1]):
    if "_delta_log" in folders:
        table = DeltaTable(root)
        rows = table.to_pyarrow_table().to_pylist()
        tables.append({"path": root, "version": table.version(), "rows": sorted(rows, key=str)})
print(json.dumps(tables, default=str), flush=True)
# Without the interpreter's clearing up, which at times aborts in a thread of the reader's own.
os._exit(0)
"#;

/// Version and rows of the only table below a folder, as the independent reader sees them, in the order of a column.
fn read(python: &Python, folder: &Path, order: &str) -> (Value, Value) {
    let output = python.run(READ, &[&folder.display().to_string()]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let mut tables: Vec<Value> = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(tables.len(), 1, "{tables:?}");
    let mut rows = tables[0]["rows"].as_array().unwrap().clone();
    rows.sort_by_key(|row| row[order].to_string());
    (tables[0]["version"].take(), rows.into())
}

#[tokio::test]
async fn a_dataset_reads_the_same_in_an_independent_delta_reader() {
    let Some(python) = Python::with(&READER) else { return };
    let Some(app) = TestApp::start(options(Sqlite)).await else { return };
    let acme = app.customer("acme").await;
    acme.upload("sales", "sku,n,day\na,1,2024-01-01\nb,2,2024-01-02\n").await.created();
    let more = Upload::new("sales", "sku,n,day\nc,,2024-01-03\n").field("mode", "append");
    assert!(acme.upload_form(more).await.status.is_success());
    let ours = acme.get("/v1/tables/my/sales/rows?order=sku").await.data();
    let (_, theirs) = read(&python, &app.folder.join("objects/workspaces"), "sku");
    assert_eq!(theirs, ours);
}

#[tokio::test]
async fn a_table_of_the_platform_reads_the_same_from_its_checkpoint_alone() {
    let Some(python) = Python::with(&READER) else { return };
    let folder = lake([("us-jfk", "JFK", 40.6398, -73.7789)], without_weather);
    let own = Options { lake_file: Some(folder), ..options(Sqlite) };
    let Some(app) = TestApp::start(own).await else { return };
    for day in 10..13 {
        let csv = format!("region_id,activity_index,visits\nus-jfk,101.5,{day}\n");
        std::fs::write(app.folder.join(format!("sources/inbox/a/a-2026-03-{day}.csv")), csv).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(600)).await;
    for verb in ["a", "maintenance"] {
        let done = app.verb(&["run", verb]);
        assert!(done.status.success(), "{verb}: {}", String::from_utf8_lossy(&done.stderr));
    }
    let table = app.folder.join("objects/curated/source_a/activity");
    let log = || std::fs::read_dir(table.join("_delta_log")).unwrap().flatten().map(|entry| entry.path());
    let entries = log().filter(|path| path.extension().is_some_and(|e| e == "json"));
    entries.for_each(|entry| std::fs::remove_file(entry).unwrap());
    assert!(log().any(|path| path.display().to_string().ends_with(".checkpoint.parquet")));
    let (version, theirs) = read(&python, &table, "day");
    let acme = app.customer("acme").await;
    let ours = acme.get("/v1/tables/source_a/activity/rows?order=day&select=day,visits").await.json();
    assert_eq!(version, ours["meta"]["tables"][0]["version"]);
    let theirs: Vec<_> = theirs.as_array().unwrap().iter().map(|row| (&row["day"], &row["visits"])).collect();
    let ours: Vec<_> =
        ours["data"].as_array().unwrap().iter().map(|row| (&row["day"], &row["visits"])).collect();
    assert_eq!((theirs.len(), theirs), (3, ours));
}
