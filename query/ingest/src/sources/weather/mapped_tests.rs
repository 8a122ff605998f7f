//! A weather service in a format of its own fills the same tables as one in Open-Meteo's, and its pages come again from the raw area.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::lakefile::{Lakefile, SourceSpec};
use crate::sources::testing::{TestLake, at, made, query};
use crate::sources::weather::Grain;

const REGIONS: &str = "region_id,name,country,lon,lat,population\n\
    it-lombardia,Lombardia,IT,9.93,45.57,9976509\nus-ewr,Newark,US,-74.17,40.69,1\n";

/// Hours in pages of 20 rows, in °F and knots; days as columns beside each other, in K.
fn answer(target: &str) -> Result<String, String> {
    let query = query(target);
    let day = |name: &str| query[name].parse::<NaiveDate>().unwrap();
    let shift: f64 = query["lat"].parse::<f64>().unwrap();
    if target.starts_with("/daily") {
        let days: Vec<NaiveDate> = day("from").iter_days().take_while(|d| *d <= day("to")).collect();
        let means: Vec<f64> = days.iter().map(|_| 273.15 + shift).collect();
        return Ok(json!({"days": {"date": days, "mean": means}}).to_string());
    }
    let (first, hours) = match target.starts_with("/forecast") {
        true => (at("2026-03-10T00:00:00Z"), query["days"].parse::<i64>().unwrap() * 24),
        false => (midnight(day("from")), ((day("to") - day("from")).num_days() + 1) * 24),
    };
    let begin: i64 = query["page"].parse().unwrap_or(0);
    let rows: Vec<Value> = (begin..hours.min(begin + 20))
        .map(|hour| {
            let time = (first + TimeDelta::hours(hour)).timestamp();
            json!({"ts": time, "temp": {"f": 50.0 + shift}, "wind": if hour % 2 == 0 { json!(10) } else { Value::Null }})
        })
        .collect();
    let next = (begin + 20 < hours).then_some(begin + 20);
    Ok(json!({"rows": rows, "meta": {"unit": "degF", "next": next}}).to_string())
}

fn midnight(day: NaiveDate) -> DateTime<Utc> {
    day.and_hms_opt(0, 0, 0).unwrap().and_utc()
}

/// The default lake, its weather from a service that the declaration describes.
async fn lake(silent: &Arc<AtomicBool>) -> TestLake {
    let described = |lakefile: &mut Lakefile| {
        let Some(SourceSpec::Weather(weather)) = lakefile.sources.get_mut("c") else { panic!("no source c") };
        let forecast = weather.forecast_url.take().unwrap();
        let url = forecast.strip_suffix("/v1/forecast").unwrap();
        let at = "lat={lat}&lon={lon}";
        let spec = format!(
            "current = \"{url}/hours?{at}&from={{from}}&to={{to}}&page={{cursor}}\"\n\
             forecast = \"{url}/forecast?{at}&days={{days}}&page={{cursor}}\"\n\
             archive = \"{url}/hours?{at}&from={{from}}&to={{to}}&page={{cursor}}\"\n\
             daily = \"{url}/daily?{at}&from={{from}}&to={{to}}&tz={{timezone}}&page={{cursor}}\"\n\
             cursor = \"meta.next\"\ntime = \"unix\"\n\
             [hours]\nrows = \"rows\"\nfields = {{ time = \"ts\", air_temperature = \"temp.f\", wind_speed = \"wind\" }}\n\
             units = {{ air_temperature = {{ at = \"meta.unit\" }}, wind_speed = \"knots\" }}\n\
             [days]\nrows = \"days\"\nfields = {{ day = \"date\", air_temperature_mean = \"mean\" }}\n\
             units = {{ air_temperature_mean = \"K\" }}\n"
        );
        weather.archive_url = None;
        weather.locations_per_request = 1;
        weather.service = Some(toml::from_str(&spec).unwrap());
    };
    let silent = Arc::clone(silent);
    let answers = move |target: &str| match silent.load(Ordering::Relaxed) {
        true => Err("silence".to_string()),
        false => answer(target),
    };
    let lake = made(REGIONS, Arc::new(answers), described).await;
    lake.arrivals.catch_up(at("2026-03-10T12:00:00Z")).await.unwrap();
    lake
}

#[tokio::test]
async fn a_service_in_its_own_format_fills_the_same_tables_page_by_page() {
    let lake = lake(&Arc::default()).await;
    let now = at("2026-03-10T12:00:00Z");
    let range = ("2026-03-01".parse().unwrap(), "2026-03-04".parse().unwrap());
    lake.arrivals.backfill("c", range, &[Grain::Hour, Grain::Day], &(), now).await.unwrap();
    let hours = lake.lines("weather.hourly", &["region_id", "time", "air_temperature", "wind_speed"]).await;
    assert_eq!(hours.len(), 2 * 4 * 24);
    assert!(hours[0].starts_with("it-lombardia 2026-03-01T00:00:00Z 35.3"), "{}", hours[0]);
    assert!(hours[0].contains(" 5.144"), "{}", hours[0]);
    assert!(hours[1].ends_with(" -") && hours[191].starts_with("us-ewr 2026-03-04T23:00:00Z"), "{hours:?}");
    let days = lake.lines("weather.archive", &["region_id", "day", "air_temperature_mean"]).await;
    assert_eq!(days.len(), 2 * 4);
    assert!(days[0].starts_with("it-lombardia 2026-03-01 45.5"), "{}", days[0]);
    lake.arrivals.run_once("c", now).await.unwrap();
    // From the issue on: half a day of the seven is over.
    assert_eq!(lake.rows("weather.forecast").await.num_rows(), 2 * (7 * 24 - 12));
    let daily = lake.lines("weather.daily", &["region_id", "day", "hours", "origin"]).await;
    assert!(daily.contains(&"it-lombardia 2026-03-03 24 hours".to_string()), "{daily:?}");
}

#[tokio::test]
async fn its_pages_come_again_from_the_raw_area() {
    let silent = Arc::default();
    let mut lake = lake(&silent).await;
    let now = at("2026-03-10T12:00:00Z");
    let source = lake.arrivals.0.entries["c.current"].source.clone();
    // The batch's row is written, and then the process dies.
    let batch = source.next(1, None, now).await.unwrap().unwrap();
    assert_eq!(batch.objects.as_array().unwrap().len(), 2 * 3, "two days of hours are three pages a region");
    lake.catalog.batches().begin("c.current", 1, &batch.position, &batch.objects, now).await.unwrap();
    silent.store(true, Ordering::Relaxed);
    lake.restart().await;
    lake.arrivals.catch_up(now).await.unwrap();
    assert_eq!(lake.rows("weather.hourly").await.num_rows(), 2 * 37);
}
