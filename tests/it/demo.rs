//! The demo: one command makes a lake that lives on the real clock, and the same command goes on with it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use harness::Customer;
use serde_json::Value;

use crate::shared::PROGRAM;

/// How long the demo may take to be ready, or to do what it does each second.
const PATIENCE: Duration = Duration::from_secs(120);

/// Tables whose rows never go, and what names a row.
const TABLES: [(&str, &str); 8] = [
    ("geo.regions", "region_id"),
    ("source_a.activity", "region_id, day"),
    ("source_b.profile", "region_id, valid_from"),
    ("weather.hourly", "region_id, time"),
    ("weather.forecast", "region_id, issued_at, valid_at"),
    ("weather.daily", "region_id, day"),
    ("market.events", "event_id"),
    ("market.daily", "region_id, day"),
];

/// A demo of three regions and one year; its process ends with the value.
pub struct Demo {
    pub folder: tempfile::TempDir,
    pub child: Child,
    listen: String,
}

impl Demo {
    pub fn command(folder: &Path, listen: &str) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(["demo", "--regions", "3", "--years", "1", "--listen", listen, "--data"]).arg(folder);
        command
    }

    /// Starts it in a folder of its own and waits until it is ready.
    pub async fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("lakefront-demo-").tempdir().unwrap();
        let free = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).unwrap();
        let listen = format!("localhost:{}", free.port());
        let child = launched(folder.path(), &listen);
        let mut demo = Self { folder, child, listen };
        demo.ready().await;
        demo
    }

    /// Kill -9, and the same command again.
    async fn killed_and_started_again(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.child = launched(self.folder.path(), &self.listen);
        self.ready().await;
    }

    async fn ready(&mut self) {
        let (http, url) = (reqwest::Client::new(), format!("http://{}/readyz", self.listen));
        let since = Instant::now();
        while !http.get(&url).send().await.is_ok_and(|answer| answer.status().is_success()) {
            let ended = self.child.try_wait().unwrap();
            let log = || std::fs::read_to_string(self.path("demo.log")).unwrap();
            assert!(ended.is_none() && since.elapsed() < PATIENCE, "{ended:?} {}", log());
            // So often that a file written after the server said it was ready would be missed.
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub fn verb(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).arg("--config").arg(self.path("lakefront.toml")).output().unwrap()
    }

    fn written(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.path("demo.json")).unwrap()).unwrap()
    }
}

fn launched(folder: &Path, listen: &str) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(folder.join("demo.log")).unwrap();
    Demo::command(folder, listen).stdout(Stdio::null()).stderr(log).spawn().unwrap()
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Acme of a `demo.json` that has every field, and whose keys all work.
async fn acme_of(written: &Value) -> Customer {
    let text = |value: &Value| value.as_str().unwrap_or_else(|| panic!("{written}")).to_owned();
    let with = |key: &Value| Customer {
        url: text(&written["url"]),
        id: String::new(),
        workspace: String::new(),
        key: text(key),
        http: reqwest::Client::new(),
    };
    with(&written["admin_key"]).get("/v1/admin/customers").await.status(200);
    let customers = written["customers"].as_array().unwrap();
    assert!(customers.iter().all(|customer| !text(&customer["name"]).is_empty()), "{written}");
    let workspaces: Vec<_> = customers.iter().map(|customer| text(&customer["workspace"])).collect();
    assert_eq!(workspaces, ["acme", "globex"]);
    with(&customers[1]["api_key"]).get("/v1/datasets").await.status(200);
    with(&customers[0]["api_key"])
}

/// How many rows each table has; none of them has a row twice.
async fn rows(acme: &Customer) -> BTreeMap<&'static str, i64> {
    let mut rows = BTreeMap::new();
    for (table, key) in TABLES {
        let sql = format!(
            "SELECT sum(times) AS total, max(times) AS most
             FROM (SELECT count(*) AS times FROM {table} GROUP BY {key}) AS keyed"
        );
        let found = acme.sql(&sql).await.data();
        assert_eq!(found[0]["most"], 1, "{table}: {found}");
        rows.insert(table, found[0]["total"].as_i64().unwrap());
    }
    rows
}

/// Waits for what some seconds bring: more events than there were, of the time since.
async fn events_arrive(acme: &Customer) {
    let (since, before) = (Utc::now(), events(acme).await.0);
    let began = Instant::now();
    loop {
        let (count, last) = events(acme).await;
        if count >= before + 3 && last > since {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "{count} events after {before}, the last one of {last}");
        tokio::time::sleep(Duration::from_millis(250)).await;
    }
}

/// How many market events there are, and the time of the last.
async fn events(acme: &Customer) -> (i64, DateTime<Utc>) {
    let found = acme.sql("SELECT count(*) AS n, max(event_time) AS last FROM market.events").await.data();
    (found[0]["n"].as_i64().unwrap(), found[0]["last"].as_str().unwrap().parse().unwrap())
}

#[tokio::test]
async fn a_demo_tells_its_keys_before_it_is_ready_lives_on_the_real_clock_and_goes_on_after_a_kill() {
    let mut demo = Demo::start().await;
    let written = demo.written();
    let acme = acme_of(&written).await;
    events_arrive(&acme).await;
    let before = rows(&acme).await;

    demo.killed_and_started_again().await;
    assert_eq!(demo.written(), written);
    let acme = acme_of(&written).await;
    let after = rows(&acme).await;
    assert!(before.iter().all(|(table, rows)| after[table] >= *rows), "{after:?} after {before:?}");
    events_arrive(&acme).await;
}
