//! What lies in the object store and belongs to nobody: nothing of a refused upload, and no file that no table names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use harness::Stack::Sqlite;
use harness::{TestApp, Upload};
use serde_json::json;

use crate::shared::options;

/// Files below a folder.
fn stored(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => open.push(entry.path()),
                _ => found.push(entry.path()),
            }
        }
    }
    found
}

/// Data files below a folder that no entry of their table's log names. A log whose first entries gave way to a
/// checkpoint tells too little.
pub fn nobodys_files(objects: &Path) -> Vec<PathBuf> {
    let is_data = |path: &PathBuf| path.display().to_string().contains(".parquet");
    let in_log = |path: &PathBuf| path.parent().is_some_and(|folder| folder.ends_with("_delta_log"));
    let (mut files, mut logs) = (stored(objects), HashMap::new());
    files.retain(|path| is_data(path) && !in_log(path));
    files.retain(|path| {
        let (table, name) = (path.parent().unwrap(), path.file_name().unwrap().to_string_lossy());
        let log: &String = logs.entry(table.to_path_buf()).or_insert_with(|| log_of(table));
        (log.is_empty() || log.contains("CREATE TABLE")) && !log.contains(&*name)
    });
    files
}

/// All entries of a table's log.
fn log_of(table: &Path) -> String {
    let entries = std::fs::read_dir(table.join("_delta_log")).into_iter().flatten().flatten();
    let paths =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    paths.map(|path| std::fs::read_to_string(path).unwrap_or_default()).collect()
}

/// Waits until neither raw uploads nor nobody's files are left: those of a run that is at work are nobody's until it ends.
pub async fn nothing_is_left(objects: &Path) {
    let left = || {
        let mut left = stored(objects);
        left.retain(|path| path.components().any(|part| part.as_os_str() == "uploads"));
        [left, nobodys_files(objects)].concat()
    };
    for _ in 0..600 {
        if left().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(left(), Vec::<PathBuf>::new());
}

#[tokio::test]
async fn a_refused_upload_leaves_no_file_in_the_object_store() {
    let Some(app) = TestApp::start(options(Sqlite)).await else { return };
    let (acme, workspaces) = (app.customer("acme").await, app.folder.join("objects/workspaces"));
    // Much of it is converted before the row that breaks it.
    let ragged = format!("a,b\n{}3,4,5\n", "1,2\n".repeat(20_000)).into_bytes();
    let broken = [
        ("bad.csv", ragged.clone()),
        ("bad.json", b"[{\"a\":1},{\"a\"".to_vec()),
        ("bad.parquet", b"PAR1\x15\x04\x15\x10".to_vec()),
    ];
    for (name, bytes) in broken {
        acme.upload_form(Upload::new("bad", bytes).file_name(name)).await.problem(422, "file-malformed");
        assert_eq!(stored(&workspaces), Vec::<PathBuf>::new(), "{name}");
    }
    let job = acme.upload_form(Upload::new("bad", ragged).prefer("respond-async")).await.status(202).json();
    assert_eq!(acme.finished(job["data"]["id"].as_str().unwrap()).await["status"], "failed");
    assert_eq!(stored(&workspaces), Vec::<PathBuf>::new());
    assert_eq!(acme.get("/v1/datasets").await.data(), json!([]));
    // What is looked at is where uploads come to lie.
    acme.upload("good", "a\n1\n").await.created();
    assert!(stored(&workspaces).iter().any(|path| path.extension().is_some_and(|e| e == "parquet")));
    nothing_is_left(&app.folder.join("objects")).await;
}
