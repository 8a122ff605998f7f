//! A run in portions: what is computed at a time, and the write that publishes it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use catalog::Days;
use chrono::{DateTime, NaiveDate, Utc};

use super::{Model, Window, window};
use crate::lakefile::TableSpec;
use crate::publish::{Mode, Period, Regions, Rows, Split, Write};
use crate::sources::{Touched, month_of};

/// Regions in one portion of a run over many years: bounds the rows held at a time to about a hundred thousand.
const PORTION: usize = 20;
/// Days that have a small file each, because they still change; older ones lie together.
const RECENT_DAYS: u64 = 35;

/// The first day, or month, that still changes.
fn recent(window: Window, today: NaiveDate) -> NaiveDate {
    let day = today.checked_sub_days(chrono::Days::new(RECENT_DAYS)).unwrap_or(today);
    if window == Window::RegionMonth { month_of(day) } else { day }
}

/// A touched part in portions that fit in memory, the days that still change apart from the old ones, so that a change
/// of today rewrites a small file.
pub fn parts(model: &Model, touched: &Touched, today: NaiveDate) -> Vec<Touched> {
    let recent = recent(model.window, today);
    let wide = touched.hull().is_some_and(|(first, _)| first < recent);
    if model.window == Window::Region || !wide {
        return vec![window::simple(touched.clone())];
    }
    let before = recent.pred_opt().unwrap_or(recent);
    let mut parts = touched.within(NaiveDate::MIN, before).portions(PORTION);
    let rest = touched.within(recent, NaiveDate::MAX);
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts.into_iter().map(window::simple).collect()
}

/// The write that puts new rows in the place of the touched partitions.
pub fn write(
    model: &Model,
    spec: &TableSpec,
    batches: Vec<RecordBatch>,
    touched: &Touched,
    now: DateTime<Utc>,
) -> Result<Write, ArrowError> {
    let mode = match model.window.date() {
        Some(date) => Mode::ReplaceWindow { column: date.into(), windows: window::replaced(touched) },
        None => Mode::ReplaceKeys { key: vec!["region_id".into()], keys: vec![keys(touched)?] },
    };
    let rows = spec.rows_by_day(&batches)?;
    let mut write = Write::new(Rows::Batches(spec.schema(), batches), mode, now);
    write.days = Some(Days { rows, ..Days::default() });
    write.regions = Regions::These(touched.regions());
    let changing = touched.hull().is_some_and(|(first, _)| first >= recent(model.window, now.date_naive()));
    write.split = if changing { split(model.window) } else { None };
    Ok(write)
}

fn split(window: Window) -> Option<Split> {
    let column = window.date()?.to_owned();
    let period = if window == Window::RegionMonth { Period::Month } else { Period::Day };
    Some(Split { column, period })
}

fn keys(touched: &Touched) -> Result<RecordBatch, ArrowError> {
    let regions = touched.regions();
    let names: ArrayRef = Arc::new(regions.iter().map(|r| Some(r.as_str())).collect::<StringArray>());
    RecordBatch::try_from_iter([("region_id", names)])
}

#[cfg(test)]
mod tests {
    use identity::RegionId;

    use super::*;

    #[test]
    fn a_month_is_never_cut_between_two_portions() {
        let header = "/*---\ntable = \"a.b\"\nkey = []\nwindow = \"region_month\"\n---*/\nSELECT 1";
        let model = Model::parse("m.sql", header).unwrap();
        let all = Touched::all_days([RegionId::parse("a").unwrap()]);
        let parts = parts(&model, &all, NaiveDate::from_ymd_opt(2026, 11, 20).unwrap());
        let day = |m, d| NaiveDate::from_ymd_opt(2026, m, d).unwrap();
        let hulls: Vec<_> = parts.iter().filter_map(Touched::hull).collect();
        assert_eq!(hulls, [(NaiveDate::MIN, day(9, 30)), (day(10, 1), NaiveDate::MAX)]);
    }
}
