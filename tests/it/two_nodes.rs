//! Two servers on one PostgreSQL database and one lake: one works at the sources, and the other when that one is gone.

use std::time::{Duration, Instant};

use harness::Stack::Postgres;
use harness::{Customer, FileStub, Options, TestApp};
use rstest::rstest;

use crate::shared::options;
use crate::sources_files::{csv, lake_with, lands, raw, rows};

/// The time after which the work of a dead node is another's, and a little more.
const LEASE: Duration = Duration::from_secs(15);
const MORE: Duration = Duration::from_secs(10);

async fn nodes(stub: &FileStub) -> Option<(TestApp, TestApp)> {
    let keys = format!("from.http = {{ url = \"{}/list.json\", allow_private = true }}", stub.url);
    let own = Options { lake_file: Some(lake_with(&keys)), sources: true, ..options(Postgres) };
    let first = TestApp::start(own).await?;
    let second = first.second().await?;
    Some((first, second))
}

fn looks(stub: &FileStub) -> usize {
    stub.requests().iter().filter(|request| request.starts_with("/list.json")).count()
}

/// Waits until source A has these rows by this node, for longer than a lease.
async fn taken_over(app: &TestApp, acme: &Customer, expected: &[&str]) {
    let since = Instant::now();
    while rows(acme).await != expected {
        assert!(since.elapsed() < LEASE + MORE, "{:?}\n{}", rows(acme).await, app.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn one_of_two_nodes_asks_a_source_and_runs_what_either_is_told() {
    let stub = FileStub::start().unwrap();
    let Some((first, second)) = nodes(&stub).await else { return };
    let acme = second.customer("acme").await;
    stub.put("/a-2021-10-04.csv", csv(1));
    lands(&second, &acme, &["2021-10-01 1"]).await;
    let (before, since) = (looks(&stub), Instant::now());
    tokio::time::sleep(Duration::from_secs(6)).await;
    // Every second, by one of them.
    let (looks, most) = (looks(&stub) - before, since.elapsed().as_secs() as usize + 2);
    assert!((3..=most).contains(&looks), "{looks} looks in {:?}", since.elapsed());
    for app in [&first, &second] {
        let ran = app.verb(&["run", "a"]);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
        let ran = app.verb(&["run", "maintenance"]);
        assert!(ran.status.success(), "{}", String::from_utf8_lossy(&ran.stderr));
    }
    assert!(second.log().contains("another node works at the sources"), "{}", second.log());
    assert_eq!(raw(&first).len(), 1);
}

#[rstest]
#[case("source.after-raw")]
#[case("source.after-row")]
#[case("publish.after-parquet")]
#[case("publish.after-commit")]
#[tokio::test]
async fn what_a_killed_node_was_at_the_other_one_ends_and_goes_on(#[case] point: &str) {
    let stub = FileStub::start().unwrap();
    let Some((mut first, second)) = nodes(&stub).await else { return };
    let acme = second.customer("acme").await;
    stub.put("/a-2021-10-04.csv", csv(1));
    lands(&second, &acme, &["2021-10-01 1"]).await;
    // The models behind it too.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    // Started again at once, it has its work back: nobody waits for the lease of its dead process.
    first.kill();
    first.set_env(vec![("LAKEFRONT_FAILPOINTS".into(), point.into())]);
    first.resume().await;
    stub.put("/a-2021-10-05.csv", csv(2));
    assert!(first.ended(Duration::from_secs(30)).await, "{point} was not reached");
    stub.put("/a-2021-10-06.csv", csv(3));
    taken_over(&second, &acme, &["2021-10-01 1", "2021-10-02 2", "2021-10-03 3"]).await;
    let daily = "SELECT count(*) AS n FROM geo.facts WHERE region_id = 'us-jfk' AND visits IS NOT NULL";
    let since = Instant::now();
    while acme.sql(daily).await.data()[0]["n"] != 3 {
        assert!(since.elapsed() < MORE, "{}\n{}", acme.sql(daily).await.data(), second.log());
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    first.set_env(Vec::new());
    first.resume().await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rows(&acme).await.len(), 3);
    assert_eq!(raw(&first).len(), 3, "{:?}", raw(&first));
}

#[tokio::test]
async fn a_rebuild_from_raw_waits_until_no_node_serves() {
    let stub = FileStub::start().unwrap();
    let Some((mut first, mut second)) = nodes(&stub).await else { return };
    let acme = second.customer("acme").await;
    stub.put("/a-2021-10-04.csv", csv(1));
    lands(&second, &acme, &["2021-10-01 1"]).await;
    let before = acme.sql("SELECT * FROM source_a.activity").await.data();
    first.kill();
    let refused = first.verb(&["rebuild", "--from", "raw"]);
    assert_eq!(refused.status.code(), Some(75), "{}", String::from_utf8_lossy(&refused.stderr));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("stop the server first"));
    assert_eq!(acme.sql("SELECT * FROM source_a.activity").await.data(), before);
    second.kill();
    tokio::time::sleep(LEASE + Duration::from_secs(2)).await;
    let rebuilt = first.verb(&["rebuild", "--from", "raw"]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    second.resume().await;
    assert_eq!(acme.sql("SELECT * FROM source_a.activity").await.data(), before);
}
