//! A run in portions: what is computed at a time, and the write that publishes it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};

use super::{Model, Window, window};
use crate::lakefile::{Lakefile, TableSpec};
use crate::publish::{Mode, Period, Regions, Rows, Split, Write};
use crate::sources::{Touched, month_of};

/// Regions in one portion of a run over many years: bounds the rows held at a time to about a hundred thousand.
const PORTION: usize = 20;
/// Days that have a small file each, because they still change; older ones lie together.
const RECENT_DAYS: u64 = 35;

/// The first day, or month, that still changes.
fn recent(window: Window, today: NaiveDate) -> NaiveDate {
    let day = today.checked_sub_days(Days::new(RECENT_DAYS)).unwrap_or(today);
    if window == Window::RegionMonth { month_of(day) } else { day }
}

/// The touched part that can be computed: of days before, the area no longer keeps the rows, or the inputs are no longer
/// whole, and what was computed from them stays as it is.
pub fn kept(lakefile: &Lakefile, model: &Model, touched: &Touched, today: NaiveDate) -> Touched {
    if model.window == Window::Region {
        return touched.clone();
    }
    // A local day begins in the UTC day before it.
    let whole = |first: NaiveDate| first + Days::new(u64::from(model.lookback_days) + 1);
    let whole_month = |day: NaiveDate| match model.window {
        Window::RegionMonth if day.day() > 1 => month_of(day) + Months::new(1),
        _ => day,
    };
    let inputs = model.upstream.iter().filter_map(|input| lakefile.first_day(input, today)).map(whole);
    let first = inputs.chain(lakefile.first_day(&model.table, today)).max().map(whole_month);
    first.map_or_else(|| touched.clone(), |first| touched.within(first, NaiveDate::MAX))
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
    write.days = Some(catalog::Days { rows, ..Default::default() });
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
    fn no_day_is_computed_whose_inputs_are_no_longer_whole() {
        let lake = Lakefile::builtin().unwrap();
        let retention = toml::from_str("curated = \"100d\"\naggregated = \"400d\"").unwrap();
        let lake = Lakefile { retention, ..(*lake).clone() };
        let all = Touched::all_days([RegionId::parse("a").unwrap()]);
        let first = |table: &str| {
            let model = lake.models.iter().find(|model| model.table.to_string() == table).unwrap();
            let day = NaiveDate::from_ymd_opt(2026, 11, 21).unwrap();
            kept(&lake, model, &all, day).hull().unwrap().0
        };
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        assert_eq!(
            first("weather.daily"),
            day(2026, 8, 2),
            "the hours of its first local day begin in the month before"
        );
        assert_eq!(first("weather.monthly"), day(2025, 11, 1), "a month's every day");
        assert_eq!(first("geo.regions"), NaiveDate::MIN);
    }

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
