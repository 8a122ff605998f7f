//! Finding regions: all filters hold together; by distance where a point is given, else by id.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::directory::{Directory, Region};
use super::request::{BoundingBox, ListRegions, Pick, Point};
use crate::QueryError;
use crate::cursor::Seal;

const PAGE: u32 = 100;
/// Regions of one page at most.
pub const REGIONS: u32 = 1_000;

/// Where a page goes on: the table version it began with, how many regions came before, and the question they belong to.
#[derive(Serialize, Deserialize)]
pub(super) struct Mark {
    pub version: i64,
    skip: usize,
    question: String,
}

impl Mark {
    /// Reads a cursor made for `question`. Errors: `invalid-cursor`.
    pub fn open(cursor: &str, question: &str, seal: &Seal, now: DateTime<Utc>) -> Result<Self, QueryError> {
        let mark: Self = seal.open(cursor, now)?;
        if mark.question == question { Ok(mark) } else { Err(QueryError::InvalidCursor) }
    }
}

/// A page of regions and, where more follow, the mark of the next.
pub(super) struct Found<'a> {
    pub regions: Vec<(&'a Region, Option<f64>)>,
    pub next: Option<Mark>,
}

/// The filters of a list without its cursor: the question a cursor belongs to.
pub(super) fn question(list: &ListRegions) -> String {
    let ListRegions { bbox, near, country, q, limit, cursor: _ } = list;
    format!("regions {bbox:?} {near:?} {country:?} {q:?} {limit:?}")
}

pub(super) fn question_of(pick: &Pick, about: &str) -> String {
    let Pick { regions, country, limit, cursor: _ } = pick;
    format!("{about} {regions:?} {country:?} {limit:?}")
}

/// The page of regions that fit, after `mark`; with `near`, each with its distance in km.
pub(super) fn find<'a>(
    directory: &'a Directory,
    list: &ListRegions,
    mark: Option<&Mark>,
    version: i64,
) -> Found<'a> {
    let q = list.q.as_deref().map(str::to_lowercase);
    let fits = |region: &&Region| {
        in_country(region, list.country.as_deref())
            && in_box(region, list.bbox)
            && named(region, q.as_deref())
    };
    let mut found: Vec<(&Region, Option<f64>)> =
        directory.regions.iter().filter(fits).map(|region| (region, None)).collect();
    if let Some(point) = list.near {
        // A region without a point is nowhere near.
        found.retain_mut(|(region, distance)| {
            *distance = distance_km(region, point);
            distance.is_some()
        });
        found.sort_by(|a, b| a.1.unwrap_or_default().total_cmp(&b.1.unwrap_or_default()));
    }
    cut(found, list.limit, mark, version, question(list))
}

/// The page of regions a call over many means.
pub(super) fn of_country<'a>(
    directory: &'a Directory,
    pick: &Pick,
    about: &str,
    mark: Option<&Mark>,
    version: i64,
) -> Found<'a> {
    let fits = |region: &&Region| in_country(region, pick.country.as_deref());
    let found = directory.regions.iter().filter(fits).map(|region| (region, None)).collect();
    cut(found, pick.limit, mark, version, question_of(pick, about))
}

fn cut<'a>(
    found: Vec<(&'a Region, Option<f64>)>,
    limit: Option<u32>,
    mark: Option<&Mark>,
    version: i64,
    question: String,
) -> Found<'a> {
    let limit = limit.unwrap_or(PAGE).clamp(1, REGIONS) as usize;
    let skip = mark.map_or(0, |mark| mark.skip);
    let more = found.len() > skip.saturating_add(limit);
    let next = more.then(|| Mark { version, skip: skip + limit, question });
    Found { regions: found.into_iter().skip(skip).take(limit).collect(), next }
}

fn in_country(region: &Region, country: Option<&str>) -> bool {
    country.is_none_or(|wanted| {
        region.country.as_deref().is_some_and(|country| country.eq_ignore_ascii_case(wanted))
    })
}

fn in_box(region: &Region, bbox: Option<BoundingBox>) -> bool {
    let Some(BoundingBox { west, south, east, north }) = bbox else {
        return true;
    };
    let (Some(lon), Some(lat)) = (region.lon, region.lat) else {
        return false;
    };
    let across = if west <= east { (west..=east).contains(&lon) } else { lon >= west || lon <= east };
    across && (south..=north).contains(&lat)
}

fn named(region: &Region, part: Option<&str>) -> bool {
    let Some(part) = part else {
        return true;
    };
    region.region_id.as_str().contains(part)
        || region.name.as_deref().is_some_and(|name| name.to_lowercase().contains(part))
}

/// Great-circle distance on a sphere of 6 371 km.
fn distance_km(region: &Region, from: Point) -> Option<f64> {
    let (lat, lon) = (region.lat?.to_radians(), region.lon?.to_radians());
    let (lat0, lon0) = (from.lat.to_radians(), from.lon.to_radians());
    let half = |a: f64, b: f64| ((a - b) / 2.0).sin().powi(2);
    let haversine = half(lat, lat0) + lat.cos() * lat0.cos() * half(lon, lon0);
    Some(2.0 * 6371.0 * haversine.sqrt().clamp(0.0, 1.0).asin())
}

#[cfg(test)]
mod tests {
    use identity::RegionId;

    use super::*;

    fn region(id: &str, country: &str, point: Option<(f64, f64)>) -> Region {
        Region {
            region_id: RegionId::parse(id).unwrap(),
            name: Some(id.to_uppercase()),
            country: Some(country.into()),
            lon: point.map(|p| p.0),
            lat: point.map(|p| p.1),
            timezone: Some("UTC".into()),
            population: None,
            status: Some(if point.is_some() { "active" } else { "pending" }.into()),
        }
    }

    fn directory() -> Directory {
        Directory::new(vec![
            region("fj-suva", "FJ", Some((178.4, -18.1))),
            region("it-lombardia", "IT", Some((9.93, 45.57))),
            region("it-pending", "IT", None),
            region("ws-apia", "WS", Some((-171.8, -13.8))),
        ])
    }

    fn ids(found: &Found<'_>) -> Vec<String> {
        found.regions.iter().map(|(region, _)| region.region_id.to_string()).collect()
    }

    #[test]
    fn filters_hold_together() {
        let (directory, all) = (directory(), ListRegions::default());
        let list = |list: ListRegions| ids(&find(&directory, &list, None, 1));
        assert_eq!(list(all.clone()).len(), 4);
        assert_eq!(
            list(ListRegions { country: Some("it".into()), ..all.clone() }),
            ["it-lombardia", "it-pending"]
        );
        assert_eq!(list(ListRegions { q: Some("LOMB".into()), ..all.clone() }), ["it-lombardia"]);
        let pacific = BoundingBox { west: 170.0, south: -30.0, east: -165.0, north: 0.0 };
        assert_eq!(list(ListRegions { bbox: Some(pacific), ..all.clone() }), ["fj-suva", "ws-apia"]);
        let near = Point { lon: 180.0, lat: -14.0 };
        assert_eq!(list(ListRegions { near: Some(near), ..all }), ["fj-suva", "ws-apia", "it-lombardia"]);
    }

    #[test]
    fn pages_follow_each_other() {
        let directory = directory();
        let list = ListRegions { limit: Some(3), ..ListRegions::default() };
        let first = find(&directory, &list, None, 7);
        let (seal, now) = (Seal::new([1; 32]), Utc::now());
        let cursor = seal.close(first.next.as_ref().unwrap(), now).unwrap();
        let mark = Mark::open(&cursor, &question(&list), &seal, now).unwrap();
        assert_eq!(mark.version, 7);
        let second = find(&directory, &list, Some(&mark), 7);
        assert_eq!((first.regions.len(), ids(&second)), (3, vec!["ws-apia".to_owned()]));
        assert!(second.next.is_none());
        let other = ListRegions { country: Some("IT".into()), ..list };
        assert!(Mark::open(&cursor, &question(&other), &seal, now).is_err());
    }
}
