//! The lake's tables are Delta tables for everybody: an independent reader gets the same rows.

use harness::Stack::Sqlite;
use harness::{Python, TestApp, Upload};
use serde_json::Value;

use crate::shared::options;

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

#[tokio::test]
async fn a_dataset_reads_the_same_in_an_independent_delta_reader() {
    let Some(python) = Python::with(&["deltalake==1.6.6", "pyarrow==26.0.1"]) else { return };
    let Some(app) = TestApp::start(options(Sqlite)).await else { return };
    let acme = app.customer("acme").await;
    acme.upload("sales", "sku,n,day\na,1,2024-01-01\nb,2,2024-01-02\n").await.created();
    let more = Upload::new("sales", "sku,n,day\nc,,2024-01-03\n").field("mode", "append");
    assert!(acme.upload_form(more).await.status.is_success());
    let ours = acme.get("/v1/tables/my/sales/rows?order=sku").await.data();
    let folder = app.folder.join("objects/workspaces");
    let output = python.run(READ, &[&folder.display().to_string()]).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tables: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(tables.as_array().unwrap().len(), 1, "{tables}");
    let mut theirs = tables[0]["rows"].as_array().unwrap().clone();
    theirs.sort_by_key(|row| row["sku"].as_str().unwrap().to_owned());
    assert_eq!(Value::from(theirs), ours);
}
