//! `run`, `backfill` and `rebuild`: the write path of the sources, once.

use chrono::NaiveDate;
use ingest::jobs::Request;

use crate::config::Config;
use crate::verbs::hand;

/// Lands what a source has now, or computes a model anew; `day` stands for now. The same key is the same run.
pub fn run(config: &Config, name: &str, day: Option<NaiveDate>, key: Option<String>) -> anyhow::Result<()> {
    // The market's history is called by its short name too.
    let name = if name == "history" { "market_history" } else { name };
    hand::over(config, &Request::run(name, day), key)
}

/// Fills days from a source's archive, hours and days; with `again` also those that are there.
pub fn backfill(
    config: &Config,
    source: &str,
    days: (NaiveDate, NaiveDate),
    again: bool,
) -> anyhow::Result<()> {
    if days.0 > days.1 {
        anyhow::bail!("--from is after --to");
    }
    hand::over(config, &Request::backfill(source, days, again), None)
}

/// Computes every model's table anew; with `from_raw` everything after the raw area, which needs the lake alone.
pub fn rebuild(config: &Config, from_raw: bool) -> anyhow::Result<()> {
    hand::over(config, &Request::rebuild(from_raw), None)
}
