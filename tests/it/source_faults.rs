//! Sources over an object store on which calls go wrong: in the end the tables are those of a run that nobody disturbed.

use std::time::{Duration, Instant};

use harness::Stack::Sqlite;
use harness::{CallFault, Customer, FaultProxy, Options, Random, S3, TestApp, faults};

use crate::feed::{Feed, forecasts_are_there_once};
use crate::shared::options;
use crate::sources_files::write;
use crate::store_faults::{server, store};
use crate::upkeep::settled;

const SEED: u64 = 20_261_121;
/// How long a call that was begun before may hold up others.
const RECOVERY: Duration = Duration::from_secs(30);
/// Of a hundred calls so many go wrong in one of these ways: a round's plan.
const PLANS: [(u64, &[CallFault]); 6] = [
    (30, &[CallFault::Status(500), CallFault::Status(503), CallFault::Status(429)]),
    (60, &[CallFault::Slow(Duration::from_secs(1))]),
    (20, &[CallFault::Cut]),
    (5, &[CallFault::Late(Duration::from_secs(8))]),
    (10, &[CallFault::Unacknowledged]),
    (3, &[CallFault::Hang]),
];

/// Gives the rounds of all sources. The store is disturbed while a round begins, and calm until its past is filled.
async fn disturbed(feed: &Feed, app: &TestApp, proxy: &FaultProxy) {
    let mut random = Random::new(SEED);
    for round in 0..feed.rounds() {
        let (percent, kinds) = PLANS[round % PLANS.len()];
        proxy.disturb(percent, kinds);
        feed.files(&app.folder, round);
        let mut verbs = vec![feed.backfill(app, round)];
        if round % 3 == 2 {
            verbs.push(feed.maintenance(app));
        }
        feed.events(&app.operator, round).await;
        tokio::time::sleep(Duration::from_millis(1_500 + random.below(2_500))).await;
        proxy.calm();
        let ended: Vec<bool> = verbs.iter_mut().map(|verb| verb.wait().unwrap().success()).collect();
        if !ended[0] {
            feed.ends_well(app, round);
        }
    }
}

/// Waits until every table can be read.
async fn all_is_read(customer: &Customer) {
    let since = Instant::now();
    for table in customer.get("/v1/tables").await.data().as_array().unwrap() {
        let (schema, name) = (table["schema"].as_str().unwrap(), table["table"].as_str().unwrap());
        let path = format!("/v1/tables/{schema}/{name}/rows?limit=1");
        loop {
            let answer = customer.get(&path).await;
            if answer.status.is_success() {
                break;
            }
            assert!(since.elapsed() < RECOVERY, "{path}: {}", answer.text());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

#[tokio::test]
async fn faults_of_the_store_leave_the_tables_of_all_sources_as_a_run_without_them() {
    let Some((_store, proxy)) = store(SEED).await else { return };
    let feed = Feed::new(SEED, faults(PLANS.len(), 10 * PLANS.len()));
    let Some(expected) = feed.undisturbed(Sqlite).await else { return };
    let own = Options { storage: Some(S3::storage_at(&proxy.url)), ..options(Sqlite) };
    let Some(mut app) = feed.server_with(own).await else { return };
    disturbed(&feed, &app, &proxy).await;
    assert!(proxy.faults() > feed.rounds(), "{} faults", proxy.faults());
    let acme = app.customer("acme").await;
    all_is_read(&acme).await;
    feed.settles(&app, &acme, &expected).await;
    forecasts_are_there_once(&acme).await;
    // Another process finds the same.
    app.kill();
    app.resume().await;
    feed.settles(&app, &acme, &expected).await;
}

#[tokio::test]
async fn what_landed_before_faults_of_the_store_stop_a_source_is_in_the_models_all_the_same() {
    let Some((_store, proxy, app)) = server(SEED).await else { return };
    let (acme, inbox) = (app.customer("acme").await, app.folder.join("sources/inbox/a"));
    for day in ["2021-01-04", "2021-01-05"] {
        let csv = format!("region_id,day,activity_index,visits\nus-jfk,{day},0.5,7\n");
        write(&inbox, &format!("a-{day}.csv"), csv);
    }
    settled().await;
    let days = async || {
        let rows = acme.sql("SELECT day FROM geo.facts WHERE visits = 7 ORDER BY day").await.data();
        rows.as_array().unwrap().iter().map(|row| row["day"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    proxy.disturb_writes("a-2021-01-05", CallFault::Status(403));
    assert!(!app.verb(&["run", "a"]).status.success() && proxy.faults() > 0);
    assert_eq!(days().await, ["2021-01-04"]);
    proxy.calm();
    assert!(app.verb(&["run", "a"]).status.success());
    assert_eq!(days().await, ["2021-01-04", "2021-01-05"]);
}
