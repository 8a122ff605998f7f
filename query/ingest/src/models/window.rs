//! A touched part of a table as conditions: what a model reads, what it gives, what it replaces.

use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::{DataType, Field, Schema};
use chrono::{Days, NaiveDate, NaiveTime};
use datafusion::common::ScalarValue;
use datafusion::logical_expr::{Expr, col, lit};
use identity::{RegionId, TableName};

use super::{Model, Window};
use crate::publish;
use crate::sources::Touched;

/// More groups of days than this are answered by one window around them all.
const GROUPS: usize = 16;

/// How far back in an input the rows lie that an output day rests on.
#[derive(Clone, Copy)]
pub struct Reach<'a> {
    pub lookback_days: u16,
    /// Each row holds until the region's next one: the whole past counts.
    pub carried: bool,
    /// The column that says which day a row is about, where the date it is ordered by says when it came.
    pub valid: Option<&'a str>,
}

/// Days more on both sides, for time zones.
const BEFORE: u64 = 2;
const BEHIND: u64 = 3;

/// The condition on rows of an input table: the touched regions, and days with a margin for time zones and reach.
/// `None` where the table has no regions.
pub fn input(schema: &Schema, sort: &[String], touched: &Touched, reach: Reach<'_>) -> Option<Expr> {
    schema.index_of("region_id").ok()?;
    let regions = among(&touched.regions());
    let (Some(field), Some((first, last))) = (dated(schema, sort), touched.hull()) else {
        return Some(regions);
    };
    let lookback = u64::from(reach.lookback_days);
    let valid = reach.valid.and_then(|name| schema.field_with_name(name).ok());
    // Where a column of its own says which day a row is about, that one has the margin.
    let margin = if valid.is_some() { lookback } else { BEFORE + lookback };
    let from = first.checked_sub_days(Days::new(margin)).filter(|_| !reach.carried);
    let to = last.checked_add_days(Days::new(BEHIND));
    let about = valid.map(|field| (field, first.checked_sub_days(Days::new(BEFORE)), to));
    let bounds = [Some((field, from, to)), about].into_iter().flatten().flat_map(|(field, from, to)| {
        let of = |day| bound(field.data_type(), day);
        [from.map(|d| col(field.name()).gt_eq(of(d))), to.map(|d| col(field.name()).lt(of(d)))]
    });
    Some(bounds.flatten().fold(regions, Expr::and))
}

/// The column of days or instants that a table is ordered by.
pub fn dated<'a>(schema: &'a Schema, sort: &[String]) -> Option<&'a Field> {
    sort.iter().find_map(|c| schema.field_with_name(c).ok().filter(|f| f.data_type().is_temporal()))
}

/// What the changes of its inputs touch of a model's table.
pub fn touched(model: &Model, changed: &BTreeMap<TableName, Touched>) -> Touched {
    let mut touched = Touched::default();
    for (table, part) in model.upstream.iter().filter_map(|table| Some((table, changed.get(table)?))) {
        let days = if model.carried.contains(table) { u64::MAX } else { u64::from(model.lookback_days) };
        touched.merge(&part.onward(days));
    }
    match model.window {
        Window::RegionDay => touched,
        Window::RegionMonth => touched.whole_months(),
        Window::Region => Touched::all_days(touched.regions()),
    }
}

/// The condition on a model's rows: exactly the touched partitions.
pub fn output(window: Window, touched: &Touched) -> Expr {
    let Some(date) = window.date() else { return among(&touched.regions()) };
    let part = |((first, last), regions): (&(NaiveDate, NaiveDate), &BTreeSet<RegionId>)| {
        let from = (*first > NaiveDate::MIN).then(|| col(date).gt_eq(bound(&DataType::Date32, *first)));
        let to = (*last < NaiveDate::MAX).then(|| col(date).lt_eq(bound(&DataType::Date32, *last)));
        [from, to].into_iter().flatten().fold(among(regions), Expr::and)
    };
    touched.by_days().iter().map(part).reduce(Expr::or).unwrap_or_else(|| lit(false))
}

/// The touched part with few enough groups of days to be written as one condition.
pub fn simple(touched: Touched) -> Touched {
    match touched.hull() {
        Some((first, last)) if touched.by_days().len() > GROUPS => {
            let mut wide = Touched::default();
            touched.regions().iter().for_each(|region| wide.widen(region, first, last));
            wide
        }
        _ => touched,
    }
}

/// The windows that a publish empties before the new rows come.
pub fn replaced(touched: &Touched) -> Vec<publish::Window> {
    let mut windows = Vec::new();
    for ((first, last), regions) in touched.by_days() {
        let to = last.checked_add_days(Days::new(1)).unwrap_or(NaiveDate::MAX);
        let window = |region| publish::Window { region: Some(region), from: first, to };
        windows.extend(regions.into_iter().map(window));
    }
    windows
}

/// `region_id` is one of these.
pub fn among(regions: &BTreeSet<RegionId>) -> Expr {
    col("region_id").in_list(regions.iter().map(|r| lit(r.as_str())).collect(), false)
}

fn bound(column: &DataType, day: NaiveDate) -> Expr {
    match column {
        DataType::Date32 => lit(ScalarValue::Date32(Some(crate::sources::days_since_epoch(day)))),
        _ => {
            let micros = day.and_time(NaiveTime::MIN).and_utc().timestamp_micros();
            lit(ScalarValue::TimestampMicrosecond(Some(micros), Some("UTC".into())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touched() -> Touched {
        let mut touched = Touched::default();
        let day = NaiveDate::from_ymd_opt(2026, 3, 29).unwrap();
        touched.add(&RegionId::parse("it-lombardia").unwrap(), day);
        touched
    }

    #[test]
    fn an_input_is_read_as_far_back_as_the_model_looks_and_no_further() {
        let fields = ["region_id", "issued", "valid"].map(|name| {
            let of = if name == "region_id" { DataType::Utf8 } else { DataType::Date32 };
            Field::new(name, of, true)
        });
        let (schema, sort) =
            (Schema::new(fields.to_vec()), ["region_id", "issued", "valid"].map(str::to_owned));
        let told = |valid| {
            let reach = Reach { lookback_days: 8, carried: false, valid };
            input(&schema, &sort, &touched(), reach).unwrap().to_string()
        };
        let (with, without) = (told(Some("valid")), told(None));
        for part in [
            "issued >= Date32(\"2026-03-21\")",
            "valid >= Date32(\"2026-03-27\")",
            "valid < Date32(\"2026-04-01\")",
        ] {
            assert!(with.contains(part), "{with}");
        }
        assert!(
            without.contains("issued >= Date32(\"2026-03-19\")") && !without.contains("valid"),
            "{without}"
        );
    }

    #[test]
    fn a_day_is_replaced_half_open() {
        let windows = replaced(&touched());
        assert_eq!(windows.len(), 1);
        assert_eq!((windows[0].to - windows[0].from).num_days(), 1);
    }

    #[test]
    fn every_day_needs_no_condition_on_days() {
        let all = Touched::all_days([RegionId::parse("a").unwrap()]);
        assert!(!output(Window::RegionDay, &all).to_string().contains("day"));
        assert!(output(Window::RegionDay, &touched()).to_string().contains("day"));
        assert!(output(Window::RegionMonth, &touched()).to_string().contains("month"));
        assert!(!output(Window::Region, &touched()).to_string().contains("day"));
    }

    #[test]
    fn a_day_touches_as_far_ahead_as_the_model_looks_back() {
        let model = |window: &str, more: &str| {
            let header = format!("/*---\ntable = \"a.b\"\nkey = []\nwindow = \"{window}\"\n{more}\n---*/\n");
            Model::parse("m.sql", &(header + "SELECT * FROM c.d")).unwrap()
        };
        let changed = BTreeMap::from([(TableName::new("c", "d"), touched())]);
        let days = |model: Model| super::touched(&model, &changed).hull().unwrap();
        let day = |m, d| NaiveDate::from_ymd_opt(2026, m, d).unwrap();
        assert_eq!(days(model("region_day", "")), (day(3, 29), day(3, 29)));
        assert_eq!(days(model("region_day", "lookback_days = 6")), (day(3, 29), day(4, 4)));
        assert_eq!(days(model("region_day", "carried = [\"c.d\"]")), (day(3, 29), NaiveDate::MAX));
        assert_eq!(days(model("region_month", "")), (day(3, 1), day(3, 31)));
        assert_eq!(days(model("region_month", "lookback_days = 6")), (day(3, 1), day(4, 30)));
    }
}
