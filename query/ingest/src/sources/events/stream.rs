//! The log as a source: what came since the last batch becomes the next one.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, TimestampMicrosecondArray};
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use identity::{RegionId, TableName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Event, Log, Logged};
use crate::publish::{Mode, Split};
use crate::sources::{Atlas, Batch, Places, Source, SourceError, Spellings, Touched, position};

/// Source D in embedded mode.
pub struct Stream {
    pub name: String,
    pub log: Log,
    pub table: TableName,
    pub schema: SchemaRef,
    pub events_per_batch: usize,
    pub places: Places,
    pub spellings: Spellings,
}

/// A batch is a range of the log; the range is also all that is needed to make it again.
#[derive(Serialize, Deserialize)]
struct At {
    from: i64,
    to: i64,
}

#[async_trait]
impl Source for Stream {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.table
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        // The log has dropped repeated ids already.
        (Mode::Append, None)
    }

    async fn next(
        &self,
        _n: i64,
        after: Option<&Value>,
        _now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let last = after.map(position::<At>).transpose()?.map_or(0, |at| at.to);
        let logged = self.log.after(last, self.events_per_batch).await?;
        if logged.is_empty() { Ok(None) } else { self.batch(&logged).await.map(Some) }
    }

    async fn replay(&self, at: Value, _objects: Value) -> Result<Batch, SourceError> {
        let at = position::<At>(&at)?;
        self.batch(&self.log.between(at.from, at.to).await?).await
    }
}

impl Stream {
    async fn batch(&self, logged: &[Logged]) -> Result<Batch, SourceError> {
        let at = At {
            from: logged.first().map_or(0, |e| e.position),
            to: logged.last().map_or(0, |e| e.position),
        };
        let (zones, atlas) = (zones_of(&self.places).await?, self.spellings.now().await?);
        let (rows, touched) = rows(&self.schema, logged, &zones, &atlas)?;
        Ok(Batch { position: json!(at), objects: json!({ "log": at }), rows: vec![rows], touched })
    }
}

/// The time zones of active regions. The days of the others are in UTC until their point is known.
pub(in crate::sources) type Zones = HashMap<RegionId, Tz>;

/// Rows of `market.events`; `ingested_at` is when each event was acknowledged.
pub(in crate::sources) fn rows(
    schema: &SchemaRef,
    logged: &[Logged],
    zones: &Zones,
    atlas: &Atlas,
) -> Result<(RecordBatch, Touched), SourceError> {
    let wrong = |e: serde_json::Error| SourceError::refused(format!("an event of the log: {e}"));
    let events: Vec<Event> =
        logged.iter().map(|e| serde_json::from_str(&e.event)).collect::<Result<_, _>>().map_err(wrong)?;
    let received = logged.iter().map(|e| e.received_at_ms * 1_000).collect();
    table_rows(schema, &events, received, zones, atlas)
}

/// Rows of `market.events` from events and the instants, in microseconds, at which each was taken.
pub(in crate::sources) fn table_rows(
    schema: &SchemaRef,
    events: &[Event],
    received_us: Vec<i64>,
    zones: &Zones,
    atlas: &Atlas,
) -> Result<(RecordBatch, Touched), SourceError> {
    let regions = events.iter().map(|e| atlas.settle(&e.region_id)).collect::<Result<Vec<_>, _>>();
    let regions = regions.map_err(|e| SourceError::refused(e.to_string()))?;
    let text = |get: fn(&Event) -> &str| -> ArrayRef {
        Arc::new(events.iter().map(|e| Some(get(e))).collect::<StringArray>())
    };
    let number = |get: fn(&Event) -> Option<f64>| -> ArrayRef {
        Arc::new(events.iter().map(get).collect::<Float64Array>())
    };
    let instants = |micros: Vec<i64>| -> ArrayRef {
        Arc::new(TimestampMicrosecondArray::from(micros).with_timezone("UTC"))
    };
    let columns = vec![
        text(|e| &e.event_id),
        instants(events.iter().map(|e| e.event_time.timestamp_micros()).collect()),
        Arc::new(regions.iter().map(|region| Some(region.as_str())).collect::<StringArray>()),
        number(|e| e.price),
        number(|e| e.interest),
        number(|e| e.lon),
        number(|e| e.lat),
        instants(received_us),
    ];
    Ok((RecordBatch::try_new(schema.clone(), columns)?, touched(events, &regions, zones)))
}

/// `regions`: those of the events, in their order.
fn touched(events: &[Event], regions: &[RegionId], zones: &Zones) -> Touched {
    let mut touched = Touched::default();
    for (event, region) in events.iter().zip(regions) {
        let zone = zones.get(region).copied().unwrap_or(Tz::UTC);
        touched.add(region, event.event_time.with_timezone(&zone).date_naive());
    }
    touched
}

/// The time zones of the regions that are active now.
pub(in crate::sources) async fn zones_of(places: &Places) -> Result<Zones, SourceError> {
    let places = places.active().await?;
    Ok(places.iter().map(|p| (p.region.clone(), p.timezone)).collect())
}
