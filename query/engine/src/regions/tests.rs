//! Region answers against brute force over the rows they came from.

use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::Date32Type;
use arrow::record_batch::RecordBatch;
use catalog::{ModelRun, Touched};
use chrono::{DateTime, Datelike, NaiveDate, TimeDelta, Utc};
use identity::RegionId;
use lake::Remove;
use serde_json::Value;

use super::{Asked, Bound, Grain, ListRegions, Of, Pick, RegionQuery, Regions, SeriesQuery, Window};
use crate::cache::Cache;
use crate::cursor::Seal;
use crate::fixture::World;
use crate::{Answer, Format, QueryError};

const ROME: &str = "it-roma";
const PENDING: &str = "zz-new";

fn now() -> DateTime<Utc> {
    "2026-11-20T14:30:00Z".parse().unwrap()
}

/// One day of one region; every value may be missing.
#[derive(Clone, Copy)]
struct Day {
    day: NaiveDate,
    mean: Option<f64>,
    min: Option<f64>,
    max: Option<f64>,
    rain: Option<f64>,
    hours: Option<i64>,
}

/// Days until yesterday-ish with gaps, nulls, and a last row without any measurement.
fn days() -> Vec<Day> {
    let first = NaiveDate::from_ymd_opt(2024, 1, 20).unwrap();
    let value = |n: i64, salt: i64| (((n * 7919 + salt * 104_729) % 1000) as f64) / 10.0 - 40.0;
    let some = |n: i64, salt: i64| (n % (salt + 3) != 0).then(|| value(n, salt));
    let day = |n: i64| Day {
        day: first + TimeDelta::days(n),
        mean: some(n, 2),
        min: some(n, 3).map(|v| v - 5.0),
        max: some(n, 4).map(|v| v + 5.0),
        rain: some(n, 5).map(f64::abs),
        hours: Some(if n % 11 == 0 { 0 } else { 24 }),
    };
    let mut days: Vec<Day> = (0..1030).filter(|n| n % 17 != 5).map(day).collect();
    let after = days.last().unwrap().day + TimeDelta::days(1);
    days.push(Day { day: after, mean: None, min: None, max: None, rain: None, hours: Some(1) });
    days
}

fn doubles(values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    Arc::new(values.collect::<Float64Array>())
}

fn weather(region: &str, days: &[Day]) -> RecordBatch {
    let nothing = || doubles(days.iter().map(|_| None));
    RecordBatch::try_from_iter_with_nullable([
        ("region_id", Arc::new(StringArray::from(vec![region; days.len()])) as ArrayRef, true),
        (
            "day",
            Arc::new(days.iter().map(|d| Some(Date32Type::from_naive_date(d.day))).collect::<Date32Array>())
                as ArrayRef,
            true,
        ),
        ("air_temperature_mean", doubles(days.iter().map(|d| d.mean)), true),
        ("air_temperature_min", doubles(days.iter().map(|d| d.min)), true),
        ("air_temperature_max", doubles(days.iter().map(|d| d.max)), true),
        ("precipitation_sum", doubles(days.iter().map(|d| d.rain)), true),
        ("wind_speed_mean", nothing(), true),
        ("relative_humidity_mean", nothing(), true),
        ("hours", Arc::new(days.iter().map(|d| d.hours).collect::<Int64Array>()) as ArrayRef, true),
        ("origin", Arc::new(StringArray::from(vec!["hours"; days.len()])) as ArrayRef, true),
    ])
    .unwrap()
}

fn regions_rows() -> RecordBatch {
    let text = |values: [Option<&str>; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([
        ("region_id", text([Some(ROME), Some(PENDING)]), true),
        ("name", text([Some("Roma"), None]), true),
        ("country", text([Some("IT"), None]), true),
        ("lon", doubles([Some(12.5), None].into_iter()), true),
        ("lat", doubles([Some(41.9), None].into_iter()), true),
        ("timezone", text([Some("Europe/Rome"), None]), true),
        ("population", Arc::new(Int64Array::from(vec![Some(2_800_000), None])) as ArrayRef, true),
        ("status", text([Some("active"), Some("pending")]), true),
    ])
    .unwrap()
}

/// Hours around the end of summer time in Rome: 2026-10-25 has 25 hours.
fn hours() -> RecordBatch {
    let first: DateTime<Utc> = "2026-10-24T00:00:00Z".parse().unwrap();
    let times = (0..72).map(|n| (first + TimeDelta::hours(n)).timestamp_micros());
    let values = || doubles((0..72).map(|n| (n != 71).then_some(f64::from(n))));
    RecordBatch::try_from_iter_with_nullable([
        ("region_id", Arc::new(StringArray::from(vec![ROME; 72])) as ArrayRef, true),
        (
            "time",
            Arc::new(times.map(Some).collect::<TimestampMicrosecondArray>().with_timezone("UTC")) as ArrayRef,
            true,
        ),
        ("air_temperature", values(), true),
        ("precipitation_amount", values(), true),
        ("wind_speed", values(), true),
        ("relative_humidity", values(), true),
    ])
    .unwrap()
}

fn asked(format: Format, now: DateTime<Utc>) -> Asked<'static> {
    Asked { format, policy: "default", now }
}

struct Scene {
    world: World,
    regions: Regions,
    cache: Cache,
}

async fn scene() -> Scene {
    let world = World::new().await;
    let long_ago = now() - TimeDelta::days(1);
    let by_day = ["region_id", "day"];
    let geo = world.table("geo.regions", &["region_id"], None, long_ago).await;
    world.write(&geo, &regions_rows(), Remove::All, Touched::Everything, long_ago).await;
    let daily = world.table("weather.daily", &by_day, Some(86_400 + 3600), long_ago).await;
    world.write(&daily, &weather(ROME, &days()), Remove::All, Touched::Everything, long_ago).await;
    let hourly = world.table("weather.hourly", &["region_id", "time"], None, long_ago).await;
    world.write(&hourly, &hours(), Remove::All, Touched::Everything, long_ago).await;
    world.table("market.daily", &by_day, None, long_ago).await;
    let regions =
        Regions::new(world.catalog.clone(), world.lake.clone(), 64 << 20, Seal::new([3; 32]), "EUR");
    Scene { world, regions, cache: Cache::new(16 << 20, 4 << 20) }
}

impl Scene {
    async fn ask(&self, query: RegionQuery, now: DateTime<Utc>) -> Result<Answer, QueryError> {
        let here = tokio::runtime::Handle::current();
        self.regions.answer(query, asked(Format::Json, now), &self.cache, &here).await
    }

    async fn json(&self, query: RegionQuery) -> Value {
        serde_json::from_slice(&self.ask(query, now()).await.unwrap().page.body).unwrap()
    }
}

fn region(id: &str) -> RegionId {
    RegionId::parse(id).unwrap()
}

fn summary(id: &str, days: u16) -> RegionQuery {
    RegionQuery::Summary { region: region(id), window: Window::days(days).unwrap(), as_of: None }
}

fn series(grain: Grain, from: Option<&str>, to: Option<&str>) -> RegionQuery {
    let bound = |text: &str| Bound::parse("from", text).unwrap();
    let (from, to) = (from.map(bound), to.map(bound));
    RegionQuery::Weather(SeriesQuery {
        regions: Of::One(region(ROME)),
        from,
        to,
        grain,
        fields: None,
        as_of: None,
    })
}

fn mean(values: impl Iterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.flatten().collect();
    (!values.is_empty()).then(|| values.iter().sum::<f64>() / values.len() as f64)
}

fn close(answered: &Value, expected: Option<f64>) {
    match expected {
        None => assert!(answered.is_null(), "{answered}"),
        Some(expected) => {
            assert!((answered.as_f64().unwrap() - expected).abs() < 1e-9, "{answered} {expected}")
        }
    }
}

#[tokio::test]
async fn a_summary_is_what_the_days_say() {
    let (scene, days) = (scene().await, days());
    for length in [1_u16, 7, 30, 366] {
        let body = scene.json(summary(ROME, length)).await;
        // The last row has no measurement: it is no day with data.
        let latest = days[days.len() - 2];
        let from = latest.day - TimeDelta::days(i64::from(length) - 1);
        let within: Vec<Day> =
            days.iter().copied().filter(|d| d.day >= from && d.day <= latest.day).collect();
        let window = &body["data"]["weather"]["window"];
        assert_eq!(body["data"]["window"]["from"], from.to_string());
        assert_eq!(body["data"]["window"]["to"], (latest.day + TimeDelta::days(1)).to_string());
        assert_eq!(window["days"], within.len());
        assert_eq!(window["hours"], within.iter().filter_map(|d| d.hours).sum::<i64>());
        close(&window["air_temperature_mean"], mean(within.iter().map(|d| d.mean)));
        close(&window["air_temperature_min"], within.iter().filter_map(|d| d.min).reduce(f64::min));
        close(&window["air_temperature_max"], within.iter().filter_map(|d| d.max).reduce(f64::max));
        close(&window["precipitation_sum"], within.iter().filter_map(|d| d.rain).reduce(|a, b| a + b));
        assert!(window["wind_speed_mean"].is_null());
        let shown = &body["data"]["weather"]["latest"];
        assert_eq!(shown["day"], latest.day.to_string());
        close(&shown["air_temperature_mean"], latest.mean);
    }
    let body = scene.json(summary(ROME, 7)).await;
    assert!(body["data"]["market"].is_null());
    assert!(body["data"]["missing"]["market"].is_string());
    assert_eq!(body["data"]["weather"]["now"]["time"], "2026-10-26T23:00:00Z");
    assert!(body["data"]["weather"]["now"]["air_temperature"].is_null());
    assert_eq!(body["meta"]["tables"].as_array().unwrap().len(), 4);
}

#[tokio::test]
async fn a_pending_region_says_why_it_has_no_weather() {
    let scene = scene().await;
    let body = scene.json(summary(PENDING, 7)).await;
    assert!(body["data"]["weather"].is_null());
    assert!(body["data"]["missing"]["weather"].as_str().unwrap().contains("pending"));
    assert_eq!(body["data"]["window"], serde_json::json!({"from": null, "to": null, "days": 7}));
    assert!(matches!(scene.ask(summary("xx-none", 7), now()).await, Err(QueryError::UnknownRegion { .. })));
}

#[tokio::test]
async fn months_and_years_are_means_of_days() {
    let (scene, days) = (scene().await, days());
    let body = scene.json(series(Grain::Month, Some("2024-02-10"), Some("2026-01-01"))).await;
    let from = NaiveDate::from_ymd_opt(2024, 2, 10).unwrap();
    let to = NaiveDate::from_ymd_opt(2026, 1, 1).unwrap();
    let months = body["data"].as_array().unwrap();
    assert_eq!(months.len(), 23);
    for month in months {
        let start: NaiveDate = month["month"].as_str().unwrap().parse().unwrap();
        let within = days.iter().filter(|d| {
            d.day >= from && d.day < to && (d.day.year(), d.day.month()) == (start.year(), start.month())
        });
        let within: Vec<Day> = within.copied().collect();
        assert_eq!(month["days"], within.len());
        close(&month["air_temperature_mean"], mean(within.iter().map(|d| d.mean)));
        close(&month["precipitation_sum"], within.iter().filter_map(|d| d.rain).reduce(|a, b| a + b));
    }
    let years = scene.json(series(Grain::Year, None, None)).await;
    assert_eq!(years["data"].as_array().unwrap().len(), 3);
    let all = scene.json(series(Grain::Day, None, None)).await;
    assert_eq!(all["meta"]["rows"], days.len());
    assert_eq!(all["data"][0]["day"], "2024-01-20");
    assert_eq!(all["data"][0]["origin"], "hours");
}

#[tokio::test]
async fn hours_of_a_day_are_those_of_the_local_day() {
    let scene = scene().await;
    let body = scene.json(series(Grain::Hour, Some("2026-10-25"), Some("2026-10-26"))).await;
    let hours = body["data"].as_array().unwrap();
    assert_eq!(hours.len(), 25, "summer time ends");
    assert_eq!(hours[0]["time"], "2026-10-24T22:00:00Z");
    assert_eq!(hours[24]["time"], "2026-10-25T22:00:00Z");
    let instants =
        scene.json(series(Grain::Hour, Some("2026-10-25T00:00:00Z"), Some("2026-10-25T03:00:00Z"))).await;
    assert_eq!(instants["meta"]["rows"], 3);
    assert_eq!(scene.json(series(Grain::Hour, None, None)).await["meta"]["rows"], 72);
    let backwards = series(Grain::Day, Some("2026-10-26"), Some("2026-10-25"));
    assert!(matches!(scene.ask(backwards, now()).await, Err(QueryError::InvalidPeriod { .. })));
}

#[tokio::test]
async fn a_tag_changes_with_the_regions_rows_alone() {
    let scene = scene().await;
    let tag = |query: &RegionQuery, at| scene.regions.tag(query, asked(Format::Json, at));
    let rome = summary(ROME, 7);
    assert!(tag(&rome, now()).is_none(), "the directory is not in memory yet");
    let first = scene.ask(rome.clone(), now()).await.unwrap();
    assert_eq!(tag(&rome, now()).unwrap().etag, first.page.etag);
    assert!(scene.ask(rome.clone(), now()).await.unwrap().hit);

    let daily = scene.world.catalog.moment().table(&super::tables::WEATHER_DAILY).unwrap();
    let one = days()[..3].to_vec();
    scene
        .world
        .write(&daily, &weather(PENDING, &one), Remove::None, Touched::Regions(vec![region(PENDING)]), now())
        .await;
    assert_eq!(tag(&rome, now()).unwrap().etag, first.page.etag, "another region's rows");

    let made = tag(&rome, now()).unwrap();
    let halves = (0..60).map(|half| now() + TimeDelta::minutes(30 * half));
    let (lasts, ended): (Vec<_>, Vec<_>) = halves.partition(|at| scene.regions.lasts(&made, *at));
    assert!(!lasts.is_empty() && !ended.is_empty(), "{lasts:?} {ended:?}");
    assert!(lasts.iter().all(|at| tag(&rome, *at).unwrap().etag == made.etag), "{lasts:?}");
    assert_ne!(tag(&rome, ended[0]).unwrap().etag, made.etag, "it lasts as long as it may");

    let late = now() + TimeDelta::hours(30);
    let overdue = scene.ask(rome.clone(), late).await.unwrap();
    assert_ne!(overdue.page.etag, first.page.etag, "a promise broke without a commit");
    let body: Value = serde_json::from_slice(&overdue.page.body).unwrap();
    assert_eq!(body["meta"]["tables"][1]["overdue"], true);

    assert!(scene.regions.lasts(&made, now()));
    let run = |failure: Option<&str>| ModelRun {
        table: daily.id,
        at: now(),
        version: daily.version,
        rows: 0,
        failure: failure.map(str::to_owned),
        tests: Value::Null,
        owed: Value::Null,
        retry_at: None,
    };
    scene.world.catalog.note_model_run(&run(Some("a test breaks"))).await.unwrap();
    assert!(!scene.regions.lasts(&made, now()), "something moved in the catalog");
    let failing = scene.ask(rome.clone(), now()).await.unwrap();
    assert_ne!(failing.page.etag, first.page.etag, "a model failed without a commit");
    let body: Value = serde_json::from_slice(&failing.page.body).unwrap();
    assert_eq!(body["meta"]["tables"][1]["failing"], true);
    scene.world.catalog.note_model_run(&run(None)).await.unwrap();
    assert_eq!(tag(&rome, now()).unwrap().etag, first.page.etag, "the next run was good");

    let daily = scene.world.catalog.moment().table(&super::tables::WEATHER_DAILY).unwrap();
    let fresh = Day {
        day: NaiveDate::from_ymd_opt(2026, 11, 19).unwrap(),
        mean: Some(9.0),
        min: Some(1.0),
        max: Some(11.0),
        rain: None,
        hours: Some(24),
    };
    let version = scene
        .world
        .write(&daily, &weather(ROME, &[fresh]), Remove::None, Touched::Regions(vec![region(ROME)]), now())
        .await;
    assert_ne!(tag(&rome, now()).unwrap().etag, first.page.etag);
    let body = scene.json(rome.clone()).await;
    assert_eq!(body["data"]["weather"]["latest"]["day"], "2026-11-19");
    assert_eq!(body["meta"]["tables"][1]["version"], version);

    let as_of = RegionQuery::Summary {
        region: region(ROME),
        window: Window::default(),
        as_of: Some(now() - TimeDelta::hours(1)),
    };
    let then = scene.json(as_of).await;
    assert_ne!(then["data"]["weather"]["latest"]["day"], "2026-11-19");
    let expired = RegionQuery::Summary {
        region: region(ROME),
        window: Window::default(),
        as_of: Some(now() - TimeDelta::days(30)),
    };
    assert!(matches!(scene.ask(expired, now()).await, Err(QueryError::AsOfExpired { .. })));
}

#[tokio::test]
async fn warming_reads_what_asking_would() {
    let (warm, cold) = (scene().await, scene().await);
    assert_eq!(warm.regions.warm().await.unwrap(), 1);
    let (a, b) = (warm.json(summary(ROME, 30)).await, cold.json(summary(ROME, 30)).await);
    assert_eq!(a["data"], b["data"]);
}

/// A table whose days lie in files of ten, changed file by file; now and then all of them are put together.
#[tokio::test]
async fn days_renewed_change_by_change_are_those_read_anew() {
    let scene = scene().await;
    let mut all = days();
    let place: lake::Location =
        scene.world.catalog.moment().table(&super::tables::WEATHER_DAILY).unwrap().location.parse().unwrap();
    let write = async |rows: &[Day], remove: Remove| {
        let daily = scene.world.catalog.moment().table(&super::tables::WEATHER_DAILY).unwrap();
        let touched = Touched::Regions(vec![region(ROME)]);
        scene.world.write(&daily, &weather(ROME, rows), remove, touched, now()).await
    };
    let mut version = write(&all[..10], Remove::All).await;
    for ten in all[10..].chunks(10) {
        version = write(ten, Remove::None).await;
    }
    for round in 0..40_usize {
        if round % 13 == 12 {
            version = write(&all, Remove::All).await;
        }
        let snapshot = scene.world.lake.snapshot(&place, version).await.unwrap();
        let file = &snapshot.files()[round * 7919 % snapshot.files().len()];
        let bound = |value: &Value| value.as_str().unwrap().parse::<NaiveDate>().unwrap();
        let (min, max) = (bound(&file.min["day"]), bound(&file.max["day"]));
        let inside = |day: &Day| (min..=max).contains(&day.day);
        all.iter_mut().filter(|day| inside(day)).for_each(|day| day.mean = Some(round as f64));
        let rows: Vec<Day> = all.iter().copied().filter(inside).collect();
        version = write(&rows, Remove::Files(vec![file.path.clone()])).await;
        let fresh = Regions::new(
            scene.world.catalog.clone(),
            scene.world.lake.clone(),
            64 << 20,
            Seal::new([3; 32]),
            "EUR",
        );
        let anew = Scene { world: World::new().await, regions: fresh, cache: Cache::new(16 << 20, 4 << 20) };
        let asked = series(Grain::Day, None, None);
        let (renewed, anew) = (scene.json(asked.clone()).await, anew.json(asked).await);
        assert_eq!(renewed["data"].as_array().unwrap().len(), all.len());
        assert_eq!(renewed["data"], anew["data"], "round {round}");
    }
}

#[tokio::test]
async fn many_regions_are_answered_in_one_call() {
    let scene = scene().await;
    let pick =
        Pick { regions: Some(vec![region(PENDING), region(ROME), region(PENDING)]), ..Pick::default() };
    let body = scene.json(RegionQuery::Summaries { pick, window: Window::default(), as_of: None }).await;
    assert_eq!(body["data"].as_array().unwrap().len(), 2);
    assert_eq!(body["data"][1], scene.json(summary(ROME, 7)).await["data"]);
    let pick = Pick { limit: Some(1), ..Pick::default() };
    let query = RegionQuery::Summaries { pick: pick.clone(), window: Window::default(), as_of: None };
    let first = scene.json(query).await;
    let cursor = first["meta"]["next"].as_str().unwrap().to_owned();
    let second = RegionQuery::Summaries {
        pick: Pick { cursor: Some(cursor), ..pick },
        window: Window::default(),
        as_of: None,
    };
    assert_eq!(scene.json(second).await["data"][0]["region"]["region_id"], PENDING);
    let listed = scene.json(RegionQuery::List(ListRegions::default())).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 2);
    assert!(listed["meta"]["next"].is_null());
}

#[tokio::test]
async fn every_format_has_the_same_rows() {
    let scene = scene().await;
    let here = tokio::runtime::Handle::current();
    for format in [Format::Ndjson, Format::Csv, Format::Arrow, Format::Parquet] {
        let query = series(Grain::Day, Some("2025-01-01"), Some("2025-02-01"));
        let answer = scene.regions.answer(query, asked(format, now()), &scene.cache, &here).await.unwrap();
        assert!(answer.page.facts.rows >= 28 && !answer.page.body.is_empty(), "{format}");
    }
}
