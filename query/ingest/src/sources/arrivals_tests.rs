//! What arrives lands once, in its own day, whatever happens between.

use std::sync::Arc;

use chrono::{Days, NaiveDate, TimeDelta};
use serde_json::json;

use super::testing::{TestLake, at, changed_lake, lake, query, quiet_lake, whole};
use super::weather::Grain;
use super::{PushError, Source};
use crate::lakefile::Times;
use crate::schedules::Clock;

pub(super) const REGIONS: &str =
    "region_id,name,country,lon,lat,population\nit-lombardia,Lombardia,IT,9.93,45.57,9976509\n";

pub(super) fn event(id: &str, time: &str, region: &str, price: f64, more: &str) -> String {
    format!(
        r#"{{"event_id":"{id}","event_time":"{time}","region_id":"{region}","price":{price},"interest":50{more}}}"#
    )
}

async fn push(lake: &TestLake, lines: &[String]) {
    let now = at("2026-03-10T12:00:00Z");
    lake.arrivals.push("d", lines.join("\n").as_bytes(), now).await.unwrap();
    lake.arrivals.run_once("d", now).await.unwrap();
}

const DAILY: [&str; 7] = ["region_id", "day", "price_open", "price_high", "price_close", "events", "origin"];

#[tokio::test]
async fn an_event_counts_once_and_in_its_own_local_day() {
    let lake = quiet_lake(REGIONS).await;
    lake.arrivals.catch_up(at("2026-03-10T12:00:00Z")).await.unwrap();
    // 23:30 UTC is the next day in Lombardia.
    let first = [
        event("a", "2026-03-09T23:30:00Z", "it-lombardia", 100.0, ""),
        event("b", "2026-03-10T11:00:00Z", "it-lombardia", 110.0, ""),
    ];
    push(&lake, &first).await;
    push(&lake, &[first[0].clone(), event("late", "2026-03-05T10:00:00Z", "it-lombardia", 90.0, "")]).await;
    let days = lake.lines("market.daily", &DAILY).await;
    assert_eq!(
        days,
        [
            "it-lombardia 2026-03-05 90.0 90.0 90.0 1 events",
            "it-lombardia 2026-03-10 100.0 110.0 110.0 2 events",
        ]
    );
}

#[tokio::test]
async fn a_region_is_pending_until_its_point_is_known() {
    let lake = quiet_lake(REGIONS).await;
    lake.arrivals.catch_up(at("2026-03-10T12:00:00Z")).await.unwrap();
    push(&lake, &[event("a", "2026-03-09T23:30:00Z", "it-molise", 1.0, "")]).await;
    let columns = ["region_id", "status", "timezone"];
    assert_eq!(
        lake.lines("geo.regions", &columns).await,
        ["it-lombardia active Europe/Rome", "it-molise pending -",]
    );
    assert!(lake.lines("market.daily", &DAILY).await[0].starts_with("it-molise 2026-03-09"));
    push(&lake, &[event("b", "2026-03-10T11:00:00Z", "it-molise", 2.0, r#","lon":14.6,"lat":41.6"#)]).await;
    assert_eq!(lake.lines("geo.regions", &columns).await[1], "it-molise active Europe/Rome");
    // Its days are local days now, the earlier ones too.
    assert_eq!(lake.lines("market.daily", &DAILY).await, ["it-molise 2026-03-10 1.0 2.0 2.0 2 events"]);
}

#[tokio::test]
async fn a_batch_cut_short_lands_once_after_the_restart() {
    let mut lake = quiet_lake(REGIONS).await;
    let now = at("2026-03-10T12:00:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    let events = [event("a", "2026-03-10T11:00:00Z", "it-lombardia", 1.0, "")];
    lake.arrivals.push("d", events.concat().as_bytes(), now).await.unwrap();
    // The batch's row is written, and then the process dies.
    let source: Arc<dyn Source> = lake.arrivals.0.entries["d"].source.clone();
    let batch = source.next(1, None, now).await.unwrap().unwrap();
    lake.catalog.batches().begin("d", 1, &batch.position, &batch.objects, now).await.unwrap();
    lake.restart().await;
    lake.arrivals.catch_up(now).await.unwrap();
    lake.arrivals.run_once("d", now).await.unwrap();
    assert_eq!(lake.lines("market.events", &["event_id"]).await, ["a"]);
    assert_eq!(lake.lines("market.daily", &DAILY).await.len(), 1);
}

#[tokio::test]
async fn models_that_a_kill_left_behind_catch_up() {
    let mut lake = quiet_lake(REGIONS).await;
    let now = at("2026-03-10T12:00:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    let events = [event("a", "2026-03-10T11:00:00Z", "it-lombardia", 1.0, "")];
    lake.arrivals.push("d", events.concat().as_bytes(), now).await.unwrap();
    // The batch is committed, and then the process dies before the models run.
    let source: Arc<dyn Source> = lake.arrivals.0.entries["d"].source.clone();
    lake.arrivals.0.intake.land(source.as_ref(), now).await.unwrap().unwrap();
    assert!(lake.lines("market.daily", &DAILY).await.is_empty());
    lake.restart().await;
    lake.arrivals.catch_up(now).await.unwrap();
    assert_eq!(lake.lines("market.daily", &DAILY).await.len(), 1);
}

#[tokio::test]
async fn history_gives_the_days_before_the_stream_began() {
    let lake = quiet_lake(REGIONS).await;
    let now = at("2026-03-10T12:00:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    let file = lake.folder.path().join("sources/inbox/market_history/2026.csv");
    let header = "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events";
    let text = format!(
        "{header}\nit-lombardia,2026-03-09,1,2,1,2,1.5,40,7\nit-lombardia,2026-03-10,1,2,1,2,1.5,40,9\n"
    );
    std::fs::write(&file, text).unwrap();
    assert_eq!(lake.arrivals.run_once("history", now).await.unwrap().rows, 2);
    push(&lake, &[event("a", "2026-03-10T11:00:00Z", "it-lombardia", 5.0, "")]).await;
    assert_eq!(
        lake.lines("market.daily", &DAILY).await,
        ["it-lombardia 2026-03-09 1.0 2.0 2.0 7 history", "it-lombardia 2026-03-10 5.0 5.0 5.0 1 events",]
    );
}

#[tokio::test]
async fn a_file_lands_once_and_a_broken_one_holds_nobody_up() {
    let lake = quiet_lake(REGIONS).await;
    let now = at("2021-10-04T06:00:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    let inbox = lake.folder.path().join("sources/inbox/a");
    std::fs::write(inbox.join("a-2021-10-03.csv"), "region_id,visitors\nit-lombardia,1\n").unwrap();
    std::fs::write(inbox.join("a-2021-10-04.csv"), "region_id,activity_index,visits\nit-lombardia,99.5,12\n")
        .unwrap();
    assert_eq!(lake.arrivals.run_once("a", now).await.unwrap().rows, 1);
    assert_eq!(lake.arrivals.run_once("a", now).await.unwrap().batches, 0);
    let columns = ["region_id", "day", "visits", "ingested_at"];
    assert_eq!(
        lake.lines("source_a.activity", &columns).await,
        ["it-lombardia 2021-10-01 12 2021-10-04T06:00:00Z"]
    );
    // Corrected, it comes again and replaces its rows.
    std::fs::write(
        inbox.join("a-2021-10-04.csv"),
        "region_id,activity_index,visits\nit-lombardia,99.5,130\n",
    )
    .unwrap();
    assert_eq!(lake.arrivals.run_once("a", now).await.unwrap().rows, 1);
    assert_eq!(lake.lines("source_a.activity", &["visits"]).await, ["130"]);
    let raw = lake.lake.objects().list("raw/a").await.unwrap();
    assert_eq!(raw.iter().filter(|o| o.path.to_string().ends_with(".csv")).count(), 3);
    assert_eq!(raw.iter().filter(|o| o.path.to_string().ends_with("manifest.ndjson")).count(), 3);
}

#[tokio::test]
async fn an_emptied_file_is_told_as_a_jump_and_one_that_does_not_fit_as_set_aside() {
    let lake = quiet_lake(REGIONS).await;
    let now = at("2021-10-04T06:00:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    let head = "region_id,day,activity_index,visits\n";
    let file = async |name: &str, text: &str| {
        let file = lake.folder.path().join("sources/inbox/a").join(name);
        std::fs::write(file, text).unwrap();
        lake.arrivals.run_once("a", now).await.unwrap().rows
    };
    let day = |n: u64| NaiveDate::default() + Days::new(n);
    for n in 0..10 {
        let rows = (0..100).map(|row| format!("it-lombardia,{},1,{n}\n", day(row))).collect::<String>();
        assert_eq!(file(&format!("{n}.csv"), &format!("{head}{rows}")).await, 100);
    }
    assert_eq!(file("10.csv", "region_id,visitors\nit-lombardia,1\n").await, 0);
    assert_eq!(file("11.csv", head).await, 0);
    let usual = lake.catalog.source_states().get("a").await.unwrap().unwrap();
    assert_eq!((usual.batch_count, usual.usual_rows.round()), (10, 100.0));
    let raised = lake.catalog.alerts().due(9, std::time::Duration::from_secs(60), now).await.unwrap();
    let mut told: Vec<_> = raised.iter().map(|alert| (alert.kind.as_str(), &alert.body["batch"])).collect();
    told.sort_by_key(|(kind, _)| *kind);
    assert_eq!(told, [("batch-set-aside", &json!(11)), ("volume-jump", &json!(12))]);
}

#[tokio::test]
async fn a_push_with_a_wrong_event_stores_nothing() {
    let lake = quiet_lake(REGIONS).await;
    let now = at("2026-03-10T12:00:00Z");
    let body = [event("a", "2026-03-10T11:00:00Z", "it-lombardia", 1.0, ""), "{}".to_string()].join("\n");
    let refused = lake.arrivals.push("d", body.as_bytes(), now).await.unwrap_err();
    assert!(matches!(refused, PushError::Invalid(wrongs) if wrongs[0].index == 1));
    assert!(matches!(lake.arrivals.push("e", b"{}", now).await, Err(PushError::UnknownSource(_))));
    assert_eq!(lake.arrivals.run_once("d", now).await.unwrap().batches, 0);
}

/// 24 hours a day, at 10 °C; the archive says 5 °C.
pub(super) fn ten_degrees(target: &str) -> Result<String, String> {
    let query = query(target);
    let day = |name: &str| query.get(name).map(|d| d.parse::<NaiveDate>().unwrap());
    let from = day("start_date").unwrap_or("2026-03-10".parse().unwrap());
    let to = day("end_date").unwrap_or(from + Days::new(6));
    if query.contains_key("daily") {
        let days: Vec<String> = from.iter_days().take_while(|d| *d <= to).map(|d| d.to_string()).collect();
        let body = json!({"daily_units": {"temperature_2m_mean": "°C"},
                          "daily": {"temperature_2m_mean": vec![5.0; days.len()], "time": days}});
        return Ok(whole(body, &query).to_string());
    }
    let start = from.and_hms_opt(0, 0, 0).unwrap().and_utc();
    let times: Vec<String> = (0..(to - from).num_hours() + 24)
        .map(|h| (start + TimeDelta::hours(h)).format("%Y-%m-%dT%H:%M").to_string())
        .collect();
    let body = json!({"hourly_units": {"temperature_2m": "°C"},
                      "hourly": {"temperature_2m": vec![10.0; times.len()], "time": times}});
    Ok(whole(body, &query).to_string())
}

#[tokio::test]
async fn a_day_rests_on_its_hours_when_twenty_are_there_else_on_the_archive() {
    let lake = lake(REGIONS, Arc::new(ten_degrees)).await;
    let now = at("2026-03-10T12:30:00Z");
    let range = ("2026-03-07".parse().unwrap(), "2026-03-09".parse().unwrap());
    lake.arrivals.backfill("c", range, &[Grain::Day], &(), now).await.unwrap();
    lake.arrivals.run_once("c.current", now).await.unwrap();
    assert_eq!(lake.arrivals.run_once("c.current", now).await.unwrap().batches, 0);
    let columns = ["day", "air_temperature_mean", "hours", "origin"];
    // 9 March has 24 UTC hours less the one that is 10 March in Lombardia, and the 23 others: enough.
    assert_eq!(
        lake.lines("weather.daily", &columns).await,
        [
            "2026-03-07 5.0 0 archive",
            "2026-03-08 5.0 0 archive",
            "2026-03-09 10.0 23 hours",
            "2026-03-10 10.0 14 hours",
        ]
    );
    // An hour later there is one hour more, and nothing twice.
    lake.arrivals.run_once("c.current", now + TimeDelta::hours(1)).await.unwrap();
    assert_eq!(lake.lines("weather.daily", &columns).await[3], "2026-03-10 10.0 15 hours");
    assert_eq!(lake.rows("weather.hourly").await.num_rows(), 38);
}

#[tokio::test]
async fn every_issue_of_a_forecast_is_kept_and_only_its_regions_stamp_moves() {
    let lake = lake(REGIONS, Arc::new(ten_degrees)).await;
    let now = at("2026-03-10T12:30:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    lake.arrivals.run_once("c.forecast", now).await.unwrap();
    assert_eq!(lake.arrivals.run_once("c.forecast", now + TimeDelta::minutes(20)).await.unwrap().batches, 0);
    lake.arrivals.run_once("c.forecast", now + TimeDelta::minutes(40)).await.unwrap();
    let mut issues = lake.lines("weather.forecast", &["issued_at"]).await;
    issues.dedup();
    assert_eq!(issues, ["2026-03-10T12:30:00Z", "2026-03-10T13:10:00Z"]);
    let moment = lake.catalog.moment();
    let table = moment.table(&"weather.forecast".parse().unwrap()).unwrap();
    let stamp = |region: &str| moment.stamp(table.id, &region.parse().unwrap()).map(|s| s.version);
    assert_eq!(stamp("it-lombardia"), table.version);
    assert_ne!(stamp("it-sicilia"), table.version);
}

#[tokio::test]
async fn a_failing_model_rests_and_owes_what_arrives_meanwhile() {
    let lake = changed_lake(REGIONS, |lakefile| {
        let model = lakefile.models.iter_mut().find(|m| m.table.to_string() == "market.daily").unwrap();
        model.tests.between.insert("price_mean".into(), [0.0, 100.0]);
    })
    .await;
    let now = at("2026-03-10T12:00:00Z");
    lake.arrivals.catch_up(now).await.unwrap();
    let file = async |day: u32, price: f64, now| {
        let file = lake.folder.path().join(format!("sources/inbox/market_history/{day}.csv"));
        let text = format!(
            "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events\nit-lombardia,2026-03-0{day},,,,,{price},,7\n"
        );
        std::fs::write(file, text).unwrap();
        lake.arrivals.drain("market_history", &(), now).await.unwrap().failed.len()
    };
    assert_eq!(file(5, 500.0, now).await, 1);
    assert_eq!(file(5, 50.0, now + TimeDelta::seconds(1)).await, 0, "it rests");
    assert_eq!(file(6, 60.0, now + TimeDelta::seconds(2)).await, 0);
    assert!(lake.lines("market.daily", &DAILY).await.is_empty());
    lake.arrivals.drain("a", &(), now + TimeDelta::seconds(6)).await.unwrap();
    assert_eq!(
        lake.lines("market.daily", &["day", "origin"]).await,
        ["2026-03-05 history", "2026-03-06 history"]
    );
}

#[tokio::test]
async fn a_model_of_its_own_times_waits_for_them_and_what_rests_on_it_follows() {
    let lake = changed_lake(REGIONS, |lakefile| {
        let times: Times = toml::from_str("cron = \"0 7 * * *\"\ntimezone = \"Europe/Rome\"").unwrap();
        let model = lakefile.models.iter_mut().find(|m| m.table.to_string() == "market.daily").unwrap();
        model.schedule = Some(times.clone());
        lakefile.schedules.insert("model.market.daily".into(), times.of("market.daily"));
    })
    .await;
    let night = at("2021-12-10T02:00:00Z");
    lake.arrivals.catch_up(night).await.unwrap();
    let clock = Clock::open(&lake.lakefile, lake.catalog.clone(), night).await.unwrap();
    let file = async |day: u32, now| {
        let file = lake.folder.path().join(format!("sources/inbox/market_history/{day}.csv"));
        let head =
            "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events";
        std::fs::write(file, format!("{head}\nit-lombardia,2021-12-0{day},,,,,50,,7\n")).unwrap();
        assert_eq!(lake.arrivals.run_once("history", now).await.unwrap().rows, 1);
    };
    let rows = async || {
        let count = async |table: &str| lake.rows(table).await.num_rows();
        (count("market.daily").await, count("market.monthly").await)
    };
    file(8, night).await;
    // 07:00 in Rome, in winter.
    assert_eq!((clock.look(at("2021-12-10T05:59:59Z")).await.unwrap(), rows().await), (0, (0, 0)));
    let morning = at("2021-12-10T06:00:00Z");
    assert_eq!(clock.look(morning).await.unwrap(), 1);
    let job = lake.catalog.jobs().list_platform(None, 9, None).await.unwrap().remove(0);
    lake.arrivals.run_once(job.payload["pipeline"].as_str().unwrap(), morning).await.unwrap();
    assert_eq!(rows().await, (1, 1));
    // What comes after it waits for the next day.
    file(9, morning + TimeDelta::minutes(1)).await;
    assert_eq!((clock.look(morning + TimeDelta::hours(1)).await.unwrap(), rows().await), (0, (1, 1)));
    assert_eq!(clock.look(morning + TimeDelta::days(1)).await.unwrap(), 1);
}
