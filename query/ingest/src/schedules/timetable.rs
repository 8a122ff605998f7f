//! What a cron text means in a time zone.
//!
//! A text names times of a wall clock, which now and then goes forward or back:
//!
//! | the clock | fixed times (`30 2 * * *`) | times with `*` or `*/n` in hour or minute |
//! |---|---|---|
//! | skips the time | fires once, at the first instant after the gap | what lies in the gap is left out |
//! | has the time twice | fires once, at the first of the two | goes on at its pace through both passes |
//!
//! So a day has one run of a daily schedule, on whatever day; an hourly one runs each hour that passes.

use std::str::FromStr;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use chrono_tz::Tz;
use croner::Cron;

/// A cron text in a time zone.
#[derive(Clone, Debug)]
pub struct Timetable {
    cron: Cron,
    zone: Tz,
}

impl Timetable {
    /// Errors: what is wrong with the text or the zone, in words for the operator.
    pub fn parse(cron: &str, zone: &str) -> Result<Self, String> {
        let zone = zone.parse().map_err(|_| format!("`{zone}` is no IANA time zone"))?;
        let cron = Cron::from_str(cron).map_err(|e| format!("`{cron}` is no cron text: {e}"))?;
        Ok(Self { cron, zone })
    }

    /// The first planned time after `time`; `None` where none will come.
    pub fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let found = self.cron.find_next_occurrence(&time.with_timezone(&self.zone), false).ok()?;
        Some(found.to_utc())
    }

    /// The last planned time up to `time`, itself included; `None` where none was.
    pub fn until(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = time.trunc_subsecs(0) + TimeDelta::seconds(1);
        let found = self.cron.find_previous_occurrence(&next.with_timezone(&self.zone), false).ok()?;
        Some(found.to_utc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// The planned times of `[from, to)`.
    fn times(cron: &str, from: &str, to: &str) -> Vec<String> {
        let table = Timetable::parse(cron, "Europe/Rome").unwrap();
        let (mut time, end) = (at(from) - TimeDelta::seconds(1), at(to));
        let mut times = Vec::new();
        while let Some(next) = table.after(time).filter(|next| *next < end) {
            times.push(next.format("%dT%H:%M").to_string());
            time = next;
        }
        times
    }

    #[test]
    fn a_time_that_does_not_exist_fires_once() {
        // On 29 March 2026 Rome's clock goes from 02:00 to 03:00, at 01:00 UTC.
        let days = times("30 2 * * *", "2026-03-28T00:00:00Z", "2026-03-31T00:00:00Z");
        assert_eq!(days, ["28T01:30", "29T01:00", "30T00:30"]);
    }

    #[test]
    fn a_time_that_exists_twice_fires_once() {
        // On 25 October 2026 it goes from 03:00 to 02:00, at 01:00 UTC.
        let days = times("30 2 * * *", "2026-10-24T00:00:00Z", "2026-10-27T00:00:00Z");
        assert_eq!(days, ["24T00:30", "25T00:30", "26T01:30"]);
    }

    #[test]
    fn an_hourly_schedule_runs_each_hour_that_passes() {
        let spring = times("30 * * * *", "2026-03-29T00:00:00Z", "2026-03-29T04:00:00Z");
        assert_eq!(spring, ["29T00:30", "29T01:30", "29T02:30", "29T03:30"]);
        let autumn = times("30 * * * *", "2026-10-25T00:00:00Z", "2026-10-25T04:00:00Z");
        assert_eq!(autumn, ["25T00:30", "25T01:30", "25T02:30", "25T03:30"]);
    }

    #[test]
    fn the_last_time_is_found_on_any_day() {
        let table = Timetable::parse("30 2 * * *", "Europe/Rome").unwrap();
        for (now, last) in [
            ("2026-03-29T00:59:59Z", "2026-03-28T01:30:00Z"),
            ("2026-03-29T01:00:00Z", "2026-03-29T01:00:00Z"),
            ("2026-10-25T00:30:00Z", "2026-10-25T00:30:00Z"),
            ("2026-10-25T12:00:00Z", "2026-10-25T00:30:00Z"),
        ] {
            assert_eq!(table.until(at(now)), Some(at(last)), "{now}");
        }
    }

    #[test]
    fn what_is_no_schedule_is_said() {
        assert!(Timetable::parse("61 * * * *", "UTC").unwrap_err().contains("no cron text"));
        assert!(Timetable::parse("* * * * *", "Europe/Nowhere").unwrap_err().contains("time zone"));
    }
}
