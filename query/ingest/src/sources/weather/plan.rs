//! The calls that a backfill has yet to make: what is lacking, in as few calls as the service allows.
//!
//! ```text
//! days wanted − days covered ─▶ lacking, by region ─▶ years or months ─▶ regions that lack the same days, so many a call
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use chrono::{Datelike, Days, Months, NaiveDate};

use super::archive::{Grain, Range};
use super::covered::Covered;
use crate::sources::Place;

/// Calls in the order in which they are made; a thousand of a hundred places take a megabyte.
#[derive(Default)]
pub struct Plan {
    places: Arc<Vec<Place>>,
    /// The days of each, and the numbers of its places.
    calls: VecDeque<(Range, Vec<usize>)>,
    /// Calls of the backfill that were made.
    pub made: usize,
}

impl Plan {
    /// The calls for what these places lack of a range, at most `most` places each.
    pub fn new(
        places: Arc<Vec<Place>>,
        covered: &Covered,
        (range, grain): (Range, Grain),
        most: usize,
    ) -> Self {
        let mut lacking: BTreeMap<Range, Vec<usize>> = BTreeMap::new();
        for (number, place) in places.iter().enumerate() {
            let days = covered.lacking(&place.region, range);
            for part in days.into_iter().flat_map(|days| parts(days, grain)) {
                lacking.entry(part).or_default().push(number);
            }
        }
        let mut calls = VecDeque::new();
        for (part, numbers) in lacking {
            calls.extend(numbers.chunks(most.max(1)).map(|some| (part, some.to_vec())));
        }
        Self { places, calls, made: 0 }
    }

    /// The next calls, at most so many.
    pub fn next(&self, most: usize) -> Vec<(Range, Vec<Place>)> {
        let places = |numbers: &[usize]| -> Vec<Place> {
            numbers.iter().map(|number| self.places[*number].clone()).collect()
        };
        self.calls.iter().take(most).map(|(days, numbers)| (*days, places(numbers))).collect()
    }

    /// The first call is made.
    pub fn advance(&mut self) {
        self.made += usize::from(self.calls.pop_front().is_some());
    }

    /// Calls that are left.
    pub fn left(&self) -> usize {
        self.calls.len()
    }
}

/// A range in calendar years (days) or months (hours).
fn parts(range: Range, grain: Grain) -> Vec<Range> {
    let mut parts = Vec::new();
    let mut from = range.from;
    while from <= range.to {
        let next = match grain {
            Grain::Day => NaiveDate::from_ymd_opt(from.year() + 1, 1, 1),
            Grain::Hour => from.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))),
        };
        let last = next.and_then(|next| next.checked_sub_days(Days::new(1))).unwrap_or(range.to);
        parts.push(Range { from, to: last.min(range.to) });
        let Some(next) = next else { break };
        from = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use identity::RegionId;

    use super::*;

    fn range(from: &str, to: &str) -> Range {
        Range { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    fn places(names: &[&str]) -> Arc<Vec<Place>> {
        let place = |name: &&str| {
            let (region, timezone) = (RegionId::parse(name).unwrap(), chrono_tz::America::New_York);
            Place { region, lon: -73.0, lat: 40.0, timezone }
        };
        Arc::new(names.iter().map(place).collect())
    }

    /// `2026-01-01..2026-01-31 a b` a call.
    fn calls(plan: &Plan) -> Vec<String> {
        let call = |(days, places): (Range, Vec<Place>)| {
            let names: Vec<&str> = places.iter().map(|place| place.region.as_str()).collect();
            format!("{}..{} {}", days.from, days.to, names.join(" "))
        };
        plan.next(usize::MAX).into_iter().map(call).collect()
    }

    #[test]
    fn a_range_is_cut_without_gap_or_overlap() {
        let years = range("2011-11-20", "2026-11-19");
        for grain in [Grain::Day, Grain::Hour] {
            let parts = parts(years, grain);
            assert_eq!((parts[0].from, parts[parts.len() - 1].to), (years.from, years.to));
            for pair in parts.windows(2) {
                assert_eq!(pair[0].to.succ_opt().unwrap(), pair[1].from);
            }
        }
        assert_eq!(parts(years, Grain::Day).len(), 16);
        assert!(parts(range("2026-01-02", "2026-01-01"), Grain::Day).is_empty());
    }

    #[test]
    fn regions_that_lack_the_same_days_share_calls_and_others_do_not() {
        let (all, mut covered) = (places(&["a", "b", "c", "new"]), Covered::default());
        for place in &all[..3] {
            covered.add(&place.region, range("2026-01-01", "2026-02-28"));
        }
        let wanted = (range("2026-02-01", "2026-03-10"), Grain::Hour);
        let plan = Plan::new(Arc::clone(&all), &covered, wanted, 3);
        let expected =
            ["2026-02-01..2026-02-28 new", "2026-03-01..2026-03-10 a b c", "2026-03-01..2026-03-10 new"];
        assert_eq!(calls(&plan), expected);
    }

    #[test]
    fn what_is_left_after_a_kill_are_the_calls_that_were_left_before_it() {
        let (all, wanted) = (places(&["a", "b", "c"]), (range("2026-01-01", "2026-02-28"), Grain::Hour));
        let (mut before, mut covered) =
            (Plan::new(Arc::clone(&all), &Covered::default(), wanted, 2), Covered::default());
        while before.left() > 0 {
            let (days, made) = before.next(1).remove(0);
            made.iter().for_each(|place| covered.add(&place.region, days));
            before.advance();
            let after = Plan::new(Arc::clone(&all), &covered, wanted, 2);
            assert_eq!(calls(&after), calls(&before));
        }
        assert_eq!(before.made, 4);
    }
}
