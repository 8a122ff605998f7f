//! The four cases that Lakefront exists for, walked over HTTP on every stack.

use harness::Stack::{self, Memory, Postgres, Sqlite};
use harness::{TestApp, project_root};
use rstest::rstest;
use serde_json::json;

use crate::nyc;

/// Files of sources A and B and of the market's history, for the airports, in the sources' folder.
pub fn source_files(app: &TestApp) {
    let folder = app.folder.join("sources/inbox");
    let write = |source: &str, file: &str, text: &str| {
        std::fs::create_dir_all(folder.join(source)).unwrap();
        std::fs::write(folder.join(source).join(file), text).unwrap();
    };
    write("a", "2013-03-13.csv", "region_id,activity_index,visits\nus-ewr,0.5,100\nus-jfk,0.7,200\n");
    write(
        "b",
        "2013-03-01.csv",
        "region_id,valid_from,households,income_index\nus-ewr,2013-03-01,1000,1.1\n",
    );
    write(
        "market_history",
        "2013.csv",
        "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events\n\
         us-ewr,2013-03-09,10,12,9,11,10.5,40,7\nus-ewr,2013-03-10,11,13,10,12,11.5,50,9\n",
    );
    // A file younger than the source's `settle_ms` may still be being written, and is left for the next look.
    std::thread::sleep(std::time::Duration::from_millis(700));
    for source in ["a", "b", "market_history"] {
        let output = app.verb(&["run", source]);
        assert!(output.status.success(), "run {source}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[rstest]
#[tokio::test]
async fn the_four_cases_are_walked_over_http(#[values(Sqlite, Postgres, Memory)] stack: Stack) {
    let stations = nyc::stations(&project_root().join("tests/data/nyc-hours.csv"));
    let Some((app, _stub)) = nyc::start(stack, stations, "2013-03-01", "2013-03-20").await else { return };
    source_files(&app);
    nyc::followed().await;
    let acme = app.customer("acme").await;

    // 1: a region's aggregates in one call
    let summary = acme.get("/v1/regions/us-ewr/summary?window=7d").await.data();
    assert_eq!(summary["region"]["timezone"], "America/New_York");
    assert!(summary["weather"]["latest"]["air_temperature_mean"].is_f64());
    let latest = json!({"day": "2013-03-10", "events": 9, "price_mean": 11.5, "price_close": 12.0, "interest_mean": 50.0});
    assert_eq!(summary["market"]["latest"], latest);
    assert_eq!(summary["market"]["window"]["price_mean"], 11.0);

    // 2: the whole series
    let days = acme.get("/v1/regions/us-ewr/weather?grain=day&from=2013-03-01&to=2013-03-20").await.data();
    assert!(days.as_array().unwrap().len() >= 19);

    // 3: an analysis of one region, stored, and served by table name
    let sql = "SELECT date_trunc('month', day) AS month, avg(air_temperature_mean) AS mean, count(*) AS days \
               FROM weather.daily WHERE region_id = 'us-ewr' GROUP BY 1";
    let made = acme.put("/v1/analyses/ewr_months", json!({"sql": sql, "kind": "table"})).await;
    assert!(made.status.is_success(), "{}", made.text());
    let run = acme.post("/v1/analyses/ewr_months/runs", json!({})).await.status(202).json();
    assert_eq!(acme.finished(run["data"]["id"].as_str().unwrap()).await["status"], "succeeded");
    let months = acme.get("/v1/tables/my/ewr_months/rows?order=month&days=gte.2").await.data();
    assert_eq!(months.as_array().unwrap().len(), 1, "{months}");

    // 4: own data, joined with A, B, weather and market
    acme.upload("zz", "region_id,day,own\nus-ewr,2013-03-10,7\nus-jfk,2013-03-10,8\n").await.created();
    let sql = "SELECT z.region_id, z.own, a.visits, b.households, w.hours, m.price_close FROM my.zz z \
               LEFT JOIN source_a.activity a ON a.region_id = z.region_id AND a.day = z.day \
               LEFT JOIN source_b.profile b ON b.region_id = z.region_id AND b.valid_from <= z.day \
               LEFT JOIN weather.daily w ON w.region_id = z.region_id AND w.day = z.day \
               LEFT JOIN market.daily m ON m.region_id = z.region_id AND m.day = z.day ORDER BY 1";
    assert!(acme.put("/v1/analyses/joined", json!({"sql": sql, "kind": "view"})).await.status.is_success());
    let joined = acme.get("/v1/tables/my/joined/rows?order=region_id").await.data();
    assert_eq!(
        joined,
        json!([
            {"region_id": "us-ewr", "own": 7, "visits": 100, "households": 1000, "hours": 23, "price_close": 12.0},
            {"region_id": "us-jfk", "own": 8, "visits": 200, "households": null, "hours": 23, "price_close": null},
        ])
    );
}
