//! The active regions of the lake: whom a weather service is asked about.

use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float64Type};
use catalog::Catalog;
use chrono_tz::Tz;
use datafusion::catalog::TableProvider;
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{col, lit};
use datafusion::prelude::SessionContext;
use identity::{RegionId, TableName};
use lake::{Lake, Location};
use parking_lot::Mutex;

use super::SourceError;

/// A region with a point.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    pub region: RegionId,
    /// WGS 84 degrees.
    pub lon: f64,
    pub lat: f64,
    pub timezone: Tz,
}

/// The version that was read, and its active places.
type Known = (Option<i64>, Arc<Vec<Place>>);

/// The regions table, read again only when it has a new version.
#[derive(Clone)]
pub struct Places {
    lake: Lake,
    catalog: Catalog,
    known: Arc<Mutex<Known>>,
}

impl Places {
    /// The regions of this lake.
    pub fn new(lake: Lake, catalog: Catalog) -> Self {
        Self { lake, catalog, known: Arc::default() }
    }

    /// Active regions, ascending by name.
    /// - Errors: [`SourceError::Raw`] when the lake cannot be read.
    pub async fn active(&self) -> Result<Arc<Vec<Place>>, SourceError> {
        let version = self.catalog.moment().table(&regions()).and_then(|t| t.version);
        if let (Some(at), places) = &*self.known.lock()
            && Some(*at) == version
        {
            return Ok(Arc::clone(places));
        }
        let Some((provider, version)) = self.table().await? else { return Ok(Arc::default()) };
        let places = read(provider).await.map_err(|e| SourceError::refused(format!("geo.regions: {e}")))?;
        let places = Arc::new(places);
        *self.known.lock() = (Some(version), Arc::clone(&places));
        Ok(places)
    }

    /// The regions table at the version readers are served; `None` before its first commit.
    async fn table(&self) -> Result<Option<(Arc<dyn TableProvider>, i64)>, SourceError> {
        served(&self.lake, &self.catalog, &regions()).await
    }
}

/// A table at the version readers are served, and that version; `None` before its first commit.
pub(super) async fn served(
    lake: &Lake,
    catalog: &Catalog,
    table: &TableName,
) -> Result<Option<(Arc<dyn TableProvider>, i64)>, SourceError> {
    let table = catalog.moment().table(table);
    let Some((table, version)) = table.and_then(|t| t.version.map(|v| (t, v))) else { return Ok(None) };
    let wrong = |_| SourceError::refused(format!("`{}` is no place in the lake", table.location));
    let location = Location::from_str(&table.location).map_err(wrong)?;
    let snapshot = lake.snapshot(&location, version).await?;
    Ok(Some((lake.provider(snapshot, &table.sort)?, version)))
}

fn regions() -> TableName {
    TableName::new("geo", "regions")
}

impl Places {
    /// All regions, pending ones too, ascending by name.
    /// - Errors: as [`Places::active`].
    pub async fn all(&self) -> Result<Vec<RegionId>, SourceError> {
        let Some(provider) = self.table().await?.map(|(provider, _)| provider) else { return Ok(Vec::new()) };
        names(provider).await.map_err(|e| SourceError::refused(format!("geo.regions: {e}")))
    }
}

async fn names(table: Arc<dyn TableProvider>) -> Result<Vec<RegionId>, DataFusionError> {
    let rows = SessionContext::new().read_table(table)?.select(vec![col("region_id")])?;
    let mut regions = Vec::new();
    for batch in rows.sort_by(vec![col("region_id")])?.collect().await? {
        let column = cast(batch.column(0), &DataType::Utf8)?;
        regions.extend(column.as_string::<i32>().iter().flatten().filter_map(|n| RegionId::parse(n).ok()));
    }
    Ok(regions)
}

async fn read(table: Arc<dyn TableProvider>) -> Result<Vec<Place>, DataFusionError> {
    let columns = ["region_id", "lon", "lat", "timezone"].map(col).to_vec();
    let rows = SessionContext::new().read_table(table)?.filter(col("status").eq(lit("active")))?;
    let batches = rows.select(columns)?.sort_by(vec![col("region_id")])?.collect().await?;
    let mut places = Vec::new();
    for batch in &batches {
        places.extend(places_of(batch)?);
    }
    Ok(places)
}

fn places_of(batch: &RecordBatch) -> Result<Vec<Place>, DataFusionError> {
    let (region, zone) = (cast(batch.column(0), &DataType::Utf8)?, cast(batch.column(3), &DataType::Utf8)?);
    let (region, zone) = (region.as_string::<i32>(), zone.as_string::<i32>());
    let (lon, lat) =
        (batch.column(1).as_primitive::<Float64Type>(), batch.column(2).as_primitive::<Float64Type>());
    let place = |row: usize| -> Option<Place> {
        let whole = lon.is_valid(row) && lat.is_valid(row) && zone.is_valid(row);
        let region = whole.then(|| RegionId::parse(region.value(row)).ok())??;
        let timezone = zone.value(row).parse().ok()?;
        Some(Place { region, lon: lon.value(row), lat: lat.value(row), timezone })
    };
    Ok((0..batch.num_rows()).filter_map(place).collect())
}
