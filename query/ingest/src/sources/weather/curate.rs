//! From answers to rows of `weather.hourly`, `weather.forecast` and `weather.archive`.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, Date32Array, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
};
use arrow::datatypes::SchemaRef;
use chrono::{DateTime, DurationRound, NaiveDate, NaiveTime, TimeDelta, Utc};
use identity::RegionId;

use super::answer::{Answer, Values};
use crate::sources::{SourceError, Touched, days_since_epoch};

/// How far two clocks that are kept lie apart at most.
const CLOCKS: TimeDelta = TimeDelta::minutes(1);
/// The longest time from one hour of a forecast to the next: some services tell only every third or sixth.
const STEP: TimeDelta = TimeDelta::hours(6);

/// Values of some regions by time: `times` are instants in microseconds, or days since 1970.
struct Series<T, const N: usize> {
    regions: Vec<RegionId>,
    times: Vec<T>,
    values: [Values; N],
}

impl<T, const N: usize> Series<T, N> {
    fn new() -> Self {
        Self { regions: Vec::new(), times: Vec::new(), values: std::array::from_fn(|_| Values::new()) }
    }

    /// Adds a row unless it has no value at all: what is missing is no row.
    fn push(&mut self, region: &RegionId, time: T, columns: &[Values; N], row: usize) {
        if columns.iter().all(|c| c[row].is_none()) {
            return;
        }
        self.regions.push(region.clone());
        self.times.push(time);
        self.values.iter_mut().zip(columns).for_each(|(to, from)| to.push(from[row]));
    }

    fn regions(&self) -> ArrayRef {
        Arc::new(self.regions.iter().map(|r| Some(r.as_str())).collect::<StringArray>())
    }

    fn values(&self) -> impl Iterator<Item = ArrayRef> + '_ {
        self.values.iter().map(|v| Arc::new(Float64Array::from(v.clone())) as ArrayRef)
    }
}

/// Hours `from <= time <= to` of the answers, one answer a region.
fn hours(
    regions: &[RegionId],
    answers: Vec<Answer>,
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<Series<DateTime<Utc>, 4>, SourceError> {
    same_number(regions, &answers)?;
    let mut series = Series::new();
    for (region, answer) in regions.iter().zip(answers) {
        let Some(told) = answer.hours else { return Err(SourceError::refused("the answer has no hours")) };
        for (row, time) in told.times.iter().enumerate().filter(|(_, time)| (from..=to).contains(time)) {
            series.push(region, *time, &told.values, row);
        }
    }
    Ok(series)
}

/// An answer tells of every place the first and the last hour that were asked for, or it is to another question: of
/// yesterday, or by a clock that is off. A missing value is told as one.
/// - Errors: [`SourceError::Refused`].
fn to_the_question(
    answers: &[Answer],
    (from, to): (DateTime<Utc>, DateTime<Utc>),
) -> Result<(), SourceError> {
    let last = to.duration_trunc(TimeDelta::hours(1)).unwrap_or(to);
    for answer in answers.iter().filter(|_| from <= last) {
        let tells = |asked| answer.hours.iter().any(|told| told.times.contains(&asked));
        if !tells(from) || !tells(last) {
            return Err(SourceError::refused(format!("the answer is not about {from} to {last}")));
        }
    }
    Ok(())
}

/// A forecast is of this issue, or it is of another day or by a clock that is off.
/// - `days`: it tells every hour of so many UTC days, the issue's own the first; `None`: where it begins and ends is the service's
///   affair, but it tells something of the next hours.
/// - Errors: [`SourceError::Refused`].
pub fn of_this_issue(
    answers: &[Answer],
    issued_at: DateTime<Utc>,
    days: Option<u32>,
) -> Result<(), SourceError> {
    let Some(days) = days else { return tells_what_comes(answers, issued_at) };
    let span = |near: DateTime<Utc>| {
        let from = near.date_naive().and_time(NaiveTime::MIN).and_utc();
        (from, from + TimeDelta::days(days.into()) - TimeDelta::hours(1))
    };
    // Around midnight the service's clock may be in the other day.
    to_the_question(answers, span(issued_at - CLOCKS))
        .or_else(|_| to_the_question(answers, span(issued_at + CLOCKS)))
}

fn tells_what_comes(answers: &[Answer], issued_at: DateTime<Utc>) -> Result<(), SourceError> {
    let next = issued_at..=issued_at + STEP;
    let tells =
        |answer: &Answer| answer.hours.iter().flat_map(|told| &told.times).any(|time| next.contains(time));
    match answers.iter().all(tells) {
        true => Ok(()),
        false => {
            Err(SourceError::refused(format!("the forecast tells nothing of the hours after {issued_at}")))
        }
    }
}

/// Rows of `weather.hourly`, and which days they touch.
pub fn hourly_rows(
    schema: &SchemaRef,
    regions: &[RegionId],
    answers: Vec<Answer>,
    span: (DateTime<Utc>, DateTime<Utc>),
    ingested_at: DateTime<Utc>,
) -> Result<(RecordBatch, Touched), SourceError> {
    to_the_question(&answers, span)?;
    let series = hours(regions, answers, span)?;
    let mut columns = vec![series.regions(), instants(series.times.iter().copied())];
    columns.extend(series.values());
    columns.push(instants(series.times.iter().map(|_| ingested_at)));
    let mut touched = Touched::default();
    series.regions.iter().zip(&series.times).for_each(|(r, t)| touched.add(r, t.date_naive()));
    Ok((RecordBatch::try_new(schema.clone(), columns)?, touched.with_neighbours()))
}

/// Rows of `weather.forecast`: the hours from `issued_at` on.
pub fn forecast_rows(
    schema: &SchemaRef,
    regions: &[RegionId],
    answers: Vec<Answer>,
    issued_at: DateTime<Utc>,
) -> Result<(RecordBatch, Touched), SourceError> {
    let series = hours(regions, answers, (issued_at, issued_at + TimeDelta::days(17)))?;
    let issued = instants(series.times.iter().map(|_| issued_at));
    let mut columns = vec![series.regions(), issued, instants(series.times.iter().copied())];
    columns.extend(series.values());
    let mut touched = Touched::default();
    // The issue's first hours may lie in the local day before; how far ahead it speaks is told by who reads it.
    let day = issued_at.date_naive();
    series.regions.iter().for_each(|r| touched.widen(r, day.pred_opt().unwrap_or(day), day));
    Ok((RecordBatch::try_new(schema.clone(), columns)?, touched))
}

/// Rows of `weather.archive` for the local days `from <= day <= to`.
pub fn archive_rows(
    schema: &SchemaRef,
    regions: &[RegionId],
    answers: Vec<Answer>,
    (from, to): (NaiveDate, NaiveDate),
    ingested_at: DateTime<Utc>,
) -> Result<(RecordBatch, Touched), SourceError> {
    same_number(regions, &answers)?;
    let mut series: Series<NaiveDate, 6> = Series::new();
    for (region, answer) in regions.iter().zip(answers) {
        let Some(told) = answer.days else { return Err(SourceError::refused("the answer has no days")) };
        if from <= to && !(told.times.contains(&from) && told.times.contains(&to)) {
            return Err(SourceError::refused(format!("the answer is not about {from} to {to}")));
        }
        for (row, day) in told.times.iter().enumerate().filter(|(_, day)| (from..=to).contains(day)) {
            series.push(region, *day, &told.values, row);
        }
    }
    let mut touched = Touched::default();
    series.regions.iter().zip(&series.times).for_each(|(r, day)| touched.add(r, *day));
    let days: Date32Array = series.times.iter().map(|day| Some(days_since_epoch(*day))).collect();
    let mut columns = vec![series.regions(), Arc::new(days) as ArrayRef];
    columns.extend(series.values());
    columns.push(instants(series.times.iter().map(|_| ingested_at)));
    Ok((RecordBatch::try_new(schema.clone(), columns)?, touched))
}

fn same_number(regions: &[RegionId], answers: &[Answer]) -> Result<(), SourceError> {
    if regions.len() == answers.len() {
        return Ok(());
    }
    Err(SourceError::refused(format!("{} places were asked for, {} answered", regions.len(), answers.len())))
}

fn instants(times: impl Iterator<Item = DateTime<Utc>>) -> ArrayRef {
    let micros = times.map(|t| Some(t.timestamp_micros()));
    Arc::new(micros.collect::<TimestampMicrosecondArray>().with_timezone("UTC"))
}

#[cfg(test)]
mod tests {
    use super::super::answer::Told;
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// What is said of every so many hours of seven days.
    fn told(from: &str, every: usize) -> Vec<Answer> {
        let times: Vec<_> =
            (0..7 * 24).step_by(every).map(|hour| at(from) + TimeDelta::hours(hour)).collect();
        let values = std::array::from_fn(|_| vec![None; times.len()]);
        vec![Answer { hours: Some(Told { times, values }), days: None }]
    }

    #[test]
    fn a_forecast_of_whole_days_begins_with_the_day_of_its_issue() {
        let judged = |from: &str, issued: &str| of_this_issue(&told(from, 1), at(issued), Some(7)).is_ok();
        assert!(judged("2026-03-10T00:00:00Z", "2026-03-10T12:30:00Z"));
        // Yesterday's again, all of it past, two hours off to either side, and an answer without hours.
        for wrong in
            ["2026-03-09T00:00:00Z", "2026-02-10T00:00:00Z", "2026-03-09T22:00:00Z", "2026-03-10T02:00:00Z"]
        {
            assert!(!judged(wrong, "2026-03-10T12:30:00Z"), "{wrong}");
        }
        assert!(of_this_issue(&[Answer::default()], at("2026-03-10T12:30:00Z"), Some(7)).is_err());
        // At midnight it is of either day.
        for issued in
            ["2026-03-09T23:59:30Z", "2026-03-10T00:00:30Z", "2026-03-10T23:59:30Z", "2026-03-11T00:00:30Z"]
        {
            assert!(judged("2026-03-10T00:00:00Z", issued), "{issued}");
        }
    }

    #[test]
    fn a_forecast_that_begins_where_its_service_wants_tells_the_next_hours() {
        let issued = at("2026-03-10T12:30:00Z");
        for (from, every, fits) in [
            ("2026-03-10T13:00:00Z", 1, true),
            ("2026-03-09T12:00:00Z", 6, true),
            ("2026-03-03T12:00:00Z", 1, false),
            ("2026-03-12T00:00:00Z", 1, false),
        ] {
            assert_eq!(of_this_issue(&told(from, every), issued, None).is_ok(), fits, "{from}");
        }
    }
}
