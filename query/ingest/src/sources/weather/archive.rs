//! The archive by range of days: daily values for the years before, hours for days that were missed.
//!
//! What is lacking of a range is cut into calls of some regions and one year of days (or one month of hours). A call is a
//! batch, and the rows of the batches say what is there: a killed backfill goes on with what is left. A few calls are on
//! their way while one lands; what of them the raw area has already when the process dies is read from there, so that
//! nothing is asked twice but what was in the air.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::{cast, max};
use arrow::datatypes::{DataType, Date32Type};
use async_trait::async_trait;
use catalog::Batches;
use chrono::{DateTime, Days, NaiveDate, TimeDelta, Utc};
use identity::{JobId, RegionId, TableName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use super::ahead::{Ahead, Asking, CALLS};
use super::batch::{Shared, arrived_at, regions, stored};
use super::call::Asked;
use super::covered::Covered;
use super::curate::{archive_rows, hourly_rows};
use super::plan::Plan;
use crate::publish::{Mode, Period, Split};
use crate::sources::raw::RawObject;
use crate::sources::{Batch, Place, Places, Source, SourceError, position};

/// How far behind today an archive may be: days that it has nothing of are asked for again.
const BEHIND: Days = Days::new(10);
/// Batch rows read at a time.
const PAGE: i64 = 500;

/// Days or hours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Grain {
    Day,
    Hour,
}

/// Days to be filled, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Range {
    pub from: NaiveDate,
    pub to: NaiveDate,
}

/// What a backfill is to fill.
#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub range: Range,
    /// The job that does it; begun anew, it goes on where it was.
    pub run: Option<JobId>,
    /// Also what is there already, unless this job asked for it.
    pub again: bool,
}

/// A backfill of one range for every active region.
pub struct Archive {
    name: String,
    shared: Shared,
    batches: Batches,
    places: Places,
    table: TableName,
    grain: Grain,
    wanted: Wanted,
    run: JobId,
    plan: Mutex<Plan>,
    /// The batch that the first call of the plan was given out as: landed when the next one is asked for.
    given: parking_lot::Mutex<Option<i64>>,
    ahead: Ahead,
}

/// What a call was about; its regions are told by the raw objects of its batch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct At {
    /// The days of this call.
    part: Range,
    /// From this day on another backfill asks again.
    #[serde(default)]
    late: Option<NaiveDate>,
    /// Whose call it was.
    #[serde(default)]
    run: Option<JobId>,
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
        _after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let calls = self.calls(n).await?;
        let Some(part) = calls.first().map(|(part, _)| *part) else { return Ok(None) };
        let asking = calls.into_iter().map(|(part, places)| self.asking(places, part));
        let Some(fetched) = self.ahead.next(&self.shared, n, asking, now).await? else { return Ok(None) };
        let came = fetched.first().map_or(now, |(object, _)| object.at);
        let curate =
            |schema: &_, regions: &[RegionId], answers| self.rows(schema, regions, answers, part, came);
        let objects: Vec<RawObject> = fetched.iter().map(|(object, _)| object.clone()).collect();
        match self.shared.batch(Value::Null, fetched, self.grain, &curate) {
            Ok(batch) => {
                // Days are local ones, and the last place on earth is twelve hours behind.
                let behind = TimeDelta::hours(if self.grain == Grain::Day { 12 } else { 0 });
                let late = late(part, (came - behind).date_naive(), last_day(&batch.rows)?);
                let at = At { part, late, run: Some(self.run) };
                *self.given.lock() = Some(n);
                Ok(Some(Batch { position: json!(at), ..batch }))
            }
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
    /// A backfill, by `<source>.archive` (days) or `<source>.backfill` (hours).
    pub fn new(
        shared: Shared,
        batches: Batches,
        places: Places,
        table: TableName,
        grain: Grain,
        wanted: Wanted,
    ) -> Self {
        let part = match grain {
            Grain::Day => "archive",
            Grain::Hour => "backfill",
        };
        let (name, ahead) = (format!("{}.{part}", shared.source), Ahead::default());
        // Without a job it is a run of its own: what it asked for it does not ask for twice.
        let run = wanted.run.unwrap_or_else(JobId::new);
        let (plan, given) = (Mutex::default(), parking_lot::Mutex::default());
        Self { name, shared, batches, places, table, grain, wanted, run, plan, given, ahead }
    }

    /// Makes the plan: the calls for what no batch of this source is about.
    /// - Errors: those of the catalog and of the regions table.
    pub async fn look(&self) -> Result<(), SourceError> {
        let mut plan = self.plan.lock().await;
        *self.given.lock() = None;
        self.look_into(&mut plan).await
    }

    /// How many calls of this backfill are made, and how many are left.
    pub async fn progress(&self) -> (usize, usize) {
        let plan = self.plan.lock().await;
        let given = usize::from(self.given.lock().is_some());
        (plan.made + given, plan.left().saturating_sub(given))
    }

    async fn look_into(&self, plan: &mut Plan) -> Result<(), SourceError> {
        let (covered, places) = (self.covered().await?, self.places.active().await?);
        let (wanted, most) = ((self.wanted.range, self.grain), self.shared.locations_per_request);
        let made = plan.made;
        *plan = Plan::new(places, &covered, wanted, most);
        plan.made = made;
        Ok(())
    }

    /// What the batches of this source are about, page by page of their rows.
    async fn covered(&self) -> Result<Covered, SourceError> {
        let (mut covered, mut last) = (Covered::default(), 0);
        loop {
            let page = self.batches.after(&self.name, last, PAGE).await?;
            let Some(end) = page.last().map(|batch| batch.n) else { return Ok(covered) };
            for batch in page.into_iter().filter(|batch| batch.published_at.is_some()) {
                let at = position::<At>(&batch.position)?;
                let Some(days) = settled(&at, self.run, self.wanted.again) else { continue };
                for object in stored(batch.objects)? {
                    regions(&object)?.iter().for_each(|region| covered.add(region, days));
                }
            }
            last = end;
        }
    }

    /// The calls from that of batch `n` on. The former one is made once a later number is asked for; the same number
    /// has the same call again. When all are made, regions may have become active meanwhile.
    async fn calls(&self, n: i64) -> Result<Vec<(Range, Vec<Place>)>, SourceError> {
        let mut plan = self.plan.lock().await;
        if self.given.lock().take_if(|given| *given < n).is_some() {
            plan.advance();
        }
        if plan.left() == 0 {
            self.look_into(&mut plan).await?;
        }
        Ok(plan.next(CALLS))
    }

    fn folder(&self) -> &'static str {
        match self.grain {
            Grain::Day => "archive",
            Grain::Hour => "archive/hourly",
        }
    }

    fn asking(&self, places: Vec<Place>, part: Range) -> Asking {
        let asked = match self.grain {
            Grain::Day => Asked::Days { from: part.from, to: part.to },
            Grain::Hour => Asked::Hours { from: part.from, to: part.to },
        };
        Asking { folder: self.folder(), asked, places }
    }

    fn rows(
        &self,
        schema: &arrow::datatypes::SchemaRef,
        regions: &[RegionId],
        answers: Vec<super::answer::Answer>,
        part: Range,
        came: DateTime<Utc>,
    ) -> Result<(RecordBatch, crate::sources::Touched), SourceError> {
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

/// The first day of a call that another backfill asks for again: it was not over, or the archive may have it later.
fn late(part: Range, today: NaiveDate, last: Option<NaiveDate>) -> Option<NaiveDate> {
    let soon = today.checked_sub_days(BEHIND).unwrap_or(today);
    let lacking = last.and_then(|last| last.succ_opt()).map_or(soon, |next| next.max(soon));
    let first = lacking.min(today);
    (first <= part.to).then(|| first.max(part.from))
}

/// The days of a batch that need not be asked for again by this run; a range that ends before it begins is none.
fn settled(at: &At, run: JobId, again: bool) -> Option<Range> {
    match at.late {
        _ if at.run == Some(run) => Some(at.part),
        _ if again => None,
        Some(late) => late.pred_opt().map(|to| Range { from: at.part.from, to: to.min(at.part.to) }),
        None => Some(at.part),
    }
}

/// The last UTC day that rows have; their second column is the time.
fn last_day(rows: &[RecordBatch]) -> Result<Option<NaiveDate>, SourceError> {
    let mut last: Option<i32> = None;
    for batch in rows {
        let days = cast(batch.column(1), &DataType::Date32)?;
        last = last.max(max(days.as_primitive::<Date32Type>()));
    }
    Ok(last.and_then(Date32Type::to_naive_date_opt))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(text: &str) -> NaiveDate {
        format!("2026-03-{text}").parse().unwrap()
    }

    fn days(from: &str, to: &str) -> Range {
        Range { from: day(from), to: day(to) }
    }

    #[test]
    fn recent_days_are_late_while_they_are_not_over_or_the_archive_lacks_them() {
        let (march, today) = (days("01", "20"), day("20"));
        // All is there but the day that is not over.
        assert_eq!(late(march, today, Some(day("20"))), Some(day("20")));
        assert_eq!(late(march, today, Some(day("19"))), Some(day("20")));
        // The archive is behind, by less and by more than it ever is.
        assert_eq!(late(march, today, Some(day("15"))), Some(day("16")));
        assert_eq!(late(march, today, Some(day("02"))), Some(day("10")));
        assert_eq!(late(march, today, None), Some(day("10")));
        assert_eq!(late(days("15", "20"), today, None), Some(day("15")));
        // Days that are over, and there or long past.
        assert_eq!(late(days("01", "19"), today, Some(day("19"))), None);
        assert_eq!(late(days("01", "09"), today, None), None);
        assert_eq!(late(days("25", "28"), today, None), Some(day("25")));
    }

    #[test]
    fn late_days_are_not_settled_but_for_the_run_that_asked() {
        let (mine, other) = (JobId::new(), JobId::new());
        let at = |late: Option<&str>| At { part: days("01", "20"), late: late.map(day), run: Some(mine) };
        assert_eq!(settled(&at(Some("16")), mine, false), Some(days("01", "20")));
        assert_eq!(settled(&at(Some("16")), other, false), Some(days("01", "15")));
        assert_eq!(settled(&at(None), other, false), Some(days("01", "20")));
        let none = settled(&at(Some("01")), other, false).unwrap();
        assert!(none.to < none.from);
        assert_eq!(settled(&at(None), mine, true), Some(days("01", "20")));
        assert_eq!(settled(&at(None), other, true), None);
    }

    #[test]
    fn a_position_of_before_is_read() {
        let part = json!({"from": "2026-03-01", "to": "2026-03-20"});
        let at: At = position(&json!({"range": part, "regions": 3, "done": 1, "part": part})).unwrap();
        assert_eq!(at, At { part: days("01", "20"), late: None, run: None });
    }
}
