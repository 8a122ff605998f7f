//! What sources call a region otherwise than by its id is that region, by a file that anybody can change.

use std::path::{Path, PathBuf};

use harness::Stack::Sqlite;
use harness::{Answer, Customer, Options, TestApp};
use serde_json::{Value, json};

use crate::lakes::{lake, without_weather};
use crate::shared::options;
use crate::sources_files::write;

const PLACES: [(&str, &str, f64, f64); 2] =
    [("br-sao-paulo", "São Paulo", -22.26, -48.79), ("it-lombardia", "Lombardia", 45.57, 9.93)];

/// A server that lands what comes when it is told, and the folder of its lake; the mapping has one line more.
async fn server(line: &str) -> Option<(TestApp, PathBuf)> {
    let folder =
        lake(PLACES, |definition| without_weather(definition).replace("settle_ms = 500", "settle_ms = 0"));
    mapping(&folder, |text| text + line);
    let app = TestApp::start(Options { lake_file: Some(folder.clone()), ..options(Sqlite) }).await?;
    Some((app, folder))
}

/// Changes the lake's mapping.
fn mapping(lake: &Path, change: impl FnOnce(String) -> String) {
    let file = lake.join("mappings/geo.aliases.csv");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(file, change(text)).unwrap();
}

fn run(app: &TestApp, name: &str) {
    let output = app.verb(&["run", name]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Pushes an event of a region, all of them of one day.
async fn push(app: &TestApp, region: &str) -> Answer {
    let event =
        json!({"event_id": region, "event_time": "2024-01-31T14:00:00Z", "region_id": region, "price": 2.5});
    app.operator.post("/v1/events/d", event).await
}

/// Drops a file of source A about these regions.
fn drop_file(app: &TestApp, name: &str, regions: &[&str]) {
    let head = String::from("region_id,activity_index,visits\n");
    let csv = regions.iter().fold(head, |csv, region| csv + &format!("{region},0.5,7\n"));
    write(&app.folder.join("sources/inbox/a"), name, csv);
}

/// The regions that a table has.
async fn regions(acme: &Customer, table: &str) -> Vec<Value> {
    let rows = acme.sql(&format!("SELECT DISTINCT region_id FROM {table} ORDER BY region_id")).await.data();
    rows.as_array().unwrap().iter().map(|row| row["region_id"].clone()).collect()
}

#[tokio::test]
async fn events_and_files_of_another_spelling_are_of_the_place_and_of_no_second_region() {
    let Some((app, _)) = server("").await else { return };
    let acme = app.customer("acme").await;
    for region in ["SaoPaulo", "São Paulo", "BR_SAO_PAULO", "saopaulo", "br-sao-paulo"] {
        push(&app, region).await.status(202);
    }
    run(&app, "d");
    let latest = acme.get("/v1/regions/br-sao-paulo/summary").await.data()["market"]["latest"].take();
    assert_eq!((&latest["day"], &latest["events"]), (&json!("2024-01-31"), &json!(5)));
    drop_file(&app, "a-2021-10-04.csv", &["são paulo", "Lombardy"]);
    run(&app, "a");
    assert_eq!(regions(&acme, "source_a.activity").await, ["br-sao-paulo", "it-lombardia"]);
    assert_eq!(regions(&acme, "geo.regions").await, ["br-sao-paulo", "it-lombardia"]);
}

#[tokio::test]
async fn an_unknown_spelling_is_refused_with_its_mapping_until_the_mapping_knows_it() {
    let Some((app, folder)) = server("").await else { return };
    let acme = app.customer("acme").await;
    let told = push(&app, "Paulicéia").await.problem(422, "invalid-event").errors[0].take();
    assert_eq!((&told["index"], &told["field"]), (&json!(0), &json!("region_id")), "{told}");
    drop_file(&app, "a-2021-10-04.csv", &["br-sao-paulo", "Paulicéia"]);
    run(&app, "a");
    let quality = app.operator.get("/v1/tables/source_a/activity/quality").await.data();
    for why in [&told["reason"], &quality["sources"][0]["files"][0]["why"]] {
        let why = why.as_str().unwrap();
        assert!(why.contains("`Paulicéia`") && why.contains("`geo.aliases`"), "{why}");
    }
    mapping(&folder, |text| text + "PAULICEIA,br-sao-paulo\n");
    run(&app, "mapping");
    push(&app, "Paulicéia").await.status(202);
    run(&app, "d");
    drop_file(&app, "a-2021-10-05.csv", &["Paulicéia"]);
    run(&app, "a");
    assert_eq!(regions(&acme, "market.events").await, ["br-sao-paulo"]);
    assert_eq!(regions(&acme, "source_a.activity").await, ["br-sao-paulo"]);
}

#[tokio::test]
async fn an_event_whose_entry_is_gone_is_not_lost_and_a_rebuild_reads_it_by_the_mapping_of_today() {
    let line = "Terra da Garoa,br-sao-paulo\n";
    let Some((mut app, folder)) = server(line).await else { return };
    let acme = app.customer("acme").await;
    push(&app, "Terra da Garoa").await.status(202);
    mapping(&folder, |text| text.replace(line, ""));
    run(&app, "mapping");
    run(&app, "d");
    assert_eq!(regions(&acme, "market.events").await, ["terra-da-garoa"]);
    let pending = "SELECT region_id FROM geo.regions WHERE status = 'pending'";
    assert_eq!(acme.sql(pending).await.data(), json!([{"region_id": "terra-da-garoa"}]));
    mapping(&folder, |text| text + line);
    app.kill();
    let rebuilt = app.verb(&["rebuild", "--from", "raw"]);
    assert!(rebuilt.status.success(), "{}", String::from_utf8_lossy(&rebuilt.stderr));
    app.resume().await;
    assert_eq!(regions(&acme, "market.events").await, ["br-sao-paulo"]);
    assert_eq!(regions(&acme, "geo.regions").await, ["br-sao-paulo", "it-lombardia"]);
}
