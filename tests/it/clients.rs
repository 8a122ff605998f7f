//! What others make of the document: a public generator's client walks the four cases.

use std::path::Path;
use std::process::Output;

use harness::Stack::Sqlite;
use harness::{Python, project_root};
use serde_json::{Value, json};

use crate::{four_cases, nyc};

const GENERATOR: &str = "openapi-python-client==0.29.1";

/// Makes the package `lakefront_client` in a folder. The generator says what it cannot express, and that fails.
fn generate(python: &Python, folder: &Path) {
    let made = python
        .command("openapi-python-client")
        .args(["generate", "--meta", "none", "--fail-on-warning", "--path"])
        .arg(project_root().join("openapi/openapi.json"))
        .arg("--output-path")
        .arg(folder.join("lakefront_client"))
        .output()
        .unwrap();
    let said = said(&made);
    assert!(made.status.success() && !said.to_lowercase().contains("warning"), "{said}");
}

fn said(output: &Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes)).join("\n")
}

#[tokio::test]
async fn a_generated_client_walks_the_four_cases() {
    let Some(python) = Python::with(&[GENERATOR]) else { return };
    let folder = tempfile::tempdir().unwrap();
    generate(&python, folder.path());
    let stations = nyc::stations(&project_root().join("tests/data/nyc-hours.csv"));
    let Some((app, _stub)) = nyc::start(Sqlite, stations, "2013-03-01", "2013-03-20").await else { return };
    four_cases::source_files(&app);
    nyc::followed().await;
    let acme = app.customer("acme").await;
    let script = project_root().join("tests/clients/four_cases.py");
    let walked = python.script(&script, &[&app.url, &acme.key], folder.path()).unwrap();
    assert!(walked.status.success(), "{}", said(&walked));
    let told: Value = serde_json::from_slice(&walked.stdout).unwrap();
    let expected = json!({
        "summary_of_a_region": {"day": "2013-03-10", "close": 12.0, "window": 11.0},
        "daily_series": {"days": 19, "hours": 23, "closes": [11.0, 12.0]},
        "stored_analysis": [{"month": "2013-03-01T00:00:00Z", "days": 19}],
        "own_data_joined": [
            {"region_id": "us-ewr", "own": 7, "visits": 100, "households": 1000, "hours": 23, "price_close": 12.0},
            {"region_id": "us-jfk", "own": 8, "visits": 200, "households": null, "hours": 23, "price_close": null},
        ],
    });
    assert_eq!(told, expected);
}
