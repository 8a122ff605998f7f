//! Which raw files made a day of a table: those of the batches about the days that it rests on, through all models between.
//!
//! ```text
//! geo.facts 03-10 ─▶ weather.daily 03-10 ─▶ weather.hourly 03-08…03-12 ─▶ batches of c.current, c.backfill ─▶ raw objects
//! ```
//! A day's rows rest on no more than these, though a batch may be about more days. A table without days, such as the
//! regions, rests on everything that ever came, and is named among the inputs alone.

use std::collections::BTreeMap;

use catalog::{After, Batch};
use chrono::{DateTime, Days, NaiveDate, Utc};
use identity::TableName;
use serde_json::Value;

use super::weather::Range;
use super::{Arrivals, RawObject, Source, month_of};
use crate::models::{Model, Window};

/// Days more on both sides: an instant's UTC day is at most one off its local day, and a day of one reaches into two.
const MARGIN: Days = Days::new(2);

/// A batch behind a day, and its raw objects.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    pub source: String,
    pub batch: i64,
    pub at: DateTime<Utc>,
    pub objects: Vec<RawObject>,
    /// Of a stream: the positions of its events in the log, which keeps files of its own.
    pub log: Option<Value>,
}

type Span = (NaiveDate, NaiveDate);

impl Arrivals {
    /// The batches behind a day of a table: by source, the newest first.
    /// - Shape: at most `limit`, and where the next page goes on.
    /// - Errors: the catalog's.
    pub async fn origins(
        &self,
        table: &TableName,
        day: NaiveDate,
        mut after: Option<After>,
        limit: usize,
    ) -> Result<(Vec<Origin>, Option<After>), catalog::Error> {
        let mut origins: Vec<Origin> = Vec::new();
        for (source, span) in self.sources_behind(table, day) {
            if after.as_ref().is_some_and(|after| after.source > source) {
                continue;
            }
            let wanted = i64::try_from(limit + 1 - origins.len()).unwrap_or(1);
            let sources = [source];
            let found = self.0.catalog.batches().about(&sources, span, after.as_ref(), wanted).await?;
            origins.extend(found.into_iter().map(origin));
            if origins.len() > limit {
                break;
            }
            after = None;
        }
        let more = origins.len() > limit;
        origins.truncate(limit);
        let next = origins.last().filter(|_| more);
        let next = next.map(|last| After { source: last.source.clone(), n: last.batch });
        Ok((origins, next))
    }

    /// The sources that a day rests on, and which days of theirs.
    fn sources_behind(&self, table: &TableName, day: NaiveDate) -> BTreeMap<String, Span> {
        let mut spans: BTreeMap<TableName, Span> = BTreeMap::from([(table.clone(), (day, day))]);
        // In the order of the dependencies backwards, so that all that rests on a table is known when it is looked at.
        for model in self.0.lakefile.models.iter().rev() {
            let Some(span) = spans.get(&model.table).copied() else { continue };
            let dated = |name: &&TableName| self.0.lakefile.table(name).is_some_and(|t| t.dated().is_some());
            for input in model.upstream.iter().filter(dated) {
                let read = read_of(model, input, span);
                let known = spans.entry(input.clone()).or_insert(read);
                *known = (known.0.min(read.0), known.1.max(read.1));
            }
        }
        let none = Range { from: NaiveDate::MIN, to: NaiveDate::MIN };
        let archives = self.archives(none);
        let asked = self.0.entries.iter().map(|(name, entry)| (name.clone(), entry.source.table().clone()));
        let asked = asked.chain(archives.iter().map(|a| (a.name().to_owned(), a.table().clone())));
        asked.filter_map(|(name, fills)| Some((name, *spans.get(&fills)?))).collect()
    }
}

/// The days of an input that a model reads for these of its own.
fn read_of(model: &Model, input: &TableName, (first, last): Span) -> Span {
    let last = match model.window {
        Window::RegionMonth => last.checked_add_days(Days::new(31)).map_or(last, month_of),
        _ => last,
    };
    let back = Days::new(u64::from(model.lookback_days));
    let from = first.checked_sub_days(back).and_then(|day| day.checked_sub_days(MARGIN));
    let from = if model.carried.contains(input) { NaiveDate::MIN } else { from.unwrap_or(first) };
    (from, last.checked_add_days(MARGIN).unwrap_or(last))
}

fn origin(batch: Batch) -> Origin {
    let Batch { source, n, objects, began_at, published_at, .. } = batch;
    let log = objects.get("log").cloned();
    let objects = if log.is_some() { Value::Array(Vec::new()) } else { objects };
    let objects = serde_json::from_value(objects).unwrap_or_default();
    Origin { source, batch: n, at: published_at.unwrap_or(began_at), objects, log }
}
