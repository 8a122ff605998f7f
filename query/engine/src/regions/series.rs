//! Series of weather and market by hour, day, month or year (case 2 over REST).
//!
//! A month or year is made of its days inside the period; its `days` says how many there are. A period without data has no row.

use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, Date32Array, Float64Array, Int64Array};
use arrow::datatypes::Date32Type;
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, Datelike, NaiveDate, TimeZone, Utc};
use chrono_tz::Tz;

use super::directory::Region;
use super::measures::{Days, Measure};
use super::parse::period;
use super::request::{Bound, Grain};
use crate::QueryError;

/// Columns of hourly weather beside `time`.
pub(super) const HOURLY: [&str; 4] =
    ["air_temperature", "precipitation_amount", "wind_speed", "relative_humidity"];

/// The columns a daily table has at `grain`, in the order of answers, without the time.
pub(super) fn columns(grain: Grain, measures: &[Measure]) -> Vec<&'static str> {
    let names = measures.iter().map(|measure| measure.name);
    match grain {
        Grain::Hour => HOURLY.to_vec(),
        Grain::Day => names.chain(["origin"]).collect(),
        Grain::Month | Grain::Year => ["days"].into_iter().chain(names).collect(),
    }
}

/// The columns to answer: those asked for, each once and known, or all.
pub(super) fn pick<'a>(fields: Option<&'a [String]>, known: &[&'a str]) -> Result<Vec<&'a str>, QueryError> {
    let Some(fields) = fields else {
        return Ok(known.to_vec());
    };
    let mut picked: Vec<&str> = Vec::with_capacity(fields.len());
    for field in fields {
        if !known.contains(&field.as_str()) {
            let all = known.join(", ");
            return Err(QueryError::parameter(
                "fields",
                format!("`fields` has an unknown column; known are {all}"),
            ));
        }
        if !picked.contains(&field.as_str()) {
            picked.push(field);
        }
    }
    Ok(picked)
}

/// A period of local days, in days since 1970-01-01. Errors: `invalid-period` for instants, and for an end before the start.
pub(super) fn days_between(from: Option<Bound>, to: Option<Bound>) -> Result<(i32, i32), QueryError> {
    let day = |bound: Option<Bound>, open: i32| match bound {
        None => Ok(open),
        Some(Bound::Day(day)) => Ok(Date32Type::from_naive_date(day)),
        Some(Bound::Instant(_)) => Err(period(
            "days, months and years are local days of the region: give `from` and `to` as days (2026-01-31)",
        )),
    };
    let (from, to) = (day(from, i32::MIN)?, day(to, i32::MAX)?);
    in_order(from <= to)?;
    Ok((from, to))
}

/// The instant an end of an hourly period stands for: a day begins when it does in the region.
pub(super) fn instant_of(bound: Bound, region: &Region) -> DateTime<Utc> {
    match bound {
        Bound::Instant(instant) => instant,
        Bound::Day(day) => start_of(day, zone(region)),
    }
}

pub(super) fn in_order(fine: bool) -> Result<(), QueryError> {
    match fine {
        true => Ok(()),
        false => Err(period("`from` is after `to`")),
    }
}

fn zone(region: &Region) -> Tz {
    region.timezone.as_deref().and_then(|name| name.parse().ok()).unwrap_or(Tz::UTC)
}

/// The first instant of a local day. Where clocks skip midnight, the day begins with the first instant after the gap.
fn start_of(day: NaiveDate, zone: Tz) -> DateTime<Utc> {
    let midnight = day.and_time(chrono::NaiveTime::MIN);
    // Gaps are at most a day long (a date line moved) and begin and end on full minutes.
    let later = (0..=24 * 4).map(|quarter| midnight + chrono::TimeDelta::minutes(15 * quarter));
    let found = later.filter_map(|local| zone.from_local_datetime(&local).earliest()).next();
    found.map_or_else(|| midnight.and_utc(), |instant| instant.with_timezone(&Utc))
}

/// Rows of one region at `grain` for the days in `[from, to)`, with the picked columns after the time.
pub(super) fn rows(
    days: &Days,
    measures: &[Measure],
    grain: Grain,
    between: (i32, i32),
    picked: &[&str],
) -> Result<RecordBatch, QueryError> {
    let span = days.span(between.0, between.1)?;
    match grain {
        Grain::Month | Grain::Year => long(days, measures, grain, span, picked),
        Grain::Hour | Grain::Day => {
            let names: Vec<&str> = ["day"].iter().chain(picked).copied().collect();
            project(days.batch(), &names).map(|batch| batch.slice(span.start, span.len()))
        }
    }
}

/// The named columns, in that order.
pub(super) fn project(batch: &RecordBatch, names: &[&str]) -> Result<RecordBatch, QueryError> {
    let schema = batch.schema();
    let places: Result<Vec<usize>, _> = names.iter().map(|name| schema.index_of(name)).collect();
    places.and_then(|places| batch.project(&places)).map_err(QueryError::engine)
}

fn long(
    days: &Days,
    measures: &[Measure],
    grain: Grain,
    span: Range<usize>,
    picked: &[&str],
) -> Result<RecordBatch, QueryError> {
    let groups = groups(days.day()?, grain, span);
    let starts: Date32Array = groups.iter().map(|(start, _)| *start).collect::<Vec<i32>>().into();
    let mut columns: Vec<(&str, ArrayRef)> = vec![(grain.name(), Arc::new(starts))];
    for name in picked {
        columns.push((*name, folded(days, measures, name, &groups)?));
    }
    let columns = columns.into_iter().map(|(name, column)| (name, column, true));
    RecordBatch::try_from_iter_with_nullable(columns).map_err(QueryError::engine)
}

/// First day of each month or year, and its rows.
fn groups(days: &Date32Array, grain: Grain, span: Range<usize>) -> Vec<(i32, Range<usize>)> {
    let mut groups: Vec<(i32, Range<usize>)> = Vec::new();
    for row in span {
        let Some(start) =
            Date32Type::to_naive_date_opt(days.value(row)).and_then(|day| first_day(day, grain))
        else {
            continue;
        };
        match groups.last_mut() {
            Some((of, rows)) if *of == start => rows.end = row + 1,
            _ => groups.push((start, row..row + 1)),
        }
    }
    groups
}

fn first_day(day: NaiveDate, grain: Grain) -> Option<i32> {
    let first = day.with_day(1)?;
    let first = if grain == Grain::Year { first.with_month(1)? } else { first };
    Some(Date32Type::from_naive_date(first))
}

fn folded(
    days: &Days,
    measures: &[Measure],
    name: &str,
    groups: &[(i32, Range<usize>)],
) -> Result<ArrayRef, QueryError> {
    if name == "days" {
        let counts: Int64Array = groups.iter().map(|(_, rows)| i64::try_from(rows.len()).ok()).collect();
        return Ok(Arc::new(counts));
    }
    let measure = measures.iter().find(|measure| measure.name == name).copied();
    let measure = measure.ok_or_else(|| QueryError::parameter("fields", "`fields` has an unknown column"))?;
    if measure.count {
        let totals: Result<Int64Array, QueryError> =
            groups.iter().map(|(_, rows)| days.total(name, rows.clone())).collect();
        return Ok(Arc::new(totals?));
    }
    let values: Result<Float64Array, QueryError> =
        groups.iter().map(|(_, rows)| days.fold(measure, rows.clone())).collect();
    Ok(Arc::new(values?))
}
