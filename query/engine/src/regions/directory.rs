//! All regions at one version of `geo.regions`, in memory: they are few, and every region route needs one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{Array, AsArray, Float64Array, Int64Array, StringArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use arrow::record_batch::RecordBatch;
use catalog::Moment;
use identity::RegionId;
use serde::Serialize;

use super::reader::Reader;
use super::tables::REGIONS;
use crate::QueryError;
use crate::sandbox::near::{did_you_mean, near};

/// One region as answers show it. `lon` and `lat` (degrees, WGS 84) are null while it is pending.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Region {
    pub region_id: RegionId,
    pub name: Option<String>,
    pub country: Option<String>,
    pub lon: Option<f64>,
    pub lat: Option<f64>,
    pub timezone: Option<String>,
    pub population: Option<i64>,
    pub status: Option<String>,
}

impl Region {
    pub fn pending(&self) -> bool {
        self.status.as_deref() == Some("pending")
    }
}

/// Regions ordered by id.
#[derive(Debug, Default)]
pub(super) struct Directory {
    pub regions: Vec<Region>,
    by_id: HashMap<RegionId, usize>,
}

impl Directory {
    pub fn new(regions: Vec<Region>) -> Self {
        let by_id = regions.iter().enumerate().map(|(at, region)| (region.region_id.clone(), at)).collect();
        Self { regions, by_id }
    }

    /// Errors: `unknown-region`, without a hint: that is looked for once, where the answer is made.
    pub fn find(&self, region: &RegionId) -> Result<&Region, QueryError> {
        let at = self.by_id.get(region).and_then(|at| self.regions.get(*at));
        at.ok_or_else(|| QueryError::UnknownRegion { region: region.to_string(), hint: String::new() })
    }

    /// The same error with the regions that an unknown one may have meant; any other stays as it is.
    pub fn explained(&self, error: QueryError) -> QueryError {
        match error {
            QueryError::UnknownRegion { region, .. } => {
                let known = self.regions.iter().map(|known| known.region_id.as_str());
                let hint = did_you_mean(&near(&region, known));
                QueryError::UnknownRegion { region, hint }
            }
            other => other,
        }
    }
}

/// The directories of the last few versions.
#[derive(Clone)]
pub(super) struct Directories {
    kept: moka::sync::Cache<i64, Arc<Directory>>,
    empty: Arc<Directory>,
}

impl Default for Directories {
    fn default() -> Self {
        Self { kept: moka::sync::Cache::new(16), empty: Arc::default() }
    }
}

impl Directories {
    /// The directory of `moment`, if it is in memory.
    pub fn known(&self, moment: &Moment) -> Option<Arc<Directory>> {
        match version(moment) {
            Some(version) => self.kept.get(&version),
            None => Some(Arc::clone(&self.empty)),
        }
    }

    /// The directory of `moment`.
    pub async fn of(&self, moment: &Moment, reader: &Reader) -> Result<Arc<Directory>, QueryError> {
        match version(moment) {
            Some(version) => self.at(moment, version, reader).await,
            None => Ok(Arc::clone(&self.empty)),
        }
    }

    /// The directory at another version of the same table.
    pub async fn at(
        &self,
        moment: &Moment,
        version: i64,
        reader: &Reader,
    ) -> Result<Arc<Directory>, QueryError> {
        if let Some(known) = self.kept.get(&version) {
            return Ok(known);
        }
        let Some(table) = moment.table(&REGIONS) else {
            return Ok(Arc::clone(&self.empty));
        };
        let snapshot = reader.snapshot(&table, version).await?;
        let batches =
            reader.rows(&table, snapshot, "regions", include_str!("regions.sql"), Vec::new()).await?;
        let read: Result<Vec<_>, QueryError> = batches.iter().map(read).collect();
        let directory = Arc::new(Directory::new(read?.concat()));
        self.kept.insert(version, Arc::clone(&directory));
        Ok(directory)
    }
}

fn version(moment: &Moment) -> Option<i64> {
    moment.table_ref(&REGIONS)?.version
}

/// The columns of a batch by position, as `regions.sql` lists them.
struct Columns {
    texts: Vec<StringArray>,
    lon: Float64Array,
    lat: Float64Array,
    population: Int64Array,
}

fn read(batch: &RecordBatch) -> Result<Vec<Region>, QueryError> {
    let text = |at: usize| -> Result<StringArray, QueryError> {
        let plain = arrow::compute::cast(batch.column(at), &DataType::Utf8).map_err(QueryError::engine)?;
        Ok(plain.as_string::<i32>().clone())
    };
    let columns = Columns {
        texts: [0, 1, 2, 5, 7].into_iter().map(text).collect::<Result<_, _>>()?,
        lon: batch.column(3).as_primitive::<Float64Type>().clone(),
        lat: batch.column(4).as_primitive::<Float64Type>().clone(),
        population: batch.column(6).as_primitive::<Int64Type>().clone(),
    };
    // An id that no URL could carry is left out rather than failing every region route.
    Ok((0..batch.num_rows()).filter_map(|row| columns.region(row)).collect())
}

impl Columns {
    fn region(&self, row: usize) -> Option<Region> {
        let text = |at: usize| {
            let column = self.texts.get(at)?;
            column.is_valid(row).then(|| column.value(row).to_owned())
        };
        let degrees = |column: &Float64Array| {
            column.is_valid(row).then(|| column.value(row)).filter(|degrees| degrees.is_finite())
        };
        Some(Region {
            region_id: RegionId::parse(&text(0)?).ok()?,
            name: text(1),
            country: text(2),
            lon: degrees(&self.lon),
            lat: degrees(&self.lat),
            timezone: text(3),
            population: self.population.is_valid(row).then(|| self.population.value(row)),
            status: text(4),
        })
    }
}
