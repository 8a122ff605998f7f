//! Kill -9 in the middle of a table's upkeep: no row is lost or doubled, and the next upkeep does what was left.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use harness::{Customer, TestApp, faults};
use rstest::rstest;
use serde_json::json;

use crate::kill::{armed, back};
use crate::orphans::nobodys_files;
use crate::sources_files::write;
use crate::upkeep::{live, server, settled, told};

/// Files of a month: enough of one size for a compaction.
const FILES: usize = 9;
/// Longer than a vacuum spares what no version names.
const OLD: Duration = Duration::from_secs(2 * 3_600);

/// Fills a month of source A by many small files; gives how many rows.
async fn small_files(app: &TestApp, month: usize) -> usize {
    let (inbox, rows) = (app.folder.join("sources/inbox/a"), faults(2, 200));
    for day in 1..=FILES {
        let row = |n: usize| format!("us-r{n},2021-{month:02}-{day:02},0.5,{n}\n");
        let csv =
            String::from("region_id,day,activity_index,visits\n") + &(0..rows).map(row).collect::<String>();
        write(&inbox, &format!("a-{month}-{day}.csv"), csv);
    }
    settled().await;
    assert_eq!(told(&app.verb(&["run", "a"]))["batches"], FILES);
    FILES * rows
}

/// Copies of a table's file, as a write that came to nothing left them long ago.
fn left_behind(table: &Path) -> Vec<PathBuf> {
    let file = table.join(live(table).keys().next().unwrap());
    let copy = |n: usize| {
        let copy = table.join(format!("left-behind-{n}.parquet"));
        std::fs::copy(&file, &copy).unwrap();
        let opened = std::fs::File::options().write(true).open(&copy).unwrap();
        opened.set_modified(SystemTime::now() - OLD).unwrap();
        copy
    };
    (0..5).map(copy).collect()
}

/// Has the server die at a named point of its upkeep.
async fn dies_in_upkeep(app: &mut TestApp, point: &str) {
    armed(app, point).await;
    let mut verb = app.command(&["run", "maintenance"]);
    let mut verb = verb.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    back(app, point).await;
    let _ = verb.kill();
    let _ = verb.wait();
}

async fn each_row_is_there_once(acme: &Customer, rows: usize) {
    let sql = "SELECT count(*) AS n, max(c) AS c FROM (
                 SELECT count(*) AS c FROM source_a.activity GROUP BY region_id, day) AS keys";
    assert_eq!(acme.sql(sql).await.data(), json!([{"n": rows, "c": 1}]));
}

#[rstest]
#[case("publish.half-compaction")]
#[case("compact.before-commit")]
#[case("commit.after-log")]
#[case("publish.after-commit")]
#[case("vacuum.half")]
#[tokio::test]
async fn an_upkeep_killed_at_a_named_point_loses_and_doubles_no_row_and_the_next_one_does_the_rest(
    #[case] point: &str,
) {
    let Some(mut app) = server().await else { return };
    let acme = app.customer("acme").await;
    let (objects, mut rows) = (app.folder.join("objects"), 0);
    let table = objects.join("curated/source_a/activity");
    for month in 1..=faults(1, 10) {
        rows += small_files(&app, month).await;
        let left = left_behind(&table);
        dies_in_upkeep(&mut app, point).await;
        each_row_is_there_once(&acme, rows).await;
        assert_eq!(told(&app.verb(&["run", "maintenance"]))["failed"], json!([]));
        each_row_is_there_once(&acme, rows).await;
        assert_eq!(live(&table).len(), month, "a file a month");
        assert!(left.iter().all(|file| !file.exists()), "{left:?}");
        assert_eq!(nobodys_files(&objects), Vec::<PathBuf>::new());
    }
}
