//! Kill -9 at random moments while every source runs: in the end the tables are those of a run that nobody disturbed.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Child;
use std::sync::Arc;
use std::time::Duration;

use harness::Stack::{self, Postgres, Sqlite};
use harness::{Random, TestApp, faults};
use rstest::rstest;
use tokio::task::JoinSet;

use crate::feed::{Feed, forecasts_are_there_once};
use crate::orphans::nobodys_files;

const SEED: u64 = 20_261_121;
/// The longest time between a start and the kill.
const UPTIME_MS: u64 = 2_500;

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
    let Some(expected) = feed.undisturbed(stack).await else { return };
    let Some(mut app) = feed.server(stack).await else { return };
    let filled = disturbed(&feed, &mut app, &mut Random::new(SEED)).await;
    for round in (0..feed.rounds()).filter(|round| !filled.contains(round)) {
        feed.ends_well(&app, round);
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
