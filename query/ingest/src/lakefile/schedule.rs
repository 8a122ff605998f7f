//! Schedules as a lake declares them: in `[schedules.NAME]`, at a source, or in a model's header.

use catalog::CatchUp;
use chrono_tz::Tz;
use serde::Deserialize;

use crate::schedules::Timetable;

/// When something is run.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Times {
    /// Minute, hour, day of month, month, day of week; seconds may go before them.
    pub cron: String,
    /// IANA name; the clock that `cron` means.
    #[serde(default = "utc")]
    pub timezone: String,
    /// What becomes of times at which no node was there.
    #[serde(default)]
    pub catch_up: CatchUp,
}

/// `[schedules.NAME]` of `lake.toml`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleSpec {
    pub cron: String,
    #[serde(default = "utc")]
    pub timezone: String,
    #[serde(default)]
    pub catch_up: CatchUp,
    /// A source, a model's table, or `maintenance`.
    pub run: String,
    #[serde(default = "yes")]
    pub enabled: bool,
}

fn utc() -> String {
    Tz::UTC.to_string()
}

fn yes() -> bool {
    true
}

impl Times {
    /// The same as a schedule of its own.
    pub fn of(self, run: &str) -> ScheduleSpec {
        let Self { cron, timezone, catch_up } = self;
        ScheduleSpec { cron, timezone, catch_up, run: run.to_string(), enabled: true }
    }
}

impl ScheduleSpec {
    /// Its times. Errors: what is wrong with them, in words for the operator.
    pub fn timetable(&self) -> Result<Timetable, String> {
        Timetable::parse(&self.cron, &self.timezone)
    }
}
