//! All sources of a lake, and the models behind them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use catalog::Catalog;
use chrono::{DateTime, Utc};
use identity::{RegionId, TableName};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::events::{self, Accepted, Front, Keeper, PushError, Shelf};
use super::lead::Lead;
use super::marks::Marks;
use super::states::States;
use super::weather::{Range, Shared};
use super::{Intake, Landed, Places, Progress, RawStore, Source, SourceError, Spellings, Touched, mappings};
use crate::lakefile::{Lakefile, WeatherSpec};
use crate::models::{ModelError, Models, Outcome, Refreshed};
use crate::publish::Publisher;
use crate::words::chain;

/// Batches landed before the models run: a long queue of files costs one run of the models, not one each.
const BATCHES: usize = 64;

/// Everything that arrives. Cheap to clone.
#[derive(Clone)]
pub struct Arrivals(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub lakefile: Arc<Lakefile>,
    pub catalog: Catalog,
    pub places: Places,
    pub spellings: Spellings,
    pub raw: RawStore,
    pub intake: Intake,
    pub publisher: Publisher,
    pub models: Models,
    pub marks: Marks,
    pub entries: BTreeMap<String, Entry>,
    pub services: BTreeMap<String, Service>,
    /// Where each stream takes events.
    pub fronts: BTreeMap<String, Arc<dyn Front>>,
    pub logs: BTreeMap<String, Keeper>,
    /// Where the events of topics are kept.
    pub shelves: BTreeMap<String, Shelf>,
    /// What landed while the models failed: they owe it.
    pub owed: parking_lot::Mutex<BTreeMap<String, Landed>>,
    pub states: States,
    /// While many sources are loaded one after the other, the models wait for the last of them.
    pub held: AtomicBool,
    pub lead: Lead,
    pub heavy: Handle,
}

/// One source, asked by one task at a time.
pub(super) struct Entry {
    pub source: Arc<dyn Source>,
    /// Its rhythm; without one it is asked when a job says so.
    pub every: Option<Duration>,
    pub turn: Mutex<()>,
}

/// What a backfill of one weather service needs.
pub(super) struct Service {
    pub hourly: Shared,
    pub archive: Shared,
    pub spec: WeatherSpec,
    pub turn: Mutex<()>,
}

/// What one run did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Ran {
    pub source: String,
    pub batches: u64,
    /// Rows that landed in the source's tables.
    pub rows: u64,
    /// Tables that models brought up to date.
    pub models: BTreeSet<TableName>,
    /// Models that failed: their tables keep the version they have, and are marked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<String>,
}

impl Arrivals {
    /// Brings a fresh or killed lake to where it should be: regions of the gazetteer, batches that were cut short,
    /// models that are behind. To be called at the start, after recovery. Where another node works at the sources, that one
    /// has done it.
    /// - Errors: the first source or model that fails; calling again goes on.
    pub async fn catch_up(&self, now: DateTime<Utc>) -> Result<(), SourceError> {
        match self.lead(now).await {
            Ok(()) => self.finish_left(now).await,
            Err(SourceError::Elsewhere { owner }) => {
                tracing::info!(owner, "another node works at the sources");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// The work of [`Arrivals::catch_up`].
    pub(super) async fn finish_left(&self, now: DateTime<Utc>) -> Result<(), SourceError> {
        self.regions(now).await?;
        for entry in self.0.entries.values() {
            let _turn = entry.turn.lock().await;
            while self.0.intake.resume(entry.source.as_ref(), now).await?.is_some() {}
            self.catch_up_models(entry.source.as_ref(), now).await?;
        }
        for source in self.archives(Range { from: now.date_naive(), to: now.date_naive() }) {
            while self.0.intake.resume(&source, now).await?.is_some() {}
            self.catch_up_models(&source, now).await?;
        }
        let outcome = self.0.models.retry(now).await?;
        self.raise(&outcome, now).await;
        self.land_mappings(now).await?;
        // From here on there is something by which a push can be judged, even when it cannot be read again.
        self.0.spellings.now().await.map(drop)
    }

    /// Mapping files that changed while nobody looked; a wrong one keeps its table as it is.
    async fn land_mappings(&self, now: DateTime<Utc>) -> Result<(), SourceError> {
        for name in self.0.entries.keys().filter(|name| name.starts_with(mappings::PREFIX)) {
            match self.drain(name, &(), now).await {
                Err(error @ SourceError::Refused { .. }) => {
                    tracing::error!(source = name, %error, "a mapping is not taken");
                }
                done => drop(done?),
            }
        }
        Ok(())
    }

    /// Lands all that a source has now and runs the models behind it; or computes a model anew.
    /// - `name`: a source (`a`, `c`, `c.current`, `d`, `market_history`, `history`) or a model's table.
    /// - Errors: [`SourceError::Unknown`] for another name.
    pub async fn run_once(&self, name: &str, now: DateTime<Utc>) -> Result<Ran, SourceError> {
        self.run_for(name, &(), now).await
    }

    /// The same for somebody who may stop waiting.
    /// - Errors: as [`Arrivals::run_once`], and [`SourceError::Stopped`].
    pub async fn run_for(
        &self,
        name: &str,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Ran, SourceError> {
        let name = if name == "history" { "market_history" } else { name };
        let part_of = |entry: &&String| entry.as_str() == name || entry.starts_with(&format!("{name}."));
        let names: Vec<String> = self.0.entries.keys().filter(part_of).cloned().collect();
        let mut ran = Ran { source: name.to_string(), ..Ran::default() };
        for name in &names {
            let drained = self.drain(name, progress, now).await;
            self.0.states.note(name, &drained, None, now).await;
            let one = drained?;
            ran.batches += one.batches;
            ran.rows += one.rows;
            ran.models.extend(one.models);
            ran.failed.extend(one.failed);
        }
        if names.is_empty() {
            ran.models = self.rebuild(name, now).await?;
        }
        // Whoever asks by name does not wait for a failing model's rest.
        if ran.failed.is_empty() && self.0.models.failing() {
            let outcome = self.0.models.retry(now).await?;
            self.raise(&outcome, now).await;
            ran.add(outcome);
        }
        Ok(ran)
    }

    /// Computes every model's table anew, each after those it reads.
    /// - Shape: the tables, in that order.
    /// - Errors: the first model that fails, and [`SourceError::Stopped`].
    pub async fn rebuild_all(
        &self,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Vec<TableName>, SourceError> {
        let models = &self.0.lakefile.models;
        let (mut tables, of) = (Vec::new(), models.len() as u64);
        for (done, model) in models.iter().enumerate() {
            if progress.stopped() {
                return Err(SourceError::Stopped);
            }
            progress.step("models", done as u64, of);
            tables.extend(self.rebuild(&model.table.to_string(), now).await?);
        }
        progress.step("models", of, of);
        Ok(tables)
    }

    /// The names that may be run: sources, and models' tables.
    pub fn names(&self) -> (Vec<String>, Vec<String>) {
        let sources = self.0.lakefile.sources.keys().cloned().collect();
        (sources, self.0.lakefile.models.iter().map(|model| model.table.to_string()).collect())
    }

    /// The sources that fill a table by themselves, as they are asked. None for a model's table.
    pub fn sources_of(&self, table: &TableName) -> Vec<String> {
        self.0.lakefile.sources_of(table)
    }

    /// Takes pushed events into a source's log or topic; when it returns, the disk or the brokers have them.
    /// - Body: one JSON object, an array, or one object a line, at most 10 MB.
    /// - Errors: [`PushError`]; nothing of the push is in a log then, a part of it may be in a topic.
    pub async fn push(&self, source: &str, body: &[u8], now: DateTime<Utc>) -> Result<Accepted, PushError> {
        let front = self.0.fronts.get(source).ok_or_else(|| PushError::UnknownSource(source.to_string()))?;
        let atlas = self.0.spellings.latest().await.map_err(|error| PushError::Unread(Box::new(error)))?;
        let events = events::parse(body, &atlas, now)?;
        let texts = events.into_iter().map(|(event, text)| (event.event_id, text)).collect();
        Ok(front.append(texts, now).await?)
    }

    /// Lands what one source has now, then runs the models once.
    pub(super) async fn drain(
        &self,
        name: &str,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Ran, SourceError> {
        let unknown = || SourceError::Unknown { name: name.to_string() };
        let entry = self.0.entries.get(name).ok_or_else(unknown)?;
        let _turn = entry.turn.lock().await;
        let drained = self.drain_entry(name, entry, progress, now).await;
        // What was set aside is noted with the look that follows it; after a failure, with the next one.
        self.0.states.set_aside(name, entry.source.set_aside(), drained.is_ok(), now).await;
        drained
    }

    async fn drain_entry(
        &self,
        name: &str,
        entry: &Entry,
        progress: &dyn Progress,
        now: DateTime<Utc>,
    ) -> Result<Ran, SourceError> {
        let mut ran = Ran { source: name.to_string(), ..Ran::default() };
        loop {
            let (landed, failure) = self.land_some(&entry.source, now).await;
            if failure.is_none() || !landed.is_empty() {
                self.settle(name, &landed, now, &mut ran).await?;
            }
            if let Some(failure) = failure {
                return Err(failure);
            }
            if landed.len() < BATCHES {
                return Ok(ran);
            }
            if progress.stopped() {
                return Err(SourceError::Stopped);
            }
        }
    }

    /// What landed, and the error that ended it.
    async fn land_some(
        &self,
        source: &Arc<dyn Source>,
        now: DateTime<Utc>,
    ) -> (Vec<Landed>, Option<SourceError>) {
        let (intake, source) = (self.0.intake.clone(), Arc::clone(source));
        let work = self.0.heavy.spawn(async move {
            let mut landed = Vec::new();
            while landed.len() < BATCHES {
                match intake.land(source.as_ref(), now).await {
                    Ok(Some(one)) => landed.push(one),
                    Ok(None) => break,
                    Err(error) => return (landed, Some(error)),
                }
            }
            (landed, None)
        });
        work.await.unwrap_or_else(|e| {
            let refused = SourceError::refused(format!("the source's task ended: {e}"));
            (Vec::new(), Some(refused))
        })
    }

    /// Counts what landed, and runs the models for all of it at once.
    pub(super) async fn settle(
        &self,
        source: &str,
        landed: &[Landed],
        now: DateTime<Utc>,
        ran: &mut Ran,
    ) -> Result<(), SourceError> {
        self.0.states.landed(source, landed, now).await;
        ran.batches += landed.len() as u64;
        ran.rows += landed.iter().map(|l| l.rows).sum::<u64>();
        let Some(due) = self.due(source, landed) else { return self.retry(now, ran).await };
        if self.0.held.load(Ordering::Relaxed) {
            self.0.owed.lock().insert(source.to_string(), due);
            return Ok(());
        }
        let changed = BTreeMap::from([(due.table.clone(), due.touched.clone())]);
        match self.refresh(changed, now).await {
            Ok(outcome) => {
                ran.add(outcome);
                self.0.marks.ran(&due, now).await
            }
            Err(error) => {
                self.0.owed.lock().insert(source.to_string(), due);
                Err(error.into())
            }
        }
    }

    /// From now on what lands waits for [`Arrivals::release`]: loading many sources then costs one run of the models.
    /// A kill between the two is made good by the next [`Arrivals::catch_up`].
    pub(crate) fn hold(&self) {
        self.0.held.store(true, Ordering::Relaxed);
    }

    /// Runs the models for all that landed since [`Arrivals::hold`].
    /// - Errors: those of the models; they owe it then.
    pub(crate) async fn release(&self, now: DateTime<Utc>) -> Result<(), SourceError> {
        self.0.held.store(false, Ordering::Relaxed);
        let owed = std::mem::take(&mut *self.0.owed.lock());
        let mut changed: BTreeMap<TableName, Touched> = BTreeMap::new();
        owed.values().for_each(|l| changed.entry(l.table.clone()).or_default().merge(&l.touched));
        if let Err(error) = self.refresh(changed, now).await {
            self.0.owed.lock().extend(owed);
            return Err(error.into());
        }
        for landed in owed.values() {
            self.0.marks.set(&landed.source, landed.n, now).await?;
        }
        Ok(())
    }

    /// Runs the models for what changed; whoever must know is told of those that fail.
    /// - Errors: as [`Models::refresh`].
    async fn refresh(
        &self,
        changed: BTreeMap<TableName, Touched>,
        now: DateTime<Utc>,
    ) -> Result<Outcome, ModelError> {
        let outcome = self.0.models.refresh(changed, now).await?;
        self.raise(&outcome, now).await;
        Ok(outcome)
    }

    async fn raise(&self, outcome: &Outcome, now: DateTime<Utc>) {
        for error in &outcome.failed {
            self.0.states.model_failed(error, now).await;
        }
    }

    /// Tries failing models whose rest is over.
    pub(super) async fn retry(&self, now: DateTime<Utc>, ran: &mut Ran) -> Result<(), SourceError> {
        if self.0.models.failing() {
            ran.add(self.refresh(BTreeMap::new(), now).await?);
        }
        Ok(())
    }

    /// What landed now, and what the models owe from before; the last batch stands for all.
    fn due(&self, source: &str, landed: &[Landed]) -> Option<Landed> {
        let owed = self.0.owed.lock().remove(source);
        let mut due = landed.last().or(owed.as_ref())?.clone();
        owed.iter().chain(landed).for_each(|l| due.touched.merge(&l.touched));
        Some(due)
    }

    /// Computes a model's table anew, all regions and days.
    pub(super) async fn rebuild(
        &self,
        name: &str,
        now: DateTime<Utc>,
    ) -> Result<BTreeSet<TableName>, SourceError> {
        let table = name.parse::<TableName>().ok().filter(|t| self.0.models.fills(t));
        let table = table.ok_or_else(|| SourceError::Unknown { name: name.to_string() })?;
        let all = Touched::all_days(self.0.places.all().await?);
        let mut tables: BTreeSet<TableName> =
            names(self.0.models.rebuild(&table, &all, now).await?).collect();
        // What rests on a model of its own times waits for it, not for its input.
        if self.0.lakefile.models.iter().any(|model| model.table == table && model.schedule.is_some()) {
            let outcome = self.refresh(BTreeMap::from([(table, all)]), now).await?;
            tables.extend(names(outcome.refreshed));
        }
        Ok(tables)
    }

    /// Regions that the gazetteer names and the lake does not have yet.
    pub(super) async fn regions(&self, now: DateTime<Utc>) -> Result<(), SourceError> {
        let known: BTreeSet<RegionId> = self.0.places.all().await?.into_iter().collect();
        let chosen = self.0.lakefile.gazetteer.chosen().iter().map(|p| p.region_id.clone());
        let missing: Vec<RegionId> = chosen.filter(|r| !known.contains(r)).collect();
        if missing.is_empty() {
            return Ok(());
        }
        let changed = BTreeMap::from([(TableName::new("lake", "gazetteer"), Touched::all_days(missing))]);
        self.refresh(changed, now).await?;
        Ok(())
    }

    /// Runs the models for batches that landed while they did not.
    pub(super) async fn catch_up_models(
        &self,
        source: &dyn Source,
        now: DateTime<Utc>,
    ) -> Result<(), SourceError> {
        if let Some((n, touched)) = self.0.marks.behind(source).await? {
            tracing::info!(source = source.name(), n, regions = touched.len(), "the models catch up");
            self.refresh(BTreeMap::from([(source.table().clone(), touched)]), now).await?;
            self.0.marks.set(source.name(), n, now).await?;
        }
        Ok(())
    }
}

fn names(refreshed: Vec<Refreshed>) -> impl Iterator<Item = TableName> {
    refreshed.into_iter().map(|r| r.table)
}

impl Ran {
    fn add(&mut self, outcome: Outcome) {
        self.models.extend(outcome.refreshed.into_iter().map(|r| r.table));
        self.failed.extend(outcome.failed.iter().map(|failure| chain(failure)));
    }
}
