//! Which planned times are run now: those that came, and of those that were missed what the schedule says.

use catalog::{CatchUp, Schedule};
use chrono::{DateTime, TimeDelta, Utc};

use super::Timetable;

/// A planned time this old, at which nothing ran, was missed.
const LATE: TimeDelta = TimeDelta::seconds(90);
/// Missed times that are queued in one go; those behind them follow at the next look.
const AT_ONCE: usize = 100;

/// What a look at a schedule leads to.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Planned times to be run, ascending.
    pub runs: Vec<DateTime<Utc>>,
    /// When the schedule is to be looked at again.
    pub next: Option<DateTime<Utc>>,
}

/// What a due schedule leads to at `now`. Nothing before its `next_run_at`, so the same look gives the same plan.
pub fn plan(schedule: &Schedule, times: &Timetable, now: DateTime<Utc>) -> Plan {
    let Some(first) = schedule.next_run_at.filter(|first| *first <= now) else {
        return Plan { runs: Vec::new(), next: schedule.next_run_at };
    };
    let last = times.until(now).map_or(first, |last| last.max(first));
    match schedule.catch_up {
        CatchUp::Each => each(first, times, now),
        CatchUp::Once => Plan { runs: vec![last], next: times.after(last) },
        CatchUp::Skip => {
            let runs = if now - last <= LATE { vec![last] } else { Vec::new() };
            Plan { runs, next: times.after(last) }
        }
    }
}

fn each(first: DateTime<Utc>, times: &Timetable, now: DateTime<Utc>) -> Plan {
    let mut runs = vec![first];
    let mut next = times.after(first);
    while let Some(time) = next.filter(|time| *time <= now && runs.len() < AT_ONCE) {
        runs.push(time);
        next = times.after(time);
    }
    Plan { runs, next }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    /// A schedule of 06:15 in Rome that was to run on 1 February, planned at `now`: the days and the next time.
    fn planned(catch_up: CatchUp, now: &str) -> (Vec<String>, String) {
        let next_run_at = Some(at("2026-02-01T05:15:00Z"));
        let schedule = Schedule {
            name: "daily".into(),
            cron: "15 6 * * *".into(),
            timezone: "Europe/Rome".into(),
            pipeline: "a".into(),
            catch_up,
            enabled: true,
            next_run_at,
            fired_at: None,
        };
        let times = Timetable::parse(&schedule.cron, &schedule.timezone).unwrap();
        let plan = plan(&schedule, &times, at(now));
        let days = plan.runs.iter().map(|run| run.format("%d").to_string()).collect();
        (days, plan.next.unwrap().format("%dT%H:%M").to_string())
    }

    #[test]
    fn a_time_that_has_come_is_run_and_one_that_has_not_waits() {
        for catch_up in [CatchUp::Once, CatchUp::Each, CatchUp::Skip] {
            assert_eq!(planned(catch_up, "2026-02-01T05:14:59Z"), (vec![], "01T05:15".into()));
            assert_eq!(planned(catch_up, "2026-02-01T05:15:00Z"), (vec!["01".into()], "02T05:15".into()));
        }
    }

    #[test]
    fn missed_times_are_run_as_the_schedule_says() {
        let now = "2026-02-04T12:00:00Z";
        let days = |days: &[&str]| days.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(planned(CatchUp::Once, now), (days(&["04"]), "05T05:15".into()));
        assert_eq!(planned(CatchUp::Each, now), (days(&["01", "02", "03", "04"]), "05T05:15".into()));
        assert_eq!(planned(CatchUp::Skip, now), (days(&[]), "05T05:15".into()));
        // Down for days, and back within the minute of a planned time.
        assert_eq!(planned(CatchUp::Skip, "2026-02-04T05:15:30Z"), (days(&["04"]), "05T05:15".into()));
    }

    #[test]
    fn years_of_missed_times_come_in_portions() {
        let (days, next) = planned(CatchUp::Each, "2027-02-01T12:00:00Z");
        assert_eq!((days.len(), next.as_str()), (AT_ONCE, "12T04:15"));
    }
}
