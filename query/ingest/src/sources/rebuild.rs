//! Every later area from the raw area again.
//!
//! ```text
//! all tables emptied ─▶ batches of all sources in the order they were published, each made again from its raw objects
//!                    ─▶ events of the logs, from the files that keep them ─▶ models, over what all of it touched
//! ```
//! The mapping that says what regions are called comes before all others, so that what landed is read by the words of today.
//! Else the rows are equal, `ingested_at` too: it is when the bytes came, which the manifests say. While it runs the tables are
//! not whole, so nobody may be served: the verb takes the folder for itself, on a shared catalog it begins only while no
//! node serves, and a server that finds such a job at work or cut short waits for its end before it is ready.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use catalog::Batch;
use chrono::{DateTime, NaiveDate, Utc};
use identity::TableName;

use super::events::{Keeper, Shelf, rows, table_rows};
use super::intake::{days, in_their_columns};
use super::mappings::PREFIX;
use super::weather::Range;
use super::{Arrivals, Progress, Source, SourceError, Touched};
use crate::publish::{Mode, Regions, Split, Write};

/// Batch rows read at a time.
const PAGE: i64 = 500;

/// A batch that landed, and its source.
struct Past {
    source: Arc<dyn Source>,
    batch: Batch,
}

impl Arrivals {
    /// Empties every table and fills it again from the raw area, then runs every model.
    /// - Shape: all tables of the lake.
    /// - Errors: the first batch that cannot be made again; calling again begins anew.
    pub async fn rebuild_from_raw(
        &self,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Vec<TableName>, SourceError> {
        self.has_all_raw()?;
        self.alone().await?;
        let mut turns = Vec::new();
        for entry in self.0.entries.values() {
            turns.push(entry.turn.lock().await);
        }
        for service in self.0.services.values() {
            turns.push(service.turn.lock().await);
        }
        for keeper in self.0.logs.values() {
            keeper.keep(0, now).await?;
        }
        let past = self.past().await?;
        let tables: Vec<TableName> = self.0.lakefile.tables.iter().map(|table| table.name.clone()).collect();
        for table in &tables {
            let nothing = Filled { rows: Vec::new(), mode: Mode::Overwrite, split: None, widen: false };
            self.fill(table, nothing, &Touched::default(), now).await?;
        }
        let changed = self.refill(past, progress, now).await?;
        self.0.owed.lock().clear();
        self.all_models(changed, now).await?;
        Ok(tables)
    }

    /// What landed in any table from raw objects, in the order it was published.
    async fn past(&self) -> Result<Vec<Past>, SourceError> {
        let today = Range { from: NaiveDate::MIN, to: NaiveDate::MIN };
        let archives = self.archives(today).into_iter().map(|archive| Arc::new(archive) as Arc<dyn Source>);
        let polled = self.0.entries.iter().filter(|(name, _)| !self.0.fronts.contains_key(*name));
        let polled = polled.map(|(_, entry)| Arc::clone(&entry.source));
        let mut past = Vec::new();
        for source in polled.chain(archives) {
            let mut last = 0;
            loop {
                let page = self.0.catalog.batches().after(source.name(), last, PAGE).await?;
                let Some(end) = page.last().map(|batch| batch.n) else { break };
                let landed = page.into_iter().filter(|batch| batch.published_at.is_some());
                past.extend(landed.map(|batch| Past { source: Arc::clone(&source), batch }));
                last = end;
            }
        }
        // What regions are called comes first: the others are read by the words of today. Where a clock went back, several
        // have the time at which it stood before.
        let spellings = self.0.lakefile.spellings.as_ref().map(|table| format!("{PREFIX}{table}"));
        let later = |past: &Past| spellings.as_deref() != Some(past.source.name());
        past.sort_by_key(|past| (later(past), past.batch.published_at, past.batch.began_at, past.batch.n));
        Ok(past)
    }

    async fn refill(
        &self,
        past: Vec<Past>,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<BTreeMap<TableName, Touched>, SourceError> {
        let mut changed: BTreeMap<TableName, Touched> = BTreeMap::new();
        let of = (past.len() + self.0.fronts.len()) as u64;
        let mut done = 0;
        for Past { source, batch } in past {
            let (one, Batch { position, objects, .. }) = (Arc::clone(&source), batch);
            let again = self.0.heavy.spawn(async move { one.replay(position, objects).await });
            let again = again.await.map_err(|e| SourceError::refused(format!("a batch ended: {e}")))??;
            let (mode, split) = source.mode();
            let filled = Filled { rows: again.rows, mode, split, widen: source.widens() };
            self.fill(source.table(), filled, &again.touched, now).await?;
            changed.entry(source.table().clone()).or_default().merge(&again.touched);
            done += 1;
            progress.step("raw batches", done, of);
        }
        for (name, keeper) in &self.0.logs {
            let Some(entry) = self.0.entries.get(name) else { continue };
            let touched = self.refill_log(name, keeper, entry.source.as_ref(), now).await?;
            changed.entry(entry.source.table().clone()).or_default().merge(&touched);
            done += 1;
            progress.step("raw batches", done, of);
        }
        for (name, shelf) in &self.0.shelves {
            let Some(entry) = self.0.entries.get(name) else { continue };
            let touched = self.refill_topic(shelf, entry.source.as_ref(), now).await?;
            changed.entry(entry.source.table().clone()).or_default().merge(&touched);
            done += 1;
            progress.step("raw batches", done, of);
        }
        Ok(changed)
    }

    /// The events that were in the table: those of the log that came behind them land as they always do.
    async fn refill_log(
        &self,
        name: &str,
        keeper: &Keeper,
        source: &dyn Source,
        now: DateTime<Utc>,
    ) -> Result<Touched, SourceError> {
        let (landed, table) = (self.landed(name).await, source.table());
        let unknown = || SourceError::Unknown { name: table.to_string() };
        let schema = self.0.lakefile.table(table).ok_or_else(unknown)?.schema();
        let atlas = self.0.spellings.now().await?;
        let mut touched = Touched::default();
        for file in keeper.files().await? {
            let mut logged = keeper.kept(&file).await?;
            logged.retain(|event| event.position <= landed);
            if logged.is_empty() {
                continue;
            }
            // Which days are local ones is not known before the regions are there: one day more on both sides.
            let (batch, days) = rows(&schema, &logged, &HashMap::new(), &atlas)?;
            let days = days.with_neighbours();
            let (mode, split) = source.mode();
            self.fill(table, Filled { rows: vec![batch], mode, split, widen: false }, &days, now).await?;
            touched.merge(&days);
        }
        Ok(touched)
    }

    /// The events of a topic that were in the table.
    async fn refill_topic(
        &self,
        shelf: &Shelf,
        source: &dyn Source,
        now: DateTime<Utc>,
    ) -> Result<Touched, SourceError> {
        let (batches, table) = (self.0.catalog.batches(), source.table());
        let landed = batches.last(source.name()).await?.map_or(0, |batch| batch.n);
        let unknown = || SourceError::Unknown { name: table.to_string() };
        let schema = self.0.lakefile.table(table).ok_or_else(unknown)?.schema();
        let atlas = self.0.spellings.now().await?;
        let mut touched = Touched::default();
        for place in shelf.places().await?.into_iter().filter(|place| place.n <= landed) {
            let kept = shelf.read(&place, now).await?;
            let received = vec![kept.at.timestamp_micros(); kept.events.len()];
            // As of a log: which days are local ones is not known before the regions are there.
            let (batch, days) = table_rows(&schema, &kept.events, received, &HashMap::new(), &atlas)?;
            let days = days.with_neighbours();
            let (mode, split) = source.mode();
            self.fill(table, Filled { rows: vec![batch], mode, split, widen: false }, &days, now).await?;
            touched.merge(&days);
        }
        Ok(touched)
    }

    async fn fill(
        &self,
        name: &TableName,
        filled: Filled,
        touched: &Touched,
        now: DateTime<Utc>,
    ) -> Result<(), SourceError> {
        let Filled { rows, mode, split, widen } = filled;
        if rows.iter().all(|batch| batch.num_rows() == 0) && mode != Mode::Overwrite {
            return Ok(());
        }
        let unknown = || SourceError::Unknown { name: name.to_string() };
        let table = self.0.catalog.moment().table(name).ok_or_else(unknown)?;
        let spec = self.0.lakefile.table(name).ok_or_else(unknown)?;
        let regions = match (&mode, spec.has_regions()) {
            (Mode::Overwrite, true) => Regions::All,
            (_, true) => Regions::These(touched.regions()),
            (_, false) => Regions::None,
        };
        // An emptied table has the columns that are declared, until its files bring the others again.
        let columns = matches!(mode, Mode::Overwrite).then(|| spec.catalog_columns());
        let days = days(spec, &rows, touched)?;
        let mut write = Write::new(in_their_columns(spec.schema(), rows), mode, now);
        (write.split, write.regions) = (split, regions);
        (write.widen, write.columns, write.days) = (widen, columns, Some(days));
        self.0.publisher.write(&table, write).await?;
        Ok(())
    }

    /// Every model over all that came, those with times of their own too.
    async fn all_models(
        &self,
        mut changed: BTreeMap<TableName, Touched>,
        now: DateTime<Utc>,
    ) -> Result<(), SourceError> {
        let chosen = self.0.lakefile.gazetteer.chosen().iter().map(|place| place.region_id.clone());
        changed.insert(TableName::new("lake", "gazetteer"), Touched::all_days(chosen));
        self.0.models.refresh(changed, now).await?;
        for model in self.0.lakefile.models.iter().filter(|model| model.schedule.is_some()) {
            self.rebuild(&model.table.to_string(), now).await?;
        }
        Ok(())
    }
}

/// Rows for a table, and what they do to those that are there.
struct Filled {
    rows: Vec<arrow::array::RecordBatch>,
    mode: Mode,
    split: Option<Split>,
    widen: bool,
}
