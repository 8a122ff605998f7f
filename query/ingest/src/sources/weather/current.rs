//! The hours as they become known: asked for at each full hour, from the last hour that is there.

use async_trait::async_trait;
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use identity::TableName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::archive::Grain;
use super::batch::{Call, Shared, arrived_at};
use super::call::{Asked, Endpoint};
use super::curate::hourly_rows;
use crate::publish::{Mode, Period, Split};
use crate::sources::{Batch, Places, Source, SourceError, position};

/// How far back the current hours may be asked for after a long silence.
const REACH_DAYS: i64 = 90;

/// Current hours of every active region.
pub struct Current {
    name: String,
    shared: Shared,
    places: Places,
    table: TableName,
}

impl Current {
    pub fn new(shared: Shared, places: Places, table: TableName) -> Self {
        Self { name: format!("{}.current", shared.source), shared, places, table }
    }
}

/// The last full hour that was asked for, and the first day of that call.
#[derive(Serialize, Deserialize)]
struct At {
    hour: DateTime<Utc>,
    from: DateTime<Utc>,
}

#[async_trait]
impl Source for Current {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.table
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        let key = vec!["region_id".into(), "time".into()];
        let split = Split { column: "time".into(), period: Period::Month };
        (Mode::Upsert { key, unique: false }, Some(split))
    }

    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let Ok(hour) = now.duration_trunc(TimeDelta::hours(1)) else { return Ok(None) };
        let last = after.map(position::<At>).transpose()?;
        let places = self.places.active().await?;
        if places.is_empty() || last.as_ref().is_some_and(|last| last.hour >= hour) {
            return Ok(None);
        }
        // Whole days again: a value that was corrected, or missing an hour ago, comes in; and hours share a file.
        let since =
            last.map_or(now - TimeDelta::days(1), |last| last.hour).max(now - TimeDelta::days(REACH_DAYS));
        let from = since.date_naive().and_time(chrono::NaiveTime::MIN).and_utc();
        let asked = Asked::Hours { from: from.date_naive(), to: hour.date_naive() };
        let call = Call { endpoint: Endpoint::Forecast, folder: "current", asked };
        let fetched = self.shared.fetch(&call, n, &places, now).await?;
        let curate =
            |schema: &_, regions: &[_], answers| hourly_rows(schema, regions, answers, (from, hour), now);
        self.shared.batch(json!(At { hour, from }), fetched, Grain::Hour, &curate).map(Some)
    }

    async fn replay(&self, at: Value, objects: Value) -> Result<Batch, SourceError> {
        let (span, ingested_at) = (position::<At>(&at)?, arrived_at(&objects)?);
        let curate = |schema: &_, regions: &[_], answers| {
            hourly_rows(schema, regions, answers, (span.from, span.hour), ingested_at)
        };
        self.shared.replay(at, objects, Grain::Hour, &curate).await
    }
}
