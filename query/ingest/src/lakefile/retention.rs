//! How long each area keeps what it has.

use std::collections::BTreeMap;

use chrono::{Datelike, Days, NaiveDate};
use identity::TableName;
use serde::Deserialize;

use super::{Lakefile, Period};

/// The raw area's least: a source that was away for a week reads its own bytes again.
const LEAST_RAW_DAYS: u64 = 8;
/// That of the others: windows of a month, and what comes late, need their inputs whole.
const LEAST_DAYS: u64 = 62;

/// Time by kind of area, as `[retention]` declares it. An area that is not named keeps everything.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Retention(BTreeMap<String, Period>);

impl Retention {
    fn days(&self, area: &str) -> Option<u64> {
        self.0.get(area).map(|period| period.0.as_secs() / 86_400)
    }

    /// What is wrong with it in a lake that has these areas.
    pub(super) fn wrongs<'a>(
        &'a self,
        areas: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = String> + 'a {
        self.0.keys().filter_map(|area| {
            let least = if area == "raw" { LEAST_RAW_DAYS } else { LEAST_DAYS };
            match self.days(area) {
                _ if !areas.contains_key(area) => Some(format!("retention: no area `{area}`")),
                days if days < Some(least) => Some(format!("retention: `{area}` keeps at least {least}d")),
                _ => None,
            }
        })
    }
}

impl Lakefile {
    /// The first day of arrival whose bytes the raw area keeps; `None` where it keeps everything.
    pub fn first_raw_day(&self, today: NaiveDate) -> Option<NaiveDate> {
        self.retention.days("raw").and_then(|days| today.checked_sub_days(Days::new(days)))
    }

    /// Whether bytes go from the raw area in time.
    pub fn expires_raw(&self) -> bool {
        self.retention.days("raw").is_some()
    }

    /// The first day that a table keeps, always a month's first, so that whole files go; `None` where it keeps everything.
    pub fn first_day(&self, table: &TableName, today: NaiveDate) -> Option<NaiveDate> {
        let spec = self.table(table)?;
        spec.dated()?;
        // A row that holds until the next one speaks of days to come.
        if self.models.iter().any(|model| model.carried.contains(table)) {
            return None;
        }
        let day = today.checked_sub_days(Days::new(self.retention.days(&spec.area)?))?;
        day.with_day(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retention(text: &str) -> Retention {
        toml::from_str(text).unwrap()
    }

    #[test]
    fn tables_keep_whole_months_and_the_raw_area_days() {
        let lake = Lakefile::builtin().unwrap();
        let kept = Lakefile { retention: retention("raw = \"30d\"\ncurated = \"100d\""), ..(*lake).clone() };
        let day = |text: &str| Some(text.parse::<NaiveDate>().unwrap());
        let today = day("2026-11-21").unwrap();
        assert_eq!(kept.first_raw_day(today), day("2026-10-22"));
        assert_eq!(kept.first_day(&TableName::new("weather", "hourly"), today), day("2026-08-01"));
        assert_eq!(kept.first_day(&TableName::new("weather", "daily"), today), None);
        assert_eq!(kept.first_day(&TableName::new("geo", "regions"), today), None);
        let carried = TableName::new("source_b", "profile");
        assert_eq!(kept.first_day(&carried, today), None, "its last row holds for the days after it");
        assert_eq!(lake.first_raw_day(today), None);
    }

    #[test]
    fn an_unknown_area_and_too_short_a_time_are_told() {
        let areas = Lakefile::builtin().unwrap().areas.clone();
        let wrongs = |text: &str| retention(text).wrongs(&areas).collect::<Vec<_>>();
        assert_eq!(wrongs("gold = \"90d\""), ["retention: no area `gold`"]);
        assert_eq!(wrongs("curated = \"61d\"\nraw = \"8d\""), ["retention: `curated` keeps at least 62d"]);
        assert_eq!(wrongs("raw = \"23h\""), ["retention: `raw` keeps at least 8d"]);
    }
}
