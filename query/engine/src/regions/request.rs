//! What can be asked about regions, with every default already filled in by the caller.

use chrono::{DateTime, NaiveDate, Utc};
use identity::RegionId;

/// One question of a region route. All of them answer JSON; series answer every [`crate::Format`].
#[derive(Clone, Debug)]
pub enum RegionQuery {
    List(ListRegions),
    Find { region: RegionId },
    Summary { region: RegionId, window: Window, as_of: Option<DateTime<Utc>> },
    Summaries { pick: Pick, window: Window, as_of: Option<DateTime<Utc>> },
    Weather(SeriesQuery),
    Market(SeriesQuery),
    Forecast { region: RegionId, as_of: Option<DateTime<Utc>>, fields: Option<Vec<String>> },
}

/// Filters of the region list; all given ones hold together.
#[derive(Clone, Debug, Default)]
pub struct ListRegions {
    pub bbox: Option<BoundingBox>,
    pub near: Option<Point>,
    /// ISO 3166-1 alpha-2, any case.
    pub country: Option<String>,
    /// Part of the name or of the id, any case.
    pub q: Option<String>,
    /// 1 to 1 000; 100 if absent.
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// Degrees, WGS 84; `west > east` crosses the date line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BoundingBox {
    pub west: f64,
    pub south: f64,
    pub east: f64,
    pub north: f64,
}

/// Degrees, WGS 84.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    pub lon: f64,
    pub lat: f64,
}

/// Which regions a call over many means: by name, by country, or all.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    /// At most 1 000 names; an unknown one refuses the whole call.
    pub regions: Option<Vec<RegionId>>,
    pub country: Option<String>,
    /// Applies without `regions`: 1 to 1 000; 100 if absent.
    pub limit: Option<u32>,
    pub cursor: Option<String>,
}

/// `window=Nd`: 1 to 366 local days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub(super) u16);

/// `grain=`: the length of a row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Grain {
    Hour,
    #[default]
    Day,
    Month,
    Year,
}

/// An end of a period: a local day of the region, or (for hours) an instant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bound {
    Day(NaiveDate),
    Instant(DateTime<Utc>),
}

/// Rows of `[from, to)`; an absent end is open. Without both ends, hours are those of the last 30 days with data.
#[derive(Clone, Debug)]
pub struct SeriesQuery {
    pub regions: Of,
    pub from: Option<Bound>,
    pub to: Option<Bound>,
    pub grain: Grain,
    /// Columns to answer, in this order, beside the row's time; all if absent.
    pub fields: Option<Vec<String>>,
    pub as_of: Option<DateTime<Utc>>,
}

/// One region (rows without `region_id`) or several (rows with it).
#[derive(Clone, Debug)]
pub enum Of {
    One(RegionId),
    Many(Vec<RegionId>),
}
