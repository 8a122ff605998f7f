//! Reading the parameters of region routes. Every error is `invalid-parameter` or `invalid-period` and says what would do.

use chrono::{DateTime, NaiveDate, Utc};

use super::request::{Bound, BoundingBox, Grain, Point, Window};
use crate::QueryError;

/// Days of the longest window.
pub const WINDOW_DAYS: u16 = 366;

impl Window {
    /// Reads `7d`. Errors: `invalid-parameter` outside 1 to 366 days.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let days = text.strip_suffix('d').filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()));
        days.and_then(|digits| digits.parse().ok())
            .and_then(Self::days)
            .ok_or_else(|| QueryError::parameter("window", format!("`window` is 1d to {WINDOW_DAYS}d")))
    }

    /// A window of so many local days; `None` outside 1 to 366.
    pub fn days(days: u16) -> Option<Self> {
        (1..=WINDOW_DAYS).contains(&days).then_some(Self(days))
    }

    /// Its length in local days.
    pub fn length(self) -> u16 {
        self.0
    }
}

impl Default for Window {
    fn default() -> Self {
        Self(7)
    }
}

impl Grain {
    /// Reads `hour`, `day`, `month` or `year`.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        match text {
            "hour" => Ok(Self::Hour),
            "day" => Ok(Self::Day),
            "month" => Ok(Self::Month),
            "year" => Ok(Self::Year),
            _ => Err(QueryError::parameter("grain", "`grain` is hour, day, month or year")),
        }
    }

    /// Reads `day`, `month` or `year`: what the market has.
    pub fn of_market(text: &str) -> Result<Self, QueryError> {
        match Self::parse(text) {
            Ok(grain) if grain != Self::Hour => Ok(grain),
            _ => Err(Self::not_of_market()),
        }
    }

    pub(super) fn not_of_market() -> QueryError {
        QueryError::parameter("grain", "`grain` is day, month or year")
    }

    /// The word, which is also the name of the row's time column (but `time` for hours).
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Year => "year",
        }
    }
}

impl Bound {
    /// Reads a day (`2026-01-31`) or an instant (RFC 3339).
    pub fn parse(name: &str, text: &str) -> Result<Self, QueryError> {
        if let Ok(day) = text.parse::<NaiveDate>() {
            return in_years(day, name).map(Self::Day);
        }
        let instant = instant(name, text).map_err(|_| {
            period(format!("`{name}` is a day (2026-01-31) or an instant (2026-01-31T00:00:00Z)"))
        })?;
        in_years(instant.date_naive(), name)?;
        Ok(Self::Instant(instant))
    }
}

/// Years the tables could speak of; anything else is a slip of the pen.
fn in_years(day: NaiveDate, name: &str) -> Result<NaiveDate, QueryError> {
    use chrono::Datelike;
    match (1800..=2200).contains(&day.year()) {
        true => Ok(day),
        false => Err(period(format!("`{name}` lies outside the years 1800 to 2200"))),
    }
}

impl BoundingBox {
    /// Reads `west,south,east,north` in degrees.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let wrong =
            || QueryError::parameter("bbox", "`bbox` is west,south,east,north in degrees, south below north");
        let [west, south, east, north] = degrees(text).ok_or_else(wrong)?;
        let fine = longitude(west) && longitude(east) && latitude(south) && latitude(north) && south <= north;
        fine.then_some(Self { west, south, east, north }).ok_or_else(wrong)
    }
}

impl Point {
    /// Reads `lon,lat` in degrees.
    pub fn parse(text: &str) -> Result<Self, QueryError> {
        let wrong = || QueryError::parameter("near", "`near` is lon,lat in degrees");
        let [lon, lat] = degrees(text).ok_or_else(wrong)?;
        (longitude(lon) && latitude(lat)).then_some(Self { lon, lat }).ok_or_else(wrong)
    }
}

fn degrees<const N: usize>(text: &str) -> Option<[f64; N]> {
    let numbers: Option<Vec<f64>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    numbers?.try_into().ok()
}

fn longitude(degrees: f64) -> bool {
    (-180.0..=180.0).contains(&degrees)
}

fn latitude(degrees: f64) -> bool {
    (-90.0..=90.0).contains(&degrees)
}

/// Reads an RFC 3339 instant. Errors: `invalid-parameter`.
pub fn instant(name: &str, text: &str) -> Result<DateTime<Utc>, QueryError> {
    DateTime::parse_from_rfc3339(text).map(|instant| instant.with_timezone(&Utc)).map_err(|_| {
        QueryError::parameter(name, format!("`{name}` is an instant such as 2026-01-31T00:00:00Z"))
    })
}

/// Reads a count of rows from 1 to `most`. Errors: `invalid-parameter`.
pub fn limit(text: &str, most: u64) -> Result<u64, QueryError> {
    let plain = text.bytes().all(|b| b.is_ascii_digit());
    let count = if plain { text.parse().ok() } else { None };
    count
        .filter(|count| (1..=most).contains(count))
        .ok_or_else(|| QueryError::parameter("limit", format!("`limit` is 1 to {most}")))
}

/// `invalid-period` with its reason.
pub(super) fn period(detail: impl Into<String>) -> QueryError {
    QueryError::InvalidPeriod { detail: detail.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_are_one_to_366_days() {
        assert_eq!(Window::parse("7d").unwrap().length(), 7);
        for wrong in ["0d", "367d", "7", "d", "+7d", "-1d", "7h", "", "99999999d", "7dd"] {
            assert!(Window::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn boxes_and_points_stay_on_the_globe() {
        assert!(BoundingBox::parse("170,-10,-170,10").is_ok(), "across the date line");
        for wrong in ["1,2,3", "1,2,3,4,5", "0,10,1,5", "0,0,181,1", "a,b,c,d", "NaN,0,1,1", ""] {
            assert!(BoundingBox::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Point::parse("9.9, 45.5").is_ok());
        assert!(Point::parse("0,91").is_err());
    }

    #[test]
    fn bounds_are_days_or_instants() {
        assert!(matches!(Bound::parse("from", "2026-01-31"), Ok(Bound::Day(_))));
        assert!(matches!(Bound::parse("from", "2026-01-31T10:00:00+01:00"), Ok(Bound::Instant(_))));
        for wrong in ["2026-02-30", "yesterday", "1e9", "0001-01-01", "9999-01-01", ""] {
            assert!(Bound::parse("from", wrong).is_err(), "{wrong}");
        }
    }
}
