//! The places a lake knows: region, country, point and population.

use std::collections::BTreeMap;
use std::str::FromStr;

use identity::RegionId;
use serde::Deserialize;

use super::LakefileError;

/// A place of the gazetteer. Its time zone is derived from the point, never written.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownPlace {
    pub region_id: RegionId,
    pub name: String,
    /// ISO 3166-1 alpha-2.
    pub country: String,
    /// WGS 84 degrees.
    pub lon: f64,
    pub lat: f64,
    pub population: i64,
}

/// Known places, and which of them the lake serves from the start. The others become regions when an event names them.
#[derive(Clone, Debug, PartialEq)]
pub struct Gazetteer {
    places: Vec<KnownPlace>,
    chosen: usize,
}

impl Gazetteer {
    /// Places from the text of a `regions.csv` (`region_id,name,country,lon,lat,population`), all of them chosen.
    /// - Errors: [`LakefileError::Region`] with the line.
    pub fn parse(csv: &str) -> Result<Self, LakefileError> {
        let mut places: Vec<KnownPlace> = Vec::new();
        let mut lines = BTreeMap::new();
        for (row, place) in
            csv::Reader::from_reader(csv.as_bytes()).into_deserialize::<KnownPlace>().enumerate()
        {
            let line = row as u64 + 2;
            let wrong = |reason: String| LakefileError::Region { line, reason };
            let place = place.map_err(|e| wrong(e.to_string()))?;
            check(&place).map_err(wrong)?;
            if let Some(first) = lines.insert(place.region_id.clone(), line) {
                return Err(wrong(format!("`{}` is already on line {first}", place.region_id)));
            }
            places.push(place);
        }
        Ok(Self { chosen: places.len(), places })
    }

    /// All known places.
    pub fn places(&self) -> &[KnownPlace] {
        &self.places
    }

    /// The places that are regions of the lake from the start.
    pub fn chosen(&self) -> &[KnownPlace] {
        &self.places[..self.chosen]
    }

    /// The same places with the first `n` chosen. What the file has too few of is simulated near the known ones.
    pub(super) fn first(&self, n: usize) -> Self {
        let known = self.places.len().max(1);
        let near = |i: usize| self.places.get(i % known).and_then(|near| neighbour(near, i / known));
        let simulated = (self.places.len()..n).filter_map(near);
        let mut places = self.places.clone();
        places.extend(simulated);
        Self { chosen: n.min(places.len()), places }
    }
}

/// The `turn`-th simulated place near a known one, at most a degree and a half away.
fn neighbour(near: &KnownPlace, turn: usize) -> Option<KnownPlace> {
    let angle = turn as f64 * 2.399_963; // the golden angle spreads the turns around the point
    let distance = 0.3 + 0.1 * (turn % 12) as f64;
    Some(KnownPlace {
        region_id: RegionId::from_str(&format!("{}-{}", near.region_id, turn + 1)).ok()?,
        name: format!("{} {} (simulated)", near.name, turn + 1),
        country: near.country.clone(),
        lon: hundredths((near.lon + distance * angle.cos()).clamp(-179.9, 179.9)),
        lat: hundredths((near.lat + distance * angle.sin()).clamp(-89.0, 89.0)),
        population: near.population / (turn as i64 + 2),
    })
}

fn hundredths(degrees: f64) -> f64 {
    (degrees * 100.0).round() / 100.0
}

fn check(place: &KnownPlace) -> Result<(), String> {
    if !(-180.0..=180.0).contains(&place.lon) || !(-90.0..=90.0).contains(&place.lat) {
        return Err(format!("`{}` lies outside the globe", place.region_id));
    }
    if place.country.len() != 2 || !place.country.bytes().all(|b| b.is_ascii_uppercase()) {
        return Err(format!("`{}` is no ISO 3166-1 alpha-2 country", place.country));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lakefile::{builtin, zone_at};

    #[test]
    fn every_built_in_place_has_a_zone_and_a_country_of_its_own() {
        let gazetteer = Gazetteer::parse(builtin::REGIONS).unwrap();
        assert!(gazetteer.places().len() >= 100);
        for place in gazetteer.places() {
            let zone = zone_at(place.lon, place.lat).unwrap();
            assert!(!zone.name().starts_with("Etc/"), "{} lies at sea: {zone}", place.region_id);
        }
    }

    #[test]
    fn a_thousand_places_are_a_thousand_names() {
        let many = Gazetteer::parse(builtin::REGIONS).unwrap().first(1_000);
        let names: std::collections::BTreeSet<_> = many.chosen().iter().map(|p| &p.region_id).collect();
        assert_eq!(names.len(), 1_000);
    }

    #[test]
    fn a_place_twice_is_refused_with_its_line() {
        let text = "region_id,name,country,lon,lat,population\na,A,IT,1,1,1\na,A,IT,1,1,1\n";
        let refused = Gazetteer::parse(text).unwrap_err().to_string();
        assert!(refused.contains("line 3"), "{refused}");
    }
}
