//! Weather and market of every place at every time, from nothing but the place and the time.
//!
//! The same place and time give the same value in every run, so that the archive, the hours and a restart agree.
//! Shapes are those of the real thing: seasons by latitude, warm afternoons by longitude, fronts of some days,
//! prices that wander around a level of their own.

use std::collections::HashMap;
use std::f64::consts::TAU;

use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};
use chrono_tz::Tz;
use identity::RegionId;

use crate::lakefile::{KnownPlace, zone_at};

/// A place of the simulation.
#[derive(Clone, Debug)]
pub struct Site {
    /// `None` for a point that is no region of the demo.
    pub region: Option<RegionId>,
    pub lon: f64,
    pub lat: f64,
    pub zone: Tz,
    pub population: i64,
    seed: u64,
}

/// All places.
pub struct World {
    pub sites: Vec<Site>,
    by_point: HashMap<(u64, u64), usize>,
}

/// Measured weather: °C, mm in the hour, m/s, %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weather {
    pub temperature: f64,
    pub precipitation: f64,
    pub wind: f64,
    pub humidity: f64,
}

impl World {
    /// The world of these places.
    pub fn new(places: &[KnownPlace]) -> Self {
        let sites: Vec<Site> = places.iter().map(Site::of).collect();
        let point = |(i, s): (usize, &Site)| ((s.lon.to_bits(), s.lat.to_bits()), i);
        Self { by_point: sites.iter().enumerate().map(point).collect(), sites }
    }

    /// The place at a point; one that nobody knows has weather too.
    pub fn at(&self, lon: f64, lat: f64) -> Site {
        match self.by_point.get(&(lon.to_bits(), lat.to_bits())) {
            Some(&known) => self.sites[known].clone(),
            None => Site::unknown(lon, lat),
        }
    }
}

impl Site {
    fn of(place: &KnownPlace) -> Self {
        Self {
            region: Some(place.region_id.clone()),
            lon: place.lon,
            lat: place.lat,
            zone: zone_at(place.lon, place.lat).unwrap_or(Tz::UTC),
            population: place.population,
            seed: seed(place.region_id.as_str()),
        }
    }

    fn unknown(lon: f64, lat: f64) -> Self {
        let name = format!("at-{}-{}", lon.to_bits(), lat.to_bits());
        Self {
            region: None,
            lon,
            lat,
            zone: zone_at(lon, lat).unwrap_or(Tz::UTC),
            population: 0,
            seed: seed(&name),
        }
    }

    /// The weather of the hour that begins at `time`.
    pub fn weather(&self, time: DateTime<Utc>) -> Weather {
        let hours = time.timestamp() as f64 / 3_600.0;
        let days = hours / 24.0;
        let sun = (hours + self.lon / 15.0).rem_euclid(24.0);
        let warmth = ((sun - 15.0) / 24.0 * TAU).cos();
        let front = self.noise(1, days / 4.0);
        let wet = self.noise(2, days / 2.5) * 0.7 + self.noise(3, hours / 7.0) * 0.4;
        let rain = if wet > 0.35 { (wet - 0.35) * 9.0 * (1.0 + self.jitter(4, hours)) } else { 0.0 };
        let temperature = self.climate(days)
            + 4.5 * warmth * (1.0 - 0.4 * wet.max(0.0))
            + 4.5 * front
            + 0.4 * self.jitter(5, hours);
        let wind =
            (3.2 + 2.4 * self.noise(6, days / 2.0) + 0.8 * warmth + 0.7 * self.jitter(7, hours)).max(0.1);
        let humidity = (68.0 - 14.0 * warmth + 22.0 * wet + 4.0 * self.jitter(8, hours)).clamp(12.0, 100.0);
        Weather { temperature, precipitation: rain.max(0.0), wind, humidity }
    }

    /// The season's temperature: colder and more seasonal away from the equator, a little warmer each year.
    fn climate(&self, days: f64) -> f64 {
        let away = self.lat.abs();
        let level = 27.5 - 0.0075 * away * away - 0.06 * away;
        let hottest = if self.lat >= 0.0 { 201.0 } else { 18.0 };
        let season = ((days.rem_euclid(365.2425) - hottest) / 365.2425 * TAU).cos();
        level + season * (0.24 * away).min(16.0) + 0.03 * (days - 15_000.0) / 365.2425
    }

    /// Price in the lake's currency.
    pub fn price(&self, time: DateTime<Utc>) -> f64 {
        let days = time.timestamp() as f64 / 86_400.0;
        let level = 70.0 + 60.0 * unit(mix(self.seed, 20));
        let season = 0.05 * (days / 365.2425 * TAU).sin();
        let wander = 0.12 * self.noise(21, days / 90.0) + 0.05 * self.noise(22, days / 9.0);
        let today = 0.015 * self.noise(23, days * 4.0) + 0.002 * self.jitter(24, days * 1_440.0);
        level * (1.0 + season + wander + today + 0.02 * (days - 15_000.0) / 365.2425 / 10.0)
    }

    /// Market interest, 0 to 100; lower at week-ends.
    pub fn interest(&self, time: DateTime<Utc>) -> f64 {
        let days = time.timestamp() as f64 / 86_400.0;
        let weekend = if (4.0..6.0).contains(&(days.rem_euclid(7.0) - 0.5).floor()) { -6.0 } else { 0.0 };
        let level = 35.0 + 30.0 * unit(mix(self.seed, 30));
        (level + weekend + 14.0 * self.noise(31, days / 20.0) + 6.0 * self.noise(32, days * 3.0))
            .clamp(0.0, 100.0)
    }

    /// A number that stays with the place: 0 to 1.
    pub fn trait_of(&self, which: u64) -> f64 {
        unit(mix(self.seed, which))
    }

    /// The instant of a local day and hour of this place.
    pub fn local(&self, day: NaiveDate, hour: u32) -> DateTime<Utc> {
        let local = day.and_hms_opt(hour, 0, 0).unwrap_or_default();
        match local.and_local_timezone(self.zone).earliest() {
            Some(time) => time.with_timezone(&Utc),
            None => local.and_utc(), // an hour that the summer's first day skips
        }
    }

    /// Smooth noise, -1 to 1, with a new value at each whole `x`.
    fn noise(&self, which: u64, x: f64) -> f64 {
        let (whole, part) = (x.floor(), x - x.floor());
        let at = |n: f64| 2.0 * unit(mix(self.seed ^ which.wrapping_mul(0x9E37), n as i64 as u64)) - 1.0;
        let (a, b) = (at(whole), at(whole + 1.0));
        a + (b - a) * part * part * (3.0 - 2.0 * part)
    }

    /// Rough noise, -1 to 1.
    fn jitter(&self, which: u64, x: f64) -> f64 {
        2.0 * unit(mix(self.seed ^ which.wrapping_mul(0xC2B2), x.floor() as i64 as u64)) - 1.0
    }
}

fn seed(name: &str) -> u64 {
    name.bytes()
        .fold(0xCBF2_9CE4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3))
}

/// A well-spread number from two (SplitMix64's finish).
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a.wrapping_add(b.wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// 0 to 1.
pub fn unit(n: u64) -> f64 {
    (n >> 11) as f64 / (1_u64 << 53) as f64
}

/// The minute a time is in, for numbers that change each minute.
pub fn minute(time: DateTime<Utc>) -> u64 {
    u64::from(time.num_days_from_ce().unsigned_abs()) * 1_440 + u64::from(time.hour() * 60 + time.minute())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefile::Lakefile;

    fn mean(site: &Site, year: i32, month: u32) -> f64 {
        let from = NaiveDate::from_ymd_opt(year, month, 1).unwrap();
        let hours =
            (0..28 * 24).map(|h| from.and_hms_opt(0, 0, 0).unwrap().and_utc() + chrono::TimeDelta::hours(h));
        hours.map(|t| site.weather(t).temperature).sum::<f64>() / (28.0 * 24.0)
    }

    #[test]
    fn the_seasons_are_where_they_belong() {
        let world = World::new(Lakefile::builtin().unwrap().gazetteer.chosen());
        let site =
            |name: &str| world.sites.iter().find(|s| s.region.as_ref().unwrap().as_str() == name).unwrap();
        let (bayern, sydney, singapore) =
            (site("de-bayern"), site("au-new-south-wales"), site("sg-singapore"));
        assert!(mean(bayern, 2024, 7) > mean(bayern, 2024, 1) + 12.0);
        assert!(mean(sydney, 2024, 1) > mean(sydney, 2024, 7) + 6.0);
        assert!((22.0..32.0).contains(&mean(singapore, 2024, 4)));
    }

    #[test]
    fn values_are_the_same_in_every_run_and_within_reason() {
        let world = World::new(Lakefile::builtin().unwrap().gazetteer.chosen());
        let time: DateTime<Utc> = "2026-11-20T14:00:00Z".parse().unwrap();
        for site in &world.sites {
            let weather = site.weather(time);
            assert_eq!(weather, world.at(site.lon, site.lat).weather(time));
            assert!(
                (-60.0..55.0).contains(&weather.temperature) && (0.0..40.0).contains(&weather.precipitation)
            );
            assert!((0.0..40.0).contains(&weather.wind) && (0.0..=100.0).contains(&weather.humidity));
            assert!(
                (30.0..250.0).contains(&site.price(time)) && (0.0..=100.0).contains(&site.interest(time))
            );
        }
    }
}
