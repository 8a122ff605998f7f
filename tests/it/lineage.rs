//! Which write made a day of a table, and which raw files it rests on.

use harness::Stack::Sqlite;
use harness::{Options, TestApp};
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::options;
use crate::sources_files::write;

const JFK: [(&str, &str, f64, f64); 1] = [("us-jfk", "JFK", 40.6398, -73.7789)];

async fn server() -> Option<TestApp> {
    TestApp::start(Options { lake_file: Some(lake(JFK, without_weather)), ..options(Sqlite) }).await
}

fn run(app: &TestApp, source: &str) -> Value {
    let output = app.verb(&["run", source]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn files(partition: &Value) -> Vec<String> {
    let batches = partition["batches"].as_array().unwrap().iter();
    let files = batches.flat_map(|batch| batch["files"].as_array().unwrap().clone());
    let name = |file: Value| file["path"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    files.map(name).collect()
}

#[tokio::test]
async fn a_day_names_the_files_that_it_rests_on_through_all_models_and_no_others() {
    let Some(app) = server().await else { return };
    let acme = app.customer("acme").await;
    let inbox = app.folder.join("sources/inbox/a");
    for (day, visits) in [(10, 1), (20, 2), (25, 3)] {
        let csv = format!("region_id,activity_index,visits\nus-jfk,0.5,{visits}\n");
        write(&inbox, &format!("a-2021-10-{day}.csv"), csv);
    }
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(run(&app, "a")["rows"], 3);
    // The second file is corrected: its day rests on both.
    write(&inbox, "a-2021-10-20.csv", "region_id,activity_index,visits\nus-jfk,0.5,22\n");
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(run(&app, "a")["rows"], 1);
    let table = acme.get("/v1/tables/source_a/activity").await.data();
    let address = table["partitions"].as_str().unwrap();
    let days = acme.get(address).await.data();
    let told: Vec<_> =
        days.as_array().unwrap().iter().map(|day| (day["day"].clone(), day["rows"].clone())).collect();
    assert_eq!(told, [("2021-10-22"), ("2021-10-17"), ("2021-10-07")].map(|day| (json!(day), json!(1))));
    let one = acme.get(&format!("{address}/2021-10-17")).await.data();
    assert_eq!(one["version"], table["version"]);
    assert_eq!(files(&one), ["00000004-a-2021-10-20.csv", "00000002-a-2021-10-20.csv"]);
    let file = &one["batches"][0]["files"][0];
    let bytes = std::fs::read(app.folder.join("objects").join(file["path"].as_str().unwrap())).unwrap();
    assert_eq!(file["size"], bytes.len());
    // A model's day rests on the same, and on nothing of other days.
    let facts = acme.get("/v1/tables/geo/facts/partitions/2021-10-17").await.data();
    assert_eq!(files(&facts), files(&one), "{facts}");
    assert_eq!(facts["inputs"]["source_a.activity"], table["version"], "{facts}");
    assert_eq!(facts["batches"][0]["source"], "a");
}

#[tokio::test]
async fn days_and_batches_come_in_pages_and_what_is_not_there_is_not_found() {
    let Some(app) = server().await else { return };
    let acme = app.customer("acme").await;
    let inbox = app.folder.join("sources/inbox/a");
    for n in 0..5 {
        write(
            &inbox,
            &format!("a-{n}.csv"),
            format!(
                "region_id,day,activity_index,visits\nus-jfk,2021-01-0{},0.5,{n}\nus-jfk,2021-02-01,0.5,{n}\n",
                n + 1
            ),
        );
    }
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    assert_eq!(run(&app, "a")["rows"], 10);
    let pages = async |path: &str, key: &str| {
        let (mut found, mut cursor) = (Vec::new(), String::new());
        loop {
            let body = acme.get(&format!("{path}?limit=2{cursor}")).await.ok();
            let items = body["data"].as_array().or(body["data"]["batches"].as_array()).unwrap();
            assert!(items.len() <= 2 && body["meta"]["rows"] == items.len());
            found.extend(items.iter().map(|item| item[key].clone()));
            let Some(next) = body["meta"]["next"].as_str() else { return found };
            cursor = format!("&cursor={next}");
        }
    };
    let path = "/v1/tables/source_a/activity/partitions";
    let days = ["2021-02-01", "2021-01-05", "2021-01-04", "2021-01-03", "2021-01-02", "2021-01-01"];
    assert_eq!(pages(path, "day").await, days.map(|day| json!(day)));
    assert_eq!(pages(&format!("{path}/2021-02-01"), "batch").await, [5, 4, 3, 2, 1].map(|n| json!(n)));
    acme.get(&format!("{path}/2021-03-01")).await.problem(404, "not-found");
    acme.get(&format!("{path}/yesterday")).await.problem(404, "not-found");
    acme.get(&format!("{path}?cursor=x")).await.problem(400, "invalid-cursor");
    acme.get("/v1/tables/source_a/nothing/partitions").await.problem(404, "unknown-table");
    acme.upload("prices", "region,price\na,1\n").await.created();
    acme.get("/v1/tables/my/prices/partitions").await.problem(404, "unknown-table");
    acme.get("/v1/tables/my/prices/quality").await.problem(404, "unknown-table");
}

#[tokio::test]
async fn quality_tells_freshness_tests_size_and_what_was_set_aside() {
    let Some(app) = server().await else { return };
    let acme = app.customer("acme").await;
    let inbox = app.folder.join("sources/inbox/a");
    write(&inbox, "a-2021-10-10.csv", "region_id,activity_index,visits\nus-jfk,0.5,1\n");
    write(&inbox, "a-2021-10-11.csv", "region_id,shops\nus-jfk,7\n");
    tokio::time::sleep(std::time::Duration::from_millis(600)).await;
    run(&app, "a");
    let own = acme.get("/v1/tables/source_a/activity/quality").await.data();
    assert_eq!((&own["promise_seconds"], &own["overdue"]), (&json!(172_800), &json!(false)), "{own}");
    assert_eq!((&own["days"][0]["rows"], own["days"].as_array().unwrap().len()), (&json!(1), 1), "{own}");
    let source = &own["sources"][0];
    assert_eq!(
        (&source["source"], &source["set_aside"], source.get("files")),
        (&json!("a"), &json!(1), None)
    );
    let operators = app.operator.get("/v1/tables/source_a/activity/quality").await.data();
    let aside = &operators["sources"][0]["files"][0];
    assert_eq!(aside["file"], "a-2021-10-11.csv");
    assert!(aside["why"].as_str().unwrap().contains("`shops`"), "{aside}");
    let facts = acme.get("/v1/tables/geo/facts/quality").await.data();
    assert!(facts["run"]["outcome"] == "succeeded" && facts["tests"][0]["passed"] == true, "{facts}");
    assert_eq!(facts["sources"], json!([]));
}
