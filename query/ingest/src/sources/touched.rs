//! Which regions and local days a change touches.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{Datelike, Days, Months, NaiveDate};
use identity::RegionId;
use serde::{Deserialize, Serialize};

/// For each touched region the first and the last day that changed. Wider than the change is correct, only
/// slower: what is recomputed without need comes out the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Touched(BTreeMap<RegionId, (NaiveDate, NaiveDate)>);

impl Touched {
    /// Every day of these regions.
    pub fn all_days(regions: impl IntoIterator<Item = RegionId>) -> Self {
        Self(regions.into_iter().map(|r| (r, (NaiveDate::MIN, NaiveDate::MAX))).collect())
    }

    /// Adds one day of one region.
    pub fn add(&mut self, region: &RegionId, day: NaiveDate) {
        self.widen(region, day, day);
    }

    /// Adds the days from `first` to `last` of one region.
    pub fn widen(&mut self, region: &RegionId, first: NaiveDate, last: NaiveDate) {
        match self.0.get_mut(region) {
            Some(days) => *days = (days.0.min(first), days.1.max(last)),
            None => {
                self.0.insert(region.clone(), (first, last));
            }
        }
    }

    /// Adds what another change touched.
    pub fn merge(&mut self, other: &Self) {
        for (region, (first, last)) in &other.0 {
            self.widen(region, *first, *last);
        }
    }

    /// The same with one day more on both sides: an instant's UTC day is at most one off its local day.
    pub fn with_neighbours(self) -> Self {
        let wider = |(first, last): (NaiveDate, NaiveDate)| {
            let before = first.checked_sub_days(Days::new(1)).unwrap_or(first);
            (before, last.checked_add_days(Days::new(1)).unwrap_or(last))
        };
        Self(self.0.into_iter().map(|(region, days)| (region, wider(days))).collect())
    }

    /// The same and so many days more behind each last one.
    pub fn onward(&self, days: u64) -> Self {
        let later = |last: NaiveDate| last.checked_add_days(Days::new(days)).unwrap_or(NaiveDate::MAX);
        Self(self.0.iter().map(|(region, (first, last))| (region.clone(), (*first, later(*last)))).collect())
    }

    /// Every day of the months that are touched.
    pub fn whole_months(self) -> Self {
        let whole = |(first, last): (NaiveDate, NaiveDate)| (month_of(first), end_of_month(last));
        Self(self.0.into_iter().map(|(region, days)| (region, whole(days))).collect())
    }

    /// Without these regions.
    pub fn without(mut self, regions: &BTreeSet<RegionId>) -> Self {
        self.0.retain(|region, _| !regions.contains(region));
        self
    }

    /// The touched regions.
    pub fn regions(&self) -> BTreeSet<RegionId> {
        self.0.keys().cloned().collect()
    }

    /// The first and the last day that changed in any region; `None` when nothing did.
    pub fn hull(&self) -> Option<(NaiveDate, NaiveDate)> {
        let first = self.0.values().map(|days| days.0).min()?;
        Some((first, self.0.values().map(|days| days.1).max()?))
    }

    /// Regions by their days.
    pub fn by_days(&self) -> BTreeMap<(NaiveDate, NaiveDate), BTreeSet<RegionId>> {
        let mut groups: BTreeMap<_, BTreeSet<RegionId>> = BTreeMap::new();
        for (region, days) in &self.0 {
            groups.entry(*days).or_default().insert(region.clone());
        }
        groups
    }

    /// The part from `first` to `last`.
    pub fn within(&self, first: NaiveDate, last: NaiveDate) -> Self {
        let cut = |(a, b): (NaiveDate, NaiveDate)| (a.max(first), b.min(last));
        let kept = self.0.iter().map(|(region, days)| (region.clone(), cut(*days)));
        Self(kept.filter(|(_, (a, b))| a <= b).collect())
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many regions.
    pub fn len(&self) -> usize {
        self.0.len()
    }
}

/// The first day of a day's month.
pub fn month_of(day: NaiveDate) -> NaiveDate {
    day.with_day(1).unwrap_or(day)
}

fn end_of_month(day: NaiveDate) -> NaiveDate {
    let next = month_of(day).checked_add_months(Months::new(1));
    next.and_then(|next| next.pred_opt()).unwrap_or(NaiveDate::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(d: u32) -> NaiveDate {
        NaiveDate::from_ymd_opt(2026, 3, d).unwrap()
    }

    #[test]
    fn a_late_day_widens_its_own_region_alone() {
        let (a, b) = (RegionId::parse("a").unwrap(), RegionId::parse("b").unwrap());
        let mut touched = Touched::default();
        touched.add(&a, day(5));
        let mut late = Touched::default();
        late.widen(&b, day(2), day(5));
        touched.merge(&late);
        assert_eq!(touched.hull(), Some((day(2), day(5))));
        assert_eq!(touched.by_days().len(), 2);
        assert_eq!(touched.within(day(1), day(4)).regions(), BTreeSet::from([b.clone()]));
        assert_eq!(touched.with_neighbours().hull(), Some((day(1), day(6))));
    }

    #[test]
    fn every_day_stays_every_day() {
        let all = Touched::all_days([RegionId::parse("a").unwrap()]);
        assert_eq!(all.clone().with_neighbours(), all);
        assert_eq!((all.onward(30), all.clone().whole_months()), (all.clone(), all.clone()));
        let text = serde_json::to_value(&all).unwrap();
        assert_eq!(serde_json::from_value::<Touched>(text).unwrap(), all);
    }
}
