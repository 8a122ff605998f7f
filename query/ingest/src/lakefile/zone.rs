//! The time zone of a point.
//!
//! The zone is never written down: it is derived from longitude and latitude by `tzf-rs`, whose simplified
//! borders (from OpenStreetMap's timezone-boundary-builder, ODbL) are 2.6 MB in the binary and are searched
//! where they lie, so that a look-up costs microseconds and no memory.

use std::sync::LazyLock;

use chrono_tz::Tz;
use tzf_rs::EmbeddedFinder;

static FINDER: LazyLock<EmbeddedFinder> = LazyLock::new(EmbeddedFinder::new);

/// A point that has no zone we know.
#[derive(Debug, thiserror::Error)]
#[error("no time zone is known for longitude {lon}, latitude {lat}")]
pub struct UnknownPoint {
    lon: f64,
    lat: f64,
}

/// The IANA zone of a point in WGS 84 degrees.
/// - Errors: [`UnknownPoint`] outside [-180, 180] x [-90, 90], or where the zone is not one `chrono-tz` knows.
pub fn zone_at(lon: f64, lat: f64) -> Result<Tz, UnknownPoint> {
    let unknown = UnknownPoint { lon, lat };
    if !(-180.0..=180.0).contains(&lon) || !(-90.0..=90.0).contains(&lat) {
        return Err(unknown);
    }
    FINDER.get_tz_name(lon, lat).parse().map_err(|_| unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_have_the_zones_of_their_countries() {
        let zones = [
            (9.93, 45.57, "Europe/Rome"),
            (-73.7789, 40.6398, "America/New_York"),
            (85.3, 27.7, "Asia/Kathmandu"),
            (151.2, -33.87, "Australia/Sydney"),
        ];
        for (lon, lat, zone) in zones {
            assert_eq!(zone_at(lon, lat).unwrap().name(), zone);
        }
    }

    #[test]
    fn a_point_off_the_globe_has_no_zone() {
        assert!(zone_at(200.0, 0.0).is_err());
        assert!(zone_at(f64::NAN, 0.0).is_err());
    }
}
