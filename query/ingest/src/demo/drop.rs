//! The files a partner drops: A each day, B each 14 days, the market's history once.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use chrono::{Datelike, Days, NaiveDate, Utc};
use tokio_util::sync::CancellationToken;

use super::state::put;
use super::world::{Site, World};

/// A's rows are about the day three days before its file.
const A_LAG: Days = Days::new(3);
/// B's files come on days whose number since year 1 divides by this.
const B_EVERY: i32 = 14;

/// Drops what is due, each minute.
pub async fn run(world: Arc<World>, folder: PathBuf, stop: CancellationToken) {
    while !stop.is_cancelled() {
        if let Err(error) = due(&world, &folder, Utc::now().date_naive()) {
            tracing::warn!(%error, "the demo's files cannot be written");
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(Duration::from_secs(60)) => {}
        }
    }
}

/// The files of one day, unless they are there.
pub fn due(world: &World, folder: &Path, today: NaiveDate) -> std::io::Result<()> {
    let rows = |world: &World| {
        let day = today - A_LAG;
        table(world, "region_id,activity_index,visits", |out, site| activity(out, site, day, false))
    };
    write_new(&folder.join(format!("inbox/a/a-{today}.csv")), || rows(world))?;
    if today.num_days_from_ce() % B_EVERY == 0 {
        write_new(&folder.join(format!("inbox/b/b-{today}.csv")), || profiles(world, &[today]))?;
    }
    Ok(())
}

/// The files of the past: a file a year of A, B and the market, for days `from <= day < began`.
pub fn past(world: &World, folder: &Path, from: NaiveDate, began: NaiveDate) -> std::io::Result<()> {
    let size = world.sites.len();
    for year in from.year()..=began.year() {
        let days: Vec<NaiveDate> =
            from.iter_days().take_while(|d| *d < began).filter(|d| d.year() == year).collect();
        let file = |source: &str| folder.join(format!("inbox/{source}/past-{year}-{size}-from-{from}.csv"));
        write_new(&file("market_history"), || history(world, &days))?;
        write_new(&file("a"), || activities(world, &days, began - A_LAG))?;
        let profile_days: Vec<NaiveDate> =
            days.iter().copied().filter(|d| d.num_days_from_ce() % B_EVERY == 0).collect();
        write_new(&file("b"), || profiles(world, &profile_days))?;
    }
    Ok(())
}

fn write_new(file: &Path, text: impl FnOnce() -> String) -> std::io::Result<()> {
    if file.exists() {
        return Ok(());
    }
    file.parent().map(std::fs::create_dir_all).transpose()?;
    put(file, text().as_bytes())
}

fn table(world: &World, header: &str, row: impl Fn(&mut String, &Site) -> std::fmt::Result) -> String {
    let mut text = format!("{header}\n");
    for site in &world.sites {
        // Writing into a String cannot fail.
        let _ = row(&mut text, site);
    }
    text
}

fn activities(world: &World, days: &[NaiveDate], before: NaiveDate) -> String {
    table(world, "region_id,day,activity_index,visits", |out, site| {
        days.iter().filter(|d| **d < before).try_for_each(|day| activity(out, site, *day, true))
    })
}

fn activity(out: &mut String, site: &Site, day: NaiveDate, dated: bool) -> std::fmt::Result {
    let Some(region) = &site.region else { return Ok(()) };
    let index = 70.0 + 0.6 * site.interest(site.local(day, 12));
    let visits = (index * (site.population as f64).sqrt() / 30.0).round();
    match dated {
        true => writeln!(out, "{region},{day},{index:.2},{visits}"),
        false => writeln!(out, "{region},{index:.2},{visits}"),
    }
}

fn profiles(world: &World, days: &[NaiveDate]) -> String {
    table(world, "region_id,valid_from,households,income_index", |out, site| {
        let Some(region) = &site.region else { return Ok(()) };
        days.iter().try_for_each(|day| {
            let years = f64::from(day.num_days_from_ce() - 735_000) / 365.2425;
            let households =
                (site.population as f64 / (2.1 + site.trait_of(40)) * (1.0 + 0.004 * years)).round();
            let income = 70.0 + 60.0 * site.trait_of(41) + 0.3 * years;
            writeln!(out, "{region},{day},{households},{income:.1}")
        })
    })
}

fn history(world: &World, days: &[NaiveDate]) -> String {
    let header = "region_id,day,price_open,price_high,price_low,price_close,price_mean,interest_mean,events";
    table(world, header, |out, site| {
        let Some(region) = &site.region else { return Ok(()) };
        days.iter().try_for_each(|day| {
            let prices = [0, 4, 8, 12, 16, 20, 23].map(|hour| site.price(site.local(*day, hour)));
            let high = prices.iter().copied().fold(f64::MIN, f64::max);
            let low = prices.iter().copied().fold(f64::MAX, f64::min);
            let mean = prices.iter().sum::<f64>() / 7.0;
            let interest = site.interest(site.local(*day, 12));
            let events = 200 + (site.trait_of(50) * 4_000.0) as i64 + (interest * 10.0) as i64;
            let [open, .., close] = prices;
            writeln!(
                out,
                "{region},{day},{open:.2},{high:.2},{low:.2},{close:.2},{mean:.3},{interest:.2},{events}"
            )
        })
    })
}
