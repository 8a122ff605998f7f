//! The calls to a weather service: which places, which days, which variables.

use chrono::NaiveDate;
use url::Url;

use crate::sources::Place;

const HOURLY: &str = "temperature_2m,relative_humidity_2m,precipitation,wind_speed_10m";
const DAILY: &str = "temperature_2m_mean,temperature_2m_min,temperature_2m_max,precipitation_sum,\
                     wind_speed_10m_mean,relative_humidity_2m_mean";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Hours of whole UTC days, both ends included.
    Hours { from: NaiveDate, to: NaiveDate },
    /// Hours of the next days.
    Forecast { days: u32 },
    /// Local days of each place, both ends included.
    Days { from: NaiveDate, to: NaiveDate },
}

/// Which part of a service is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// Forecasts and the hours of the last days.
    Forecast,
    /// The past.
    Archive,
}

/// The address of one call for these places, in their order, in Open-Meteo's format.
pub fn url(base: &Url, places: &[Place], asked: Asked) -> Url {
    let list = |get: fn(&Place) -> String| places.iter().map(get).collect::<Vec<_>>().join(",");
    let mut url = base.clone();
    let mut query = url.query_pairs_mut();
    query.append_pair("latitude", &list(|p| p.lat.to_string()));
    query.append_pair("longitude", &list(|p| p.lon.to_string()));
    match asked {
        Asked::Hours { from, to } => {
            query.append_pair("hourly", HOURLY).append_pair("timezone", "GMT");
            query.append_pair("start_date", &from.to_string()).append_pair("end_date", &to.to_string());
        }
        Asked::Forecast { days } => {
            query.append_pair("hourly", HOURLY).append_pair("timezone", "GMT");
            query.append_pair("forecast_days", &days.to_string());
        }
        Asked::Days { from, to } => {
            query.append_pair("daily", DAILY).append_pair("timezone", &list(|p| p.timezone.to_string()));
            query.append_pair("start_date", &from.to_string()).append_pair("end_date", &to.to_string());
        }
    }
    drop(query);
    url
}

#[cfg(test)]
mod tests {
    use identity::RegionId;

    use super::*;

    #[test]
    fn many_places_are_one_call() {
        let place = |id: &str, lon, lat| Place {
            region: RegionId::parse(id).unwrap(),
            lon,
            lat,
            timezone: chrono_tz::America::New_York,
        };
        let places = [place("jfk", -73.7789, 40.6398), place("lga", -73.8726, 40.7772)];
        let day = NaiveDate::from_ymd_opt(2013, 3, 10).unwrap();
        let base = Url::parse("https://example.test/v1/archive").unwrap();
        let url = url(&base, &places, Asked::Days { from: day, to: day });
        let query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
        assert_eq!(query[0], ("latitude".into(), "40.6398,40.7772".into()));
        assert_eq!(query[3], ("timezone".into(), "America/New_York,America/New_York".into()));
        assert_eq!(query[4], ("start_date".into(), "2013-03-10".into()));
    }
}
