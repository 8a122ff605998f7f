//! How far the models are behind each source.
//!
//! The commit of a batch and the run of the models behind it are two steps; a kill may fall between them. A mark
//! (`models:<source>`, n) says up to which batch the models have run; at the start the batches after it are made
//! again, only to learn what they touched. A mark is written at most every half minute, because a run too many
//! gives the same rows.

use std::collections::HashMap;

use catalog::Catalog;
use chrono::{DateTime, TimeDelta, Utc};
use parking_lot::Mutex;
use serde_json::json;

use super::{Landed, Source, SourceError, Touched};

/// Batches looked at a time while catching up.
const PAGE: i64 = 500;

/// The marks of all sources.
pub struct Marks {
    catalog: Catalog,
    every: TimeDelta,
    written: Mutex<HashMap<String, DateTime<Utc>>>,
}

impl Marks {
    pub fn new(catalog: Catalog) -> Self {
        Self { catalog, every: TimeDelta::seconds(30), written: Mutex::default() }
    }

    /// The models have run for a batch. Errors: the catalog's.
    pub async fn ran(&self, landed: &Landed, now: DateTime<Utc>) -> Result<(), SourceError> {
        let due = |at: &DateTime<Utc>| now - *at >= self.every;
        if !self.written.lock().get(&landed.source).is_none_or(due) {
            return Ok(());
        }
        self.set(&landed.source, landed.n, now).await?;
        self.written.lock().insert(landed.source.clone(), now);
        Ok(())
    }

    /// What the batches touched that landed after the mark; the number of the last of them.
    pub async fn behind(&self, source: &dyn Source) -> Result<Option<(i64, Touched)>, SourceError> {
        let marked = self.catalog.batches().last(&mark(source.name())).await?;
        let mut last = marked.map_or(0, |m| m.n);
        let (mut found, mut touched) = (false, Touched::default());
        loop {
            let page = self.catalog.batches().after(source.name(), last, PAGE).await?;
            let Some(end) = page.last().map(|b| b.n) else { break };
            for batch in page.into_iter().filter(|b| b.published_at.is_some()) {
                touched.merge(&source.replay(batch.position, batch.objects).await?.touched);
                found = true;
            }
            last = end;
        }
        Ok(found.then_some((last, touched)))
    }

    /// Writes a mark. Errors: the catalog's.
    pub async fn set(&self, source: &str, n: i64, now: DateTime<Utc>) -> Result<(), SourceError> {
        let (batches, mark) = (self.catalog.batches(), mark(source));
        if batches.last(&mark).await?.is_some_and(|m| m.n >= n) {
            return Ok(());
        }
        batches.begin(&mark, n, &json!({}), &json!([]), now).await?;
        batches.done(&mark, n, now).await?;
        Ok(())
    }
}

fn mark(source: &str) -> String {
    format!("models:{source}")
}
