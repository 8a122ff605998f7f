//! The archive by range of days: daily values for the years before, hours for days that were missed.
//!
//! A range is cut into calls of some regions and one year of days (or one month of hours). A call is a batch: a killed
//! backfill goes on with the next one. A few calls are on their way while one lands; what of them the raw area has already
//! when the process dies is read from there, so that nothing is asked twice but what was in the air.

use async_trait::async_trait;
use chrono::{DateTime, Datelike, Days, Months, NaiveDate, TimeDelta, Utc};
use identity::{RegionId, TableName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::ahead::{Ahead, Asking};
use super::batch::{Shared, arrived_at};
use super::call::Asked;
use super::curate::{archive_rows, hourly_rows};
use crate::publish::{Mode, Period, Split};
use crate::sources::raw::RawObject;
use crate::sources::{Batch, Place, Places, Source, SourceError, position};

/// Days or hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grain {
    Day,
    Hour,
}

/// Days to be filled, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: NaiveDate,
    pub to: NaiveDate,
}

/// A backfill of one range for every active region.
pub struct Archive {
    name: String,
    shared: Shared,
    places: Places,
    table: TableName,
    grain: Grain,
    range: Range,
    ahead: Ahead,
}

/// Which call of which backfill this was. Another range, or other regions, is another backfill and begins anew.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct At {
    range: Range,
    regions: usize,
    /// Calls done.
    done: usize,
    /// The days of this call.
    part: Range,
}

#[async_trait]
impl Source for Archive {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.table
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        let time = match self.grain {
            Grain::Day => "day",
            Grain::Hour => "time",
        };
        let split = Split { column: time.into(), period: Period::Month };
        (Mode::Upsert { key: vec!["region_id".into(), time.into()], unique: false }, Some(split))
    }

    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let places = self.places.active().await?;
        let calls = self.cut(&places);
        let done = self.done(after, places.len());
        let Some((_, part)) = calls.get(done) else { return Ok(None) };
        let at = At { range: self.range, regions: self.count(&calls), done: done + 1, part: *part };
        let asking = calls.iter().skip(done).map(|(places, part)| self.asking(places, *part));
        let Some(fetched) = self.ahead.next(&self.shared, n, asking, now).await? else { return Ok(None) };
        let came = fetched.first().map_or(now, |(object, _)| object.at);
        let curate =
            |schema: &_, regions: &[RegionId], answers| self.rows(schema, regions, answers, *part, came);
        let objects: Vec<RawObject> = fetched.iter().map(|(object, _)| object.clone()).collect();
        match self.shared.batch(json!(at), fetched, self.grain, &curate) {
            Ok(batch) => Ok(Some(batch)),
            Err(error) => {
                // Else the next try would find these answers kept, and ask nobody.
                self.shared.raw.unsign(n, &objects).await?;
                Err(error)
            }
        }
    }

    async fn replay(&self, at: Value, objects: Value) -> Result<Batch, SourceError> {
        let (part, came) = (position::<At>(&at)?.part, arrived_at(&objects)?);
        let curate =
            |schema: &_, regions: &[RegionId], answers| self.rows(schema, regions, answers, part, came);
        self.shared.replay(at, objects, self.grain, &curate).await
    }
}

impl Archive {
    /// A backfill of a range, by `<source>.archive` (days) or `<source>.backfill` (hours).
    pub fn new(shared: Shared, places: Places, table: TableName, grain: Grain, range: Range) -> Self {
        let part = match grain {
            Grain::Day => "archive",
            Grain::Hour => "backfill",
        };
        let (name, ahead) = (format!("{}.{part}", shared.source), Ahead::default());
        Self { name, shared, places, table, grain, range, ahead }
    }

    /// How many calls of this backfill are done after position `after`, and how many it needs.
    pub async fn calls(&self, after: Option<&Value>) -> Result<(usize, usize), SourceError> {
        let places = self.places.active().await?;
        Ok((self.done(after, places.len()), self.cut(&places).len()))
    }

    /// How many calls of this very backfill the position says are done.
    fn done(&self, after: Option<&Value>, regions: usize) -> usize {
        let at = after.and_then(|at| position::<At>(at).ok());
        at.filter(|at| at.range == self.range && at.regions == regions).map_or(0, |at| at.done)
    }

    fn cut<'a>(&self, places: &'a [Place]) -> Vec<(&'a [Place], Range)> {
        let parts = parts(self.range, self.grain);
        let groups = places.chunks(self.shared.locations_per_request.max(1));
        groups.flat_map(|group| parts.iter().map(move |part| (group, *part))).collect()
    }

    fn count(&self, calls: &[(&[Place], Range)]) -> usize {
        let first = calls.first().map(|(_, part)| *part);
        calls.iter().filter(|(_, part)| Some(*part) == first).map(|(places, _)| places.len()).sum()
    }

    fn folder(&self) -> &'static str {
        match self.grain {
            Grain::Day => "archive",
            Grain::Hour => "archive/hourly",
        }
    }

    fn asking(&self, places: &[Place], part: Range) -> Asking {
        let asked = match self.grain {
            Grain::Day => Asked::Days { from: part.from, to: part.to },
            Grain::Hour => Asked::Hours { from: part.from, to: part.to },
        };
        Asking { folder: self.folder(), asked, places: places.to_vec() }
    }

    fn rows(
        &self,
        schema: &arrow::datatypes::SchemaRef,
        regions: &[RegionId],
        answers: Vec<super::answer::Answer>,
        part: Range,
        came: DateTime<Utc>,
    ) -> Result<(arrow::array::RecordBatch, crate::sources::Touched), SourceError> {
        let midnight = |day: NaiveDate| day.and_time(chrono::NaiveTime::MIN).and_utc();
        match self.grain {
            Grain::Day => archive_rows(schema, regions, answers, (part.from, part.to), came),
            Grain::Hour => {
                let last = (midnight(part.to) + TimeDelta::hours(23)).min(came);
                hourly_rows(schema, regions, answers, (midnight(part.from), last), came)
            }
        }
    }
}

/// A range in calendar years (days) or months (hours).
fn parts(range: Range, grain: Grain) -> Vec<Range> {
    let mut parts = Vec::new();
    let mut from = range.from;
    while from <= range.to {
        let next = match grain {
            Grain::Day => NaiveDate::from_ymd_opt(from.year() + 1, 1, 1),
            Grain::Hour => from.with_day(1).and_then(|first| first.checked_add_months(Months::new(1))),
        };
        let last = next.and_then(|next| next.checked_sub_days(Days::new(1))).unwrap_or(range.to);
        parts.push(Range { from, to: last.min(range.to) });
        let Some(next) = next else { break };
        from = next;
    }
    parts
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_is_cut_without_gap_or_overlap() {
        let range = Range { from: day("2011-11-20"), to: day("2026-11-19") };
        for grain in [Grain::Day, Grain::Hour] {
            let parts = parts(range, grain);
            assert_eq!((parts[0].from, parts[parts.len() - 1].to), (range.from, range.to));
            for pair in parts.windows(2) {
                assert_eq!(pair[0].to.succ_opt().unwrap(), pair[1].from);
            }
        }
        assert_eq!(parts(range, Grain::Day).len(), 16);
        assert!(parts(Range { from: day("2026-01-02"), to: day("2026-01-01") }, Grain::Day).is_empty());
    }
}
