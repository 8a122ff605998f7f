//! Forecasts of the next 7 days; every issue is kept, so that "what was known then" can be asked.

use async_trait::async_trait;
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use identity::TableName;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::answer::Answer;
use super::archive::Grain;
use super::batch::{Call, Shared};
use super::call::{Asked, Endpoint};
use super::curate::{forecast_rows, of_this_issue};
use crate::publish::{Mode, Split};
use crate::sources::{Batch, Place, Places, Source, SourceError, position};

const DAYS: u32 = 7;

/// Forecasts of every active region, some regions an issue where there are very many.
pub struct Forecast {
    name: String,
    shared: Shared,
    places: Places,
    table: TableName,
    every: TimeDelta,
    /// Places in one issue; the others have their turn in the next. `None`: all.
    places_per_issue: Option<usize>,
}

/// When the last issue was fetched, and which place the next one begins with.
#[derive(Serialize, Deserialize)]
struct At {
    issued_at: DateTime<Utc>,
    next: usize,
}

#[async_trait]
impl Source for Forecast {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.table
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        (Mode::Append, None)
    }

    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let issued_at = now.trunc_subsecs(0);
        let last = after.map(position::<At>).transpose()?;
        let places = self.places.active().await?;
        if places.is_empty()
            || last.as_ref().is_some_and(|last| self.turn_of(last.issued_at) >= self.turn_of(now))
        {
            return Ok(None);
        }
        let (places, next) = self.turn(&places, last.map_or(0, |last| last.next));
        let asked = Asked::Forecast { days: DAYS };
        let call = Call { endpoint: Endpoint::Forecast, folder: "forecast", asked };
        let fetched = self.shared.fetch(&call, n, &places, now).await?;
        let days = self.shared.client.service.foresees_days().then_some(DAYS);
        let curate = |schema: &_, regions: &[_], answers: Vec<Answer>| {
            of_this_issue(&answers, issued_at, days)?;
            forecast_rows(schema, regions, answers, issued_at)
        };
        self.shared.batch(json!(At { issued_at, next }), fetched, Grain::Hour, &curate).map(Some)
    }

    async fn replay(&self, at: Value, objects: Value) -> Result<Batch, SourceError> {
        let issued_at = position::<At>(&at)?.issued_at;
        let curate = |schema: &_, regions: &[_], answers| forecast_rows(schema, regions, answers, issued_at);
        self.shared.replay(at, objects, Grain::Hour, &curate).await
    }
}

impl Forecast {
    pub fn new(
        shared: Shared,
        places: Places,
        table: TableName,
        every: TimeDelta,
        places_per_issue: Option<usize>,
    ) -> Self {
        Self { name: format!("{}.forecast", shared.source), shared, places, table, every, places_per_issue }
    }

    /// Which issue a time belongs to: issues follow the clock, so a slow one does not delay those after it.
    fn turn_of(&self, time: DateTime<Utc>) -> i64 {
        time.timestamp().div_euclid(self.every.num_seconds().max(1))
    }

    /// The places of this issue, and where the next one begins.
    fn turn(&self, places: &[Place], from: usize) -> (Vec<Place>, usize) {
        let size = self.places_per_issue.unwrap_or(places.len()).min(places.len());
        let start = if from < places.len() { from } else { 0 };
        let mut turn: Vec<Place> = places.iter().cycle().skip(start).take(size).cloned().collect();
        turn.sort_by(|a, b| a.region.cmp(&b.region));
        (turn, (start + size) % places.len().max(1))
    }
}
