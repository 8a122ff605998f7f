//! Making the answers the cache does not have.

use std::sync::Arc;

use arrow::compute::cast;
use arrow::datatypes::{DataType, FieldRef, Schema};
use arrow::record_batch::RecordBatch;
use chrono::{DateTime, TimeDelta, Utc};
use datafusion::scalar::ScalarValue;
use identity::RegionId;
use serde::Serialize;
use serde_json::json;

use super::basis::Basis;
use super::body::{self, Meta};
use super::directory::{Directory, Region};
use super::measures::{MARKET, Measure, WEATHER};
use super::request::{Grain, ListRegions, Of, RegionQuery, SeriesQuery, Window};
use super::store::micros;
use super::summary::{self, Parts, rfc3339};
use super::tables::{FORECAST, MARKET_DAILY, REGIONS, WEATHER_DAILY, WEATHER_HOURLY};
use super::{Regions, forecast, list, series, too_large, within_limits, write};
use crate::{Format, Page, QueryError};

/// Hours answered where no period is given.
const HOURS_SHOWN: TimeDelta = TimeDelta::days(30);

/// A region in a list, with its distance where a point was given.
#[derive(Serialize)]
struct Listed<'a> {
    #[serde(flatten)]
    region: &'a Region,
    #[serde(skip_serializing_if = "Option::is_none")]
    distance_km: Option<f64>,
}

impl Regions {
    /// Makes the answer of `query` on its `basis`.
    pub(super) async fn fill(
        &self,
        query: &RegionQuery,
        basis: Basis,
        directory: &Directory,
        format: Format,
        now: DateTime<Utc>,
    ) -> Result<Page, QueryError> {
        let page = match query {
            RegionQuery::List(list) => self.list(list, &basis, directory, query, now),
            RegionQuery::Find { .. } => {
                let meta = Meta::new(1, basis.footings.meta());
                body::page_of(&basis.tag, meta, directory.find(only(&basis)?)?)
            }
            RegionQuery::Summary { window, as_of, .. } => {
                self.summary(&basis, directory, *window, *as_of).await
            }
            RegionQuery::Summaries { window, as_of, .. } => {
                self.summaries(&basis, directory, *window, *as_of).await
            }
            RegionQuery::Weather(asked) if asked.grain == Grain::Hour => {
                self.hours(asked, &basis, directory, format).await
            }
            RegionQuery::Weather(asked) => self.series(asked, &basis, format, true).await,
            RegionQuery::Market(asked) => self.series(asked, &basis, format, false).await,
            RegionQuery::Forecast { as_of, fields, .. } => {
                self.forecast(&basis, *as_of, fields.as_deref(), format).await
            }
        };
        within_limits(page?)
    }

    fn list(
        &self,
        list: &ListRegions,
        basis: &Basis,
        directory: &Directory,
        query: &RegionQuery,
        now: DateTime<Utc>,
    ) -> Result<Page, QueryError> {
        let mark = query.mark(&self.seal, now)?;
        let current = basis.moment.table_ref(&REGIONS).and_then(|table| table.version);
        let version = mark.as_ref().map(|mark| mark.version).or(current).unwrap_or_default();
        let found = list::find(directory, list, mark.as_ref(), version);
        let next = found.next.map(|mark| self.seal.close(&mark, now)).transpose()?;
        let mut tables = basis.footings.meta();
        // A page of an older version says so.
        tables.iter_mut().for_each(|table| table.version = table.version.map(|_| version));
        let regions: Vec<_> =
            found.regions.into_iter().map(|(region, distance_km)| Listed { region, distance_km }).collect();
        body::page_of(&basis.tag, Meta::new(regions.len(), tables).listed(next), &regions)
    }

    async fn summary(
        &self,
        basis: &Basis,
        directory: &Directory,
        window: Window,
        as_of: Option<DateTime<Utc>>,
    ) -> Result<Page, QueryError> {
        let meta = Meta::new(1, basis.footings.meta()).at(as_of);
        let mut data = Vec::with_capacity(1536);
        self.summarise(basis, directory.find(only(basis)?)?, window, as_of.is_none(), &mut data).await?;
        body::page(&basis.tag, meta, |body| {
            body.extend_from_slice(&data);
            Ok(())
        })
    }

    async fn summaries(
        &self,
        basis: &Basis,
        directory: &Directory,
        window: Window,
        as_of: Option<DateTime<Utc>>,
    ) -> Result<Page, QueryError> {
        let meta = Meta::new(basis.regions.len(), basis.footings.meta()).listed(basis.next.clone()).at(as_of);
        let mut data = vec![b'['];
        for (at, region) in basis.regions.iter().enumerate() {
            if at > 0 {
                data.push(b',');
            }
            self.summarise(basis, directory.find(region)?, window, as_of.is_none(), &mut data).await?;
        }
        data.push(b']');
        body::page(&basis.tag, meta, |body| {
            body.extend_from_slice(&data);
            Ok(())
        })
    }

    /// Appends one region's summary to `out`.
    async fn summarise(
        &self,
        basis: &Basis,
        region: &Region,
        window: Window,
        keep: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), QueryError> {
        let id = &region.region_id;
        let weather = self.store.days(&basis.footing(&WEATHER_DAILY, id)?, id, keep).await?;
        let hour = self.store.latest_hour(&basis.footing(&WEATHER_HOURLY, id)?, id, keep).await?;
        let market = self.store.days(&basis.footing(&MARKET_DAILY, id)?, id, keep).await?;
        let parts = Parts {
            region,
            weather: weather.as_deref(),
            hour,
            market: market.as_deref(),
            currency: &self.currency,
            window,
        };
        serde_json::to_writer(out, &summary::summary(parts)?).map_err(QueryError::engine)
    }

    /// Days, months or years of weather or market.
    async fn series(
        &self,
        asked: &SeriesQuery,
        basis: &Basis,
        format: Format,
        weather: bool,
    ) -> Result<Page, QueryError> {
        let measures: &[Measure] = if weather { &WEATHER } else { &MARKET };
        let table = if weather { &*WEATHER_DAILY } else { &*MARKET_DAILY };
        let known = series::columns(asked.grain, measures);
        let picked = series::pick(asked.fields.as_deref(), &known)?;
        let between = series::days_between(asked.from, asked.to)?;
        let mut batches = Vec::with_capacity(basis.regions.len());
        for region in &basis.regions {
            if let Some(days) =
                self.store.days(&basis.footing(table, region)?, region, asked.as_of.is_none()).await?
            {
                let rows = series::rows(&days, measures, asked.grain, between, &picked)?;
                batches.push(with_region(rows, region, &asked.regions)?);
            }
            refuse_many(&batches)?;
        }
        let meta = match weather {
            true => units(basis, &batches, asked),
            false => meta(basis, &batches, asked).with("currency", &*self.currency),
        };
        encode(basis, meta, format, batches)
    }

    /// Hours of weather.
    async fn hours(
        &self,
        asked: &SeriesQuery,
        basis: &Basis,
        directory: &Directory,
        format: Format,
    ) -> Result<Page, QueryError> {
        let picked = series::pick(asked.fields.as_deref(), &series::HOURLY)?;
        let names: Vec<&str> = ["time"].iter().chain(&picked).copied().collect();
        let mut batches = Vec::new();
        for region in &basis.regions {
            for rows in self.hours_of(asked, basis, directory.find(region)?).await? {
                batches.push(with_region(series::project(&rows, &names)?, region, &asked.regions)?);
            }
            refuse_many(&batches)?;
        }
        encode(basis, units(basis, &batches, asked), format, batches)
    }

    async fn hours_of(
        &self,
        asked: &SeriesQuery,
        basis: &Basis,
        region: &Region,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let id = &region.region_id;
        let footing = basis.footing(&WEATHER_HOURLY, id)?;
        let Some((table, version)) = footing.pinned() else {
            return Ok(Vec::new());
        };
        let latest = self.store.latest_hour(&footing, id, asked.as_of.is_none()).await?;
        let Some(latest) = latest else {
            return Ok(Vec::new());
        };
        let end = latest.time + TimeDelta::microseconds(1);
        let to = asked.to.map_or(end, |to| series::instant_of(to, region));
        let shown = if asked.to.is_none() { end - HOURS_SHOWN } else { DateTime::UNIX_EPOCH };
        let from = asked.from.map_or(shown, |from| series::instant_of(from, region));
        series::in_order(from <= to || asked.to.is_none())?;
        let params = vec![ScalarValue::Utf8(Some(id.to_string())), micros(from), micros(to)];
        let snapshot = self.reader.snapshot(table, version).await?;
        self.reader.rows(table, snapshot, "hours", include_str!("weather_hourly.sql"), params).await
    }

    async fn forecast(
        &self,
        basis: &Basis,
        as_of: Option<DateTime<Utc>>,
        fields: Option<&[String]>,
        format: Format,
    ) -> Result<Page, QueryError> {
        let region = only(basis)?;
        let picked = series::pick(fields, &series::HOURLY)?;
        let names: Vec<&str> = ["valid_at"].iter().chain(&picked).copied().collect();
        let found = forecast::newest(&self.reader, &basis.footing(&FORECAST, region)?, region, as_of).await?;
        let issued = found.as_ref().map(|(issued, _)| rfc3339(*issued));
        let batches: Result<Vec<_>, _> =
            found.iter().map(|(_, rows)| series::project(rows, &names)).collect();
        let batches = batches?;
        let meta = Meta::new(count(&batches), basis.footings.meta()).listed(None).at(as_of);
        let meta = meta.with("issued_at", issued).with("units", hourly_units());
        encode(basis, meta, format, batches)
    }
}

impl Basis {
    /// The footing of one region in `table`: its own stamp, where the answer is about several.
    fn footing(
        &self,
        table: &identity::TableName,
        region: &RegionId,
    ) -> Result<super::tables::Footing, QueryError> {
        let mut footing = self.footings.get(table)?.clone();
        if let Some(table) = footing.table.as_ref().filter(|_| self.regions.len() > 1) {
            footing.stamp = self.moment.stamp(table.id, region);
        }
        Ok(footing)
    }
}

fn only(basis: &Basis) -> Result<&RegionId, QueryError> {
    basis.regions.first().ok_or_else(|| QueryError::parameter("regions", "no region is named"))
}

fn count(batches: &[RecordBatch]) -> usize {
    batches.iter().map(RecordBatch::num_rows).sum()
}

fn refuse_many(batches: &[RecordBatch]) -> Result<(), QueryError> {
    if count(batches) as u64 > crate::PAGE_ROWS { Err(too_large()) } else { Ok(()) }
}

/// Rows of several regions carry their region first.
fn with_region(rows: RecordBatch, region: &RegionId, regions: &Of) -> Result<RecordBatch, QueryError> {
    if matches!(regions, Of::One(_)) {
        return Ok(rows);
    }
    let region = write::constant(region.as_str(), rows.num_rows());
    let fields: Vec<FieldRef> = rows.schema().fields().iter().cloned().collect();
    let first = Arc::new(arrow::datatypes::Field::new("region_id", region.data_type().clone(), false));
    let schema = Schema::new([vec![first], fields].concat());
    let columns = [vec![region], rows.columns().to_vec()].concat();
    RecordBatch::try_new(Arc::new(schema), columns).map_err(QueryError::engine)
}

fn meta(basis: &Basis, batches: &[RecordBatch], asked: &SeriesQuery) -> Meta {
    let meta = Meta::new(count(batches), basis.footings.meta()).listed(None).at(asked.as_of);
    meta.with("grain", asked.grain.name())
}

fn units(basis: &Basis, batches: &[RecordBatch], asked: &SeriesQuery) -> Meta {
    meta(basis, batches, asked).with("units", hourly_units())
}

fn hourly_units() -> serde_json::Value {
    json!({"air_temperature": "degC", "precipitation": "mm", "wind_speed": "m/s", "relative_humidity": "%"})
}

fn encode(basis: &Basis, meta: Meta, format: Format, batches: Vec<RecordBatch>) -> Result<Page, QueryError> {
    if format == Format::Json {
        return body::page(&basis.tag, meta, |body| write::array(&batches, body));
    }
    let batches: Result<Vec<_>, _> = batches.iter().map(without_dictionaries).collect();
    let batches = batches?;
    let schema = batches.first().map_or_else(|| Arc::new(Schema::empty()), RecordBatch::schema);
    let bytes = crate::encode::encode(format, &schema, &batches, false).map_err(QueryError::engine)?;
    Ok(body::plain(&basis.tag, meta, format, bytes))
}

/// Readers of other formats get plain columns.
fn without_dictionaries(batch: &RecordBatch) -> Result<RecordBatch, QueryError> {
    let schema = batch.schema();
    let mut fields = Vec::with_capacity(batch.num_columns());
    let mut columns = Vec::with_capacity(batch.num_columns());
    for (field, column) in schema.fields().iter().zip(batch.columns()) {
        let kind = match field.data_type() {
            DataType::Dictionary(_, value) => value.as_ref().clone(),
            other => other.clone(),
        };
        columns.push(cast(column, &kind).map_err(QueryError::engine)?);
        fields.push(field.as_ref().clone().with_data_type(kind));
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns).map_err(QueryError::engine)
}
