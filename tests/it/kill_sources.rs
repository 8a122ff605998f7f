//! Kill -9 at random moments while every source runs: in the end the tables are those of a run that nobody disturbed.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use harness::Stack::{self, Postgres, Sqlite};
use harness::{Contents, Customer, Random, TestApp, faults};
use rstest::rstest;
use serde_json::json;
use tokio::task::JoinSet;

use crate::feed::Feed;
use crate::shared::spoken;

const SEED: u64 = 20_261_121;
/// The longest time between a start and the kill.
const UPTIME_MS: u64 = 2_500;

/// The tables after all rounds of a run that nobody disturbed.
async fn undisturbed(feed: &Arc<Feed>, stack: Stack) -> Option<Contents> {
    let app = feed.server(stack).await?;
    for round in 0..feed.rounds() {
        feed.files(&app.folder, round);
        feed.events(&app.operator, round).await;
        ends_well(feed, &app, round);
    }
    let acme = app.customer("acme").await;
    let mut contents = feed.contents(&acme).await;
    // Until two looks, some beats of the sources apart, show the same.
    loop {
        tokio::time::sleep(Duration::from_secs(4)).await;
        let later = feed.contents(&acme).await;
        let Some(_) = later.difference(&contents) else { break };
        contents = later;
    }
    every_input_is_in(feed, &contents);
    Some(contents)
}

/// The comparison would prove nothing over empty tables.
fn every_input_is_in(feed: &Feed, contents: &Contents) {
    let (rounds, regions) = (feed.rounds(), 3);
    assert_eq!(contents.count("market.events"), rounds * 20 + 1);
    assert_eq!(contents.count("source_a.activity"), rounds * regions);
    assert_eq!(contents.count("source_b.profile"), rounds.div_ceil(5) * regions);
    assert_eq!(contents.count("market.history"), (rounds + 1) / 3 * regions);
    assert_eq!(contents.count("geo.regions"), regions + 2);
    let tables = ["weather.hourly", "weather.daily", "weather.forecast_daily", "market.daily", "geo.facts"];
    tables.iter().for_each(|table| assert!(contents.count(table) > 10, "{table}"));
}

/// Sees a round's backfill through.
fn ends_well(feed: &Feed, app: &TestApp, round: usize) {
    for _ in 0..20 {
        if feed.backfill(app, round).wait().unwrap().success() {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("the backfill of round {round} does not end:\n{}", spoken(app));
}

/// Kills the server so many times, each at a moment of its own; gives the rounds whose backfill had ended before.
async fn disturbed(feed: &Arc<Feed>, app: &mut TestApp, random: &mut Random) -> BTreeSet<usize> {
    let (mut posting, mut filled) = (JoinSet::new(), BTreeSet::new());
    for round in 0..feed.rounds() {
        feed.files(&app.folder, round);
        let (posts, operator) = (Arc::clone(feed), app.operator.clone());
        posting.spawn(async move { posts.events(&operator, round).await });
        let mut verbs = vec![feed.backfill(app, round)];
        if random.chance(30) {
            verbs.push(feed.maintenance(app));
        }
        tokio::time::sleep(Duration::from_millis(random.below(UPTIME_MS))).await;
        app.kill();
        if verbs[0].try_wait().unwrap().is_some_and(|status| status.success()) {
            filled.insert(round);
        }
        verbs.iter_mut().for_each(ended);
        if random.chance(25) {
            // This one dies while it finishes what the one before has left.
            app.launch();
            tokio::time::sleep(Duration::from_millis(random.below(900))).await;
            app.kill();
        }
        app.resume().await;
    }
    while let Some(posted) = posting.join_next().await {
        posted.unwrap();
    }
    filled
}

fn ended(verb: &mut Child) {
    let _ = verb.kill();
    let _ = verb.wait();
}

/// Each issue of a forecast is there for all regions and once.
async fn forecasts_are_there_once(acme: &Customer) {
    let sql = "SELECT issued_at FROM (
                 SELECT issued_at, region_id, count(*) - count(DISTINCT valid_at) AS doubled
                 FROM weather.forecast GROUP BY issued_at, region_id) AS issues
               GROUP BY issued_at HAVING count(*) < 3 OR max(doubled) > 0";
    assert_eq!(acme.sql(sql).await.data(), json!([]));
    let issues = acme.sql("SELECT count(DISTINCT issued_at) AS n FROM weather.forecast").await.data();
    assert!(issues[0]["n"].as_u64().unwrap() > 2, "{issues}");
}

/// Data files below a folder that no entry of their table's log names, where that has its first entry yet.
fn nobodys_files(objects: &Path) -> Vec<PathBuf> {
    let entries = |folder: &Path| std::fs::read_dir(folder).into_iter().flatten().flatten();
    let (mut nobodys, mut open) = (Vec::new(), vec![objects.to_owned()]);
    while let Some(folder) = open.pop() {
        let log: String = entries(&folder.join("_delta_log"))
            .filter(|entry| entry.path().extension().is_some_and(|e| e == "json"))
            .map(|entry| std::fs::read_to_string(entry.path()).unwrap())
            .collect();
        for path in entries(&folder).map(|entry| entry.path()) {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            match path.is_dir() {
                true if name != "_delta_log" => open.push(path),
                false
                    if name.contains(".parquet") && log.contains("CREATE TABLE") && !log.contains(&name) =>
                {
                    nobodys.push(path);
                }
                _ => {}
            }
        }
    }
    nobodys
}

#[rstest]
#[tokio::test]
async fn kills_at_random_moments_of_all_sources_leave_the_tables_of_a_run_without(
    #[values(Sqlite, Postgres)] stack: Stack,
) {
    let kills = match stack {
        Postgres => faults(6, 60),
        _ => faults(12, 200),
    };
    let feed = Arc::new(Feed::new(SEED, kills));
    let Some(expected) = undisturbed(&feed, stack).await else { return };
    let Some(mut app) = feed.server(stack).await else { return };
    let filled = disturbed(&feed, &mut app, &mut Random::new(SEED)).await;
    for round in (0..feed.rounds()).filter(|round| !filled.contains(round)) {
        ends_well(&feed, &app, round);
    }
    let acme = app.customer("acme").await;
    feed.settles(&app, &acme, &expected).await;
    forecasts_are_there_once(&acme).await;
    let jobs = app.operator.get("/v1/jobs?limit=1000").await.data();
    let failed: Vec<_> = jobs.as_array().unwrap().iter().filter(|job| job["status"] == "failed").collect();
    assert!(failed.is_empty(), "{failed:?}");
    // What the last kill left is cleared at the next start.
    app.kill();
    app.resume().await;
    app.kill();
    assert_eq!(nobodys_files(&app.folder.join("objects")), Vec::<PathBuf>::new());
}
