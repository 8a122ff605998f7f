//! What arrived piece by piece, in any order, late and corrected, equals what a full rebuild computes, column by column.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use identity::JobId;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};

use crate::sources::testing::{TestLake, at, lake, query, whole};
use crate::sources::weather::{Grain, Range, Wanted};

/// Both change their clocks within the days below; `it-molise` is no region before an event names it.
/// Columns of a history file.
const HISTORY: &str =
    "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events";
const REGIONS: &str = "region_id,name,country,lon,lat,population\n\
    it-lombardia,Lombardia,IT,9.93,45.57,9976509\nus-ewr,Newark,US,-74.17,40.69,1\n";
const PLACES: [&str; 3] = ["it-lombardia", "us-ewr", "it-molise"];
/// A few days around each month's end and each change of the clock, and a wide gap.
const FIRST: &str = "2026-02-25";
const DAYS: u64 = 40;
/// Times that a weather service has changed its mind.
static EDITION: AtomicI64 = AtomicI64::new(0);

fn now(step: usize) -> DateTime<Utc> {
    at("2026-04-07T12:00:00Z") + TimeDelta::minutes(step as i64)
}

/// Hours and days whose values depend on place, time and edition.
fn weather(target: &str) -> Result<String, String> {
    let query = query(target);
    let day = |name: &str| query.get(name).map(|d| d.parse::<NaiveDate>().unwrap());
    let from = day("start_date").unwrap_or("2026-04-07".parse().unwrap());
    // Long enough for the forecasts of all steps, which are asked for in the days after.
    let to = day("end_date").unwrap_or(from + Days::new(9));
    let edition = EDITION.load(Ordering::Relaxed);
    let answers: Vec<Value> = query["latitude"]
        .split(',')
        .map(|lat| {
            let seed = lat.len() as i64 * 7 + edition * 13;
            if query.contains_key("daily") {
                let days: Vec<String> = from.iter_days().take_while(|d| *d <= to).map(|d| d.to_string()).collect();
                let values: Vec<f64> = (0..days.len()).map(|n| (seed + n as i64) as f64 / 3.0).collect();
                let answer = json!({"daily_units": {"temperature_2m_mean": "°C"},
                                    "daily": {"temperature_2m_mean": values, "time": days}});
                return whole(answer, &query);
            }
            let start = from.and_hms_opt(0, 0, 0).unwrap().and_utc();
            // Hours are missing, but the first and the last of a day: an answer without those is to another question.
            let there = |h: &i64| h % 24 == 0 || h % 24 == 23 || (h + seed) % 5 != 1;
            let hours: Vec<i64> = (0..(to - from).num_hours() + 24).filter(there).collect();
            let times = hours.iter().map(|h| (start + TimeDelta::hours(*h)).format("%Y-%m-%dT%H:%M").to_string());
            let values = hours.iter().map(|h| ((h * 37 + seed) % 101) as f64 / 7.0);
            let answer = json!({"hourly_units": {"temperature_2m": "°C", "precipitation": "mm"},
                   "hourly": {"temperature_2m": values.clone().collect::<Vec<_>>(), "precipitation": values.collect::<Vec<_>>(),
                              "time": times.collect::<Vec<_>>()}});
            whole(answer, &query)
        })
        .collect();
    Ok(if answers.len() == 1 { answers[0].to_string() } else { Value::Array(answers).to_string() })
}

/// One thing that arrives.
#[derive(Clone, Copy, Debug)]
enum Arrival {
    Hours(NaiveDate),
    Archive(NaiveDate, u64),
    Events(NaiveDate),
    A(NaiveDate),
    B(NaiveDate),
    History(NaiveDate),
    Forecast,
}

fn arrivals(random: &mut StdRng) -> Vec<Arrival> {
    let first: NaiveDate = FIRST.parse().unwrap();
    let mut day = || first + Days::new(random.random_range(0..DAYS));
    let mut all = Vec::new();
    for n in 0..7 {
        all.extend([Arrival::Hours(day()), Arrival::Events(day()), Arrival::A(day())]);
        all.extend([Arrival::History(day()), Arrival::B(day())]);
        if n % 3 == 0 {
            all.extend([Arrival::Archive(day(), 20), Arrival::Forecast]);
        }
    }
    // Both changes of the clock, and the days beside them.
    for day in ["2026-03-08", "2026-03-29"].map(|d| d.parse().unwrap()) {
        all.extend([Arrival::Hours(day), Arrival::Events(day), Arrival::Archive(day, 1)]);
    }
    all.shuffle(random);
    all
}

/// Days from the archive, also those that are there: it has changed its mind.
async fn correct(lake: &TestLake, (from, to): (NaiveDate, NaiveDate), grain: Grain, now: DateTime<Utc>) {
    let wanted = Wanted { range: Range { from, to }, run: Some(JobId::new()), again: true };
    lake.arrivals.backfill_for("c", wanted, &[grain], &(), now).await.unwrap();
}

async fn arrive(lake: &TestLake, arrival: Arrival, step: usize, random: &mut StdRng) {
    EDITION.fetch_add(1, Ordering::Relaxed);
    let now = now(step);
    let inbox = lake.folder.path().join("sources/inbox");
    let mut number = || random.random_range(1..1_000);
    let source = match arrival {
        Arrival::Hours(day) => {
            correct(lake, (day, day), Grain::Hour, now).await;
            return;
        }
        Arrival::Archive(day, days) => {
            correct(lake, (day, day + Days::new(days)), Grain::Day, now).await;
            return;
        }
        Arrival::Events(day) => {
            let events: Vec<String> = (0..6)
                .map(|n| {
                    let region = PLACES[n % 3];
                    let point = if n == 5 { r#","lon":14.6,"lat":41.6"# } else { "" };
                    let time = day.and_hms_opt(number() as u32 % 24, 30, 0).unwrap().and_utc().to_rfc3339();
                    format!(
                        r#"{{"event_id":"{step}-{n}","event_time":"{time}","region_id":"{region}","price":{},"interest":50{point}}}"#,
                        number()
                    )
                })
                .collect();
            lake.arrivals.push("d", events.join("\n").as_bytes(), now).await.unwrap();
            "d"
        }
        // The same file again, with other values, is a correction.
        Arrival::A(day) => {
            let rows =
                PLACES[..2].iter().map(|r| format!("{r},{},{}\n", number(), number())).collect::<String>();
            let file = inbox.join(format!("a/{day}.csv"));
            std::fs::write(file, format!("region_id,activity_index,visits\n{rows}")).unwrap();
            "a"
        }
        Arrival::B(day) => {
            let rows =
                PLACES[..2].iter().map(|r| format!("{r},{},{}\n", number(), number())).collect::<String>();
            let file = inbox.join(format!("b/{day}.csv"));
            std::fs::write(file, format!("region_id,households,income_index\n{rows}")).unwrap();
            "b"
        }
        Arrival::History(day) => {
            let rows = PLACES[..2]
                .iter()
                .map(|r| format!("{r},{day},,,,,{},,{}\n", number(), number()))
                .collect::<String>();
            let file = inbox.join(format!("market_history/{}.csv", day.format("%m-%d")));
            std::fs::write(file, format!("{HISTORY}\n{rows}")).unwrap();
            "market_history"
        }
        Arrival::Forecast => "c.forecast",
    };
    lake.arrivals.run_once(source, now + TimeDelta::hours(step as i64)).await.unwrap();
}

/// Where two tables differ: numbers by more than the last bits, everything else at all.
fn difference(one: &RecordBatch, two: &RecordBatch) -> Option<String> {
    if one.num_rows() != two.num_rows() {
        return Some(format!("{} rows and {}", one.num_rows(), two.num_rows()));
    }
    for (n, field) in one.schema().fields().iter().enumerate() {
        for row in 0..one.num_rows() {
            let text = |batch: &RecordBatch| {
                let column = cast(batch.column(n), &DataType::Utf8).unwrap();
                array_value_to_string(&column, row).unwrap()
            };
            let equal = match field.data_type() {
                DataType::Float64 => {
                    let value = |b: &RecordBatch| {
                        let column = b.column(n).as_primitive::<Float64Type>();
                        column.is_valid(row).then(|| column.value(row))
                    };
                    match (value(one), value(two)) {
                        (Some(a), Some(b)) => (a - b).abs() <= 1e-9 * b.abs().max(1.0),
                        (a, b) => a == b,
                    }
                }
                _ => text(one) == text(two),
            };
            if !equal {
                return Some(format!("row {row}, {}: {} and {}", field.name(), text(one), text(two)));
            }
        }
    }
    None
}

#[tokio::test]
async fn an_incremental_history_equals_a_full_rebuild() {
    let seed = 20_260_407;
    let mut random = StdRng::seed_from_u64(seed);
    let lake = lake(REGIONS, Arc::new(weather)).await;
    lake.arrivals.catch_up(now(0)).await.unwrap();
    for (step, arrival) in arrivals(&mut random).into_iter().enumerate() {
        arrive(&lake, arrival, step, &mut random).await;
    }
    let models: Vec<String> = lake.lakefile.models.iter().map(|m| m.table.to_string()).collect();
    let mut grown = Vec::new();
    for model in &models {
        grown.push(lake.rows(model).await);
    }
    for model in &models {
        lake.arrivals.run_once(model, now(99)).await.unwrap();
    }
    for (model, grown) in models.iter().zip(&grown) {
        assert!(grown.num_rows() > 0, "{model} is empty");
        let rebuilt = lake.rows(model).await;
        assert_eq!(difference(grown, &rebuilt), None, "{model}, seed {seed}");
    }
}
