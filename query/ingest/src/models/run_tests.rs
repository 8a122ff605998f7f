//! A model that fails keeps its table's old version, says so, holds up nobody else, and mends itself.

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::Value;

use super::Model;
use crate::sources::testing::{TestLake, at, changed_lake};

const REGIONS: &str =
    "region_id,name,country,lon,lat,population\nit-lombardia,Lombardia,IT,9.93,45.57,9976509\n";
const DAYS: [&str; 2] = ["day", "price_mean"];

/// The default lake with other tests in the header of `market.daily`.
async fn lake(tests: &str) -> TestLake {
    let tests = tests.to_owned();
    let lake = changed_lake(REGIONS, move |lakefile| {
        let model = lakefile.models.iter_mut().find(|m| m.table.to_string() == "market.daily").unwrap();
        let (header, rest) = model.text.split_once("[tests]").unwrap();
        let sql = rest.split_once("---*/").unwrap().1;
        *model = Model::parse(&model.file, &format!("{header}[tests]\n{tests}\n---*/{sql}")).unwrap();
    });
    let lake = lake.await;
    lake.arrivals.catch_up(now(0)).await.unwrap();
    lake
}

fn now(minutes: i64) -> DateTime<Utc> {
    at("2026-03-10T12:00:00Z") + TimeDelta::minutes(minutes)
}

/// The market's history file says this price of 9 March; gives what failed.
async fn price(lake: &TestLake, price: f64, minutes: i64) -> Vec<String> {
    let file = lake.folder.path().join("sources/inbox/market_history/2026.csv");
    let text = format!(
        "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events\nit-lombardia,2026-03-09,,,,,{price},,7\n"
    );
    std::fs::write(&file, text).unwrap();
    lake.arrivals.run_once("history", now(minutes)).await.unwrap().failed
}

async fn last_run(lake: &TestLake) -> (bool, catalog::ModelRun) {
    let table = lake.catalog.moment().table(&"market.daily".parse().unwrap()).unwrap();
    (table.failing(), lake.catalog.model_run(table.id).await.unwrap().unwrap())
}

fn test<'a>(run: &'a catalog::ModelRun, name: &str) -> &'a Value {
    let tests = run.tests.as_array().unwrap();
    tests
        .iter()
        .find(|t| t["test"] == name && t["columns"] != serde_json::json!(["region_id", "day"]))
        .unwrap()
}

#[tokio::test]
async fn a_failed_test_keeps_the_old_version_marks_the_table_and_mends_with_the_next_good_run() {
    let mut lake = lake("between = { price_mean = [0, 100] }").await;
    assert_eq!(price(&lake, 50.0, 0).await.len(), 0);
    let (failing, run) = last_run(&lake).await;
    assert_eq!((failing, run.failure.as_deref(), run.rows), (false, None, 1));
    let failed = price(&lake, 500.0, 1).await;
    assert!(failed[0].contains("`price_mean` has 500, which is not from 0 to 100"), "{failed:?}");
    assert_eq!(lake.lines("market.daily", &DAYS).await, ["2026-03-09 50.0"]);
    assert_eq!(lake.lines("market.monthly", &["price_mean"]).await, ["50.0"]);
    let (failing, run) = last_run(&lake).await;
    assert!(failing && test(&run, "between")["found"].as_str().unwrap().contains("500"), "{run:?}");
    // After a restart it is still marked, and was tried again.
    lake.restart().await;
    lake.arrivals.catch_up(now(2)).await.unwrap();
    let (failing, run) = last_run(&lake).await;
    assert_eq!((failing, run.at), (true, now(2)));
    assert_eq!(price(&lake, 60.0, 2).await.len(), 0);
    assert!(!last_run(&lake).await.0);
    assert_eq!(lake.lines("market.daily", &DAYS).await, ["2026-03-09 60.0"]);
    assert_eq!(lake.lines("market.monthly", &["price_mean"]).await, ["60.0"], "what rests on it follows");
}

#[tokio::test]
async fn a_model_that_fails_holds_up_none_that_does_not_rest_on_it() {
    let lake = lake("between = { price_mean = [0, 100] }").await;
    let inbox = lake.folder.path().join("sources/inbox/a");
    std::fs::write(inbox.join("2026-03-12.csv"), "region_id,activity_index,visits\nit-lombardia,9,9\n")
        .unwrap();
    price(&lake, 500.0, 0).await;
    lake.arrivals.run_once("a", now(1)).await.unwrap();
    assert_eq!(lake.lines("geo.facts", &["day", "visits"]).await, ["2026-03-09 9"]);
}

#[tokio::test]
async fn every_kind_of_test_can_break_with_its_value() {
    for (tests, name, words) in [
        (
            "relationship = { region_id = \"source_b.profile.region_id\" }",
            "relationship",
            "has it-lombardia, which source_b",
        ),
        ("row_count = { least = 2 }", "row_count", "it-lombardia, 2026-03-09 has 1 rows"),
        (
            "freshness = { day = \"1d\" }",
            "freshness",
            "2026-03-09T00:00:00Z, which is before 2026-03-09T12:00:00Z",
        ),
        (
            "[[tests.sql]]\nname = \"cheap\"\nsql = \"SELECT day, price_mean FROM lake.rows WHERE price_mean > 1\"",
            "cheap",
            "`cheap` has a row: 2026-03-09, 50.0",
        ),
        (
            "[[tests.sql]]\nname = \"steady\"\nsql = \"SELECT n.day FROM lake.rows n LEFT JOIN market.daily d USING (region_id, day) WHERE d.day IS NULL\"",
            "steady",
            "has a row: 2026-03-09",
        ),
    ] {
        let lake = lake(tests).await;
        let failed = price(&lake, 50.0, 0).await;
        let (failing, run) = last_run(&lake).await;
        assert!(failing && failed[0].contains(words), "{words} is not in {failed:?}");
        assert_eq!(test(&run, name)["passed"], false);
        // How old the newest row is holds no row back.
        let served = lake.lines("market.daily", &DAYS).await.len();
        assert_eq!(served, usize::from(name == "freshness"), "{name}");
    }
}

#[tokio::test]
async fn a_value_that_shall_be_unique_is_looked_for_in_the_rows_that_stay() {
    let lake = lake("unique = [\"price_mean\"]").await;
    price(&lake, 50.0, 0).await;
    let file = lake.folder.path().join("sources/inbox/market_history/more.csv");
    std::fs::write(&file, "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events\nit-lombardia,2026-03-07,,,,,50,,7\n").unwrap();
    let failed = lake.arrivals.run_once("history", now(1)).await.unwrap().failed;
    assert!(failed[0].contains("`price_mean` has 50.0, which another row of the table has"), "{failed:?}");
    assert_eq!(price(&lake, 51.0, 2).await.len(), 0, "the old row goes, so the new one may come");
    assert_eq!(lake.lines("market.daily", &DAYS).await, ["2026-03-07 50.0", "2026-03-09 51.0"]);
}

#[tokio::test]
async fn a_statement_that_fails_marks_the_table_too() {
    let lake = lake("[[tests.sql]]\nname = \"broken\"\nsql = \"SELECT 1 / (price_mean - price_mean)::BIGINT FROM lake.rows\"").await;
    let failed = price(&lake, 50.0, 0).await;
    assert_eq!(failed.len(), 1, "{failed:?}");
    let (failing, run) = last_run(&lake).await;
    assert!(failing && run.failure.unwrap().to_lowercase().contains("divide by zero"));
    assert!(lake.lines("market.daily", &DAYS).await.is_empty());
}

/// One event lands; gives what failed.
async fn event(lake: &TestLake, id: &str, time: &str, price: f64) -> Vec<String> {
    let text = format!(
        r#"{{"event_id":"{id}","event_time":"{time}","region_id":"it-lombardia","price":{price},"interest":1}}"#
    );
    lake.arrivals.push("d", text.as_bytes(), now(0)).await.unwrap();
    lake.arrivals.run_once("d", now(0)).await.unwrap().failed
}

#[tokio::test]
async fn a_recent_file_of_events_is_read_once_and_late_events_count_in_their_own_day() {
    const ROW: [&str; 6] = ["day", "price_open", "price_close", "price_mean", "interest_mean", "events"];
    let mut lake = changed_lake(REGIONS, |_| ()).await;
    lake.arrivals.catch_up(now(0)).await.unwrap();
    event(&lake, "late", "2026-03-05T10:00:00Z", 7.0).await;
    event(&lake, "b", "2026-03-10T10:00:00Z", 10.0).await;
    let [late, today] = ["2026-03-05 7.0 7.0 8.0 1.0 2", "2026-03-10 5.0 10.0 25.0 1.0 3"];
    // The file is spoilt; what it gave is known.
    let table = lake.catalog.moment().table(&"market.events".parse().unwrap()).unwrap();
    let location: lake::Location = table.location.parse().unwrap();
    let snapshot = lake.lake.snapshot(&location, table.version.unwrap()).await.unwrap();
    let file =
        snapshot.files().iter().find(|file| file.max["event_time"].as_str() > Some("2026-03-10")).unwrap();
    let path = lake.lake.objects().local_path(&format!("{location}/{}", file.path)).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, vec![0; bytes.len()]).unwrap();
    assert_eq!(event(&lake, "a", "2026-03-10T09:00:00Z", 5.0).await, [""; 0]);
    assert_eq!(event(&lake, "c", "2026-03-10T09:30:00Z", 60.0).await, [""; 0]);
    assert_eq!(event(&lake, "later", "2026-03-05T09:00:00Z", 9.0).await, [""; 0]);
    let late = late.replacen("7.0 7.0", "9.0 7.0", 1);
    assert_eq!(lake.lines("market.daily", &ROW).await, [late.as_str(), today]);
    // Memory is all that knew it.
    lake.restart().await;
    assert_eq!(event(&lake, "d", "2026-03-10T09:40:00Z", 1.0).await.len(), 1);
    assert_eq!(lake.lines("market.daily", &ROW).await, [late.as_str(), today]);
    std::fs::write(&path, bytes).unwrap();
    lake.arrivals.run_once("market.daily", now(5)).await.unwrap();
    let today = "2026-03-10 5.0 10.0 19.0 1.0 4";
    assert_eq!(lake.lines("market.daily", &ROW).await, [late.as_str(), today]);
}

#[tokio::test]
async fn a_command_model_takes_its_rows_from_a_program() {
    let with = async |command: &str| {
        let lake = changed_lake(REGIONS, |lakefile| {
            let model = lakefile.models.iter_mut().find(|m| m.table.to_string() == "market.daily").unwrap();
            model.command = Some(["sh", "-c", command].map(str::to_owned).to_vec());
        });
        let lake = lake.await;
        lake.arrivals.catch_up(now(0)).await.unwrap();
        let failed = price(&lake, 50.0, 0).await;
        (lake.lines("market.daily", &DAYS).await, failed)
    };
    // What goes in is what must come out: an Arrow stream.
    assert_eq!(with("cat").await, (vec!["2026-03-09 50.0".to_owned()], Vec::new()));
    for (command, words) in [("echo sorry >&2; exit 7", "sorry"), ("echo 1", "fails")] {
        let (rows, failed) = with(command).await;
        assert!(rows.is_empty() && failed.len() == 1 && failed[0].contains(words), "{words}: {failed:?}");
    }
}
