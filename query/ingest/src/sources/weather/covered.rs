//! Which days of which regions need not be asked for again.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use identity::RegionId;

use super::archive::Range;

/// Days by region: ascending, apart from each other, and so as few ranges as can be.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Covered(BTreeMap<RegionId, Vec<Range>>);

impl Covered {
    /// Adds days of a region; a range that ends before it begins adds nothing.
    pub fn add(&mut self, region: &RegionId, days: Range) {
        if days.from > days.to {
            return;
        }
        let (known, mut joined) = (self.0.entry(region.clone()).or_default(), days);
        known.retain(|other| {
            let apart = after(other.to) < joined.from || after(joined.to) < other.from;
            if !apart {
                joined = Range { from: joined.from.min(other.from), to: joined.to.max(other.to) };
            }
            apart
        });
        let place = known.partition_point(|other| other.from < joined.from);
        known.insert(place, joined);
    }

    /// What a region lacks of a range, ascending.
    pub fn lacking(&self, region: &RegionId, range: Range) -> Vec<Range> {
        let (mut from, mut lacking) = (range.from, Vec::new());
        for known in self.0.get(region).into_iter().flatten().filter(|known| known.to >= range.from) {
            if let Some(to) = known.from.pred_opt().map(|before| before.min(range.to))
                && from <= to
            {
                lacking.push(Range { from, to });
            }
            from = after(known.to);
        }
        if from <= range.to {
            lacking.push(Range { from, to: range.to });
        }
        lacking
    }
}

fn after(day: NaiveDate) -> NaiveDate {
    day.succ_opt().unwrap_or(day)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(text: &str) -> Range {
        let day = |day: &str| format!("2026-03-{day}").parse().unwrap();
        let (from, to) = text.split_once("..").unwrap();
        Range { from: day(from), to: day(to) }
    }

    fn covered(all: &[&str]) -> (Covered, RegionId) {
        let (mut covered, region) = (Covered::default(), RegionId::parse("a").unwrap());
        all.iter().for_each(|text| covered.add(&region, days(text)));
        (covered, region)
    }

    #[test]
    fn days_that_touch_become_one_range_in_whatever_order_they_come() {
        for all in
            [["01..05", "11..20", "06..10"], ["06..10", "01..07", "09..20"], ["06..08", "11..20", "01..12"]]
        {
            let (covered, region) = covered(&all);
            assert_eq!(covered.0[&region], [days("01..20")], "{all:?}");
        }
        let (apart, region) = covered(&["20..25", "01..05", "07..06", "10..12"]);
        assert_eq!(apart.0[&region], [days("01..05"), days("10..12"), days("20..25")]);
    }

    #[test]
    fn a_region_lacks_the_gaps_and_the_ends() {
        let (covered, region) = covered(&["05..08", "12..20"]);
        let lacks = |range: &str| covered.lacking(&region, days(range));
        assert_eq!(lacks("01..31"), [days("01..04"), days("09..11"), days("21..31")]);
        assert_eq!(lacks("06..14"), [days("09..11")]);
        assert_eq!(lacks("09..10"), [days("09..10")]);
        assert_eq!((lacks("13..20"), lacks("02..01")), (Vec::new(), Vec::new()));
        let new = RegionId::parse("new").unwrap();
        assert_eq!(covered.lacking(&new, days("06..14")), [days("06..14")]);
    }
}
