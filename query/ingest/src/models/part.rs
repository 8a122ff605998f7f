//! A run in portions: what is computed at a time, and the write that publishes it.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::error::ArrowError;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};

use super::{Model, Window, window};
use crate::lakefile::{Lakefile, TableSpec};
use crate::publish::{Mode, Period, Regions, Rows, Split, Write};
use crate::sources::{Touched, month_of};

/// Rows that one portion of a run over many years gives, about, and so what is held at a time.
const PORTION: usize = 110_000;
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

/// Whether a touched part holds days that no longer change, and so may be many.
pub fn reaches_back(model: &Model, touched: &Touched, today: NaiveDate) -> bool {
    let old = |(first, _)| first < recent(model.window, today);
    model.window != Window::Region && touched.hull().is_some_and(old)
}

/// A touched part in portions that fit in memory, the days that still change apart from the old ones, so that a change
/// of today rewrites a small file. The old ones go by months, so that each file of the inputs is read by one portion;
/// `first` is the first day of which the inputs have rows.
pub fn parts(model: &Model, touched: &Touched, first: Option<NaiveDate>, today: NaiveDate) -> Vec<Touched> {
    let recent = recent(model.window, today);
    let Some((begin, end)) = touched.hull().filter(|_| reaches_back(model, touched, today)) else {
        return vec![window::simple(touched.clone())];
    };
    let last_old = recent.pred_opt().unwrap_or(recent).min(end);
    let mut from = begin;
    let mut parts = Vec::new();
    for cut in first.into_iter().flat_map(|first| cuts(first.max(begin), last_old, months(touched.len()))) {
        parts.push(touched.within(from, cut.pred_opt().unwrap_or(cut)));
        from = cut;
    }
    parts.push(touched.within(from, last_old));
    parts.push(touched.within(recent, NaiveDate::MAX));
    parts.into_iter().filter(|part| !part.is_empty()).map(window::simple).collect()
}

/// Months in a portion of so many regions.
fn months(regions: usize) -> u32 {
    u32::try_from(PORTION / (31 * regions.max(1))).unwrap_or(u32::MAX).clamp(1, 12 * 100)
}

/// The first days, behind `first` and not behind `last`, of every so many months: the same ones for any `first`.
fn cuts(first: NaiveDate, last: NaiveDate, months: u32) -> impl Iterator<Item = NaiveDate> {
    let (month, months_apart) = (i64::from(first.year()) * 12 + i64::from(first.month0()), i64::from(months));
    let ahead = u32::try_from(months_apart - month.rem_euclid(months_apart)).ok();
    let next = ahead.and_then(|ahead| month_of(first).checked_add_months(Months::new(ahead)));
    std::iter::successors(next, move |cut| cut.checked_add_months(Months::new(months)))
        .take_while(move |cut| *cut <= last)
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
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        let parts = parts(&model, &all, None, day(2026, 11, 20));
        let hulls: Vec<_> = parts.iter().filter_map(Touched::hull).collect();
        assert_eq!(hulls, [(NaiveDate::MIN, day(2026, 9, 30)), (day(2026, 10, 1), NaiveDate::MAX)]);
    }

    #[test]
    fn years_of_many_regions_go_by_months_and_every_day_is_in_one_portion() {
        let header = "/*---\ntable = \"a.b\"\nkey = []\nwindow = \"region_day\"\n---*/\nSELECT 1";
        let model = Model::parse("m.sql", header).unwrap();
        let day = |y, m, d| NaiveDate::from_ymd_opt(y, m, d).unwrap();
        let hulls = |regions: usize, first| {
            let all = Touched::all_days((0..regions).map(|n| RegionId::parse(&format!("r{n}")).unwrap()));
            let parts = parts(&model, &all, Some(first), day(2026, 11, 20));
            assert!(parts.iter().all(|part| part.len() == regions));
            parts.iter().filter_map(Touched::hull).collect::<Vec<_>>()
        };
        let hundred = hulls(100, day(2011, 11, 20));
        assert_eq!(hundred[0], (NaiveDate::MIN, day(2012, 6, 30)));
        assert!(hundred.windows(2).all(|two| two[0].1.succ_opt() == Some(two[1].0)), "{hundred:?}");
        assert_eq!(hundred.last(), Some(&(day(2026, 10, 16), NaiveDate::MAX)));
        assert_eq!(hulls(100, day(2012, 3, 1)), hundred, "later runs cut at the same days");
        assert_eq!(hulls(1, day(2011, 11, 20)).len(), 2);
        assert_eq!(hulls(9_000, day(2026, 7, 5)).len(), 5, "July, August, September, half October, the rest");
    }
}
