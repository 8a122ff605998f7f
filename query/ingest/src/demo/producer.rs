//! Source D's other side: someone who pushes market events all the time.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::DemoError;
use super::world::{Site, World, mix};
use crate::sources::Arrivals;

/// The source that takes the events.
const SOURCE: &str = "d";
/// Hours before the start that have events already, one each half hour and region.
const SEED_HOURS: i64 = 48;
/// Events in one push of the seed.
const SEED_PUSH: usize = 5_000;

/// Pushes `rate` events each second, until told to stop. Now and then one comes twice, or late: a real stream does that.
pub async fn run(world: Arc<World>, arrivals: Arrivals, rate: u32, stop: CancellationToken) {
    let mut tick = tokio::time::interval(Duration::from_secs(1));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !stop.is_cancelled() && !world.sites.is_empty() {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = tick.tick() => {}
        }
        let now = Utc::now();
        let body = second(&world, rate, now);
        if let Err(error) = arrivals.push(SOURCE, body.as_bytes(), now).await {
            tracing::warn!(%error, "the demo's events are not taken");
        }
    }
}

/// Pushes the events of the two days before `now`, with ids of their own: pushed again they count once.
pub async fn seed(world: &World, arrivals: &Arrivals, now: DateTime<Utc>) -> Result<(), DemoError> {
    let start = now.timestamp() / 1_800 - SEED_HOURS * 2;
    let slots = (0..SEED_HOURS * 2).filter_map(|slot| DateTime::from_timestamp((start + slot) * 1_800, 0));
    let slots: Vec<DateTime<Utc>> = slots.collect();
    let mut lines = Vec::new();
    for site in &world.sites {
        lines.extend(slots.iter().filter_map(|slot| seeded(site, *slot)));
    }
    for push in lines.chunks(SEED_PUSH) {
        arrivals.push(SOURCE, push.concat().as_bytes(), now).await?;
    }
    Ok(())
}

fn seeded(site: &Site, slot: DateTime<Utc>) -> Option<String> {
    let region = site.region.as_ref()?;
    let time = slot + TimeDelta::seconds((site.trait_of(60) * 1_500.0) as i64);
    Some(line(format!("seed-{region}-{}", slot.timestamp()), site, time))
}

fn second(world: &World, rate: u32, now: DateTime<Utc>) -> String {
    let pick = |n: u32| mix(now.timestamp() as u64, u64::from(n) + 1);
    let mut body = String::new();
    for n in 0..rate {
        let chance = pick(n);
        let site = &world.sites[(chance % world.sites.len() as u64) as usize];
        let late = if chance >> 32 & 0xFF == 0 { TimeDelta::hours(30) } else { TimeDelta::zero() };
        let event = line(Uuid::now_v7().to_string(), site, now - late);
        body.push_str(&event);
        if chance >> 40 & 0x3F == 0 {
            body.push_str(&event);
        }
    }
    body
}

fn line(event_id: String, site: &Site, time: DateTime<Utc>) -> String {
    let round = |x: f64| (x * 100.0).round() / 100.0;
    let event: Value = json!({
        "event_id": event_id,
        "event_time": time,
        "region_id": site.region,
        "price": round(site.price(time)),
        "interest": round(site.interest(time)),
    });
    format!("{event}\n")
}
