//! The runner: recomputes what a change touched, in the order of the dependencies, one run at a time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use arrow::array::RecordBatch;
use catalog::{Catalog, Moment, Table};
use chrono::{DateTime, Days, Utc};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::{cast, col};
use datafusion::prelude::SessionContext;
use identity::TableName;
use lake::Lake;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::debt::{self, Patience};
use super::part::{kept, parts, reaches_back, write};
use super::partials::{self, Partials};
use super::session::{Sessions, put};
use super::settled::Settled;
use super::tests::joined;
use super::{Model, ModelError, Verdict, against, command, window};
use crate::lakefile::{Lakefile, TableSpec};
use crate::publish::Publisher;
use crate::sources::Touched;

/// Memory of one run's sorts and joins; beyond it they spill to disk.
const POOL_BYTES: usize = 128 << 20;

/// Days before today that still change with every batch: files with their rows have partial aggregates of their own.
const RECENT: Days = Days::new(1);

/// The models of a lake and their runner. One run at a time in the process.
#[derive(Clone)]
pub struct Models(Arc<Inner>);

struct Inner {
    models: Vec<Model>,
    sessions: Sessions,
    catalog: Catalog,
    publisher: Publisher,
    heavy: Handle,
    settled: Settled,
    partials: Partials,
    /// A run reads, computes and publishes; two at once could publish the older result last.
    turn: Mutex<()>,
}

/// What a run did to one table.
#[derive(Clone, Debug, PartialEq)]
pub struct Refreshed {
    pub table: TableName,
    pub version: i64,
    /// Rows computed, not rows of the table.
    pub rows: u64,
    pub regions: usize,
}

/// What became of a change.
#[derive(Debug, Default)]
pub struct Outcome {
    /// One entry for each new version of a table.
    pub refreshed: Vec<Refreshed>,
    /// Models that failed: their tables are marked and keep the version they have.
    pub failed: Vec<ModelError>,
}

/// What one run of one model did.
#[derive(Default)]
pub struct Ran {
    refreshed: Vec<Refreshed>,
    /// What is published now.
    done: Touched,
    /// What is not.
    pub owed: Touched,
    pub verdicts: Vec<Verdict>,
    pub failure: Option<ModelError>,
}

impl Ran {
    /// Rows computed and published.
    pub fn rows(&self) -> u64 {
        self.refreshed.iter().map(|r| r.rows).sum()
    }

    fn failed(&mut self, part: &Touched, error: ModelError) {
        self.owed.merge(part);
        if let ModelError::Test { verdicts, .. } = &error {
            self.verdicts = joined(std::mem::take(&mut self.verdicts), verdicts.clone());
        }
        self.failure.get_or_insert(error);
    }
}

impl Models {
    /// The runner over a lake's models; their work is done on `heavy`.
    /// - Errors: the session's memory and spill folder cannot be made.
    pub fn new(
        lakefile: Arc<Lakefile>,
        lake: Lake,
        catalog: Catalog,
        publisher: Publisher,
        heavy: Handle,
    ) -> Result<Self, DataFusionError> {
        let pool = Arc::new(FairSpillPool::new(POOL_BYTES));
        let runtime: Arc<RuntimeEnv> = RuntimeEnvBuilder::new().with_memory_pool(pool).build_arc()?;
        let models = lakefile.models.clone();
        let sessions = Sessions { lakefile, lake, runtime, threads: heavy.metrics().num_workers() };
        let (settled, partials, turn) = (Settled::default(), Partials::default(), Mutex::new(()));
        Ok(Self(Arc::new(Inner { models, sessions, catalog, publisher, heavy, settled, partials, turn })))
    }

    /// Whether a model fills this table.
    pub fn fills(&self, table: &TableName) -> bool {
        self.0.models.iter().any(|m| &m.table == table)
    }

    /// Whether a model waits for a good run.
    pub fn failing(&self) -> bool {
        let moment = self.0.catalog.moment();
        self.0.models.iter().any(|m| moment.table_ref(&m.table).is_some_and(|t| t.failing()))
    }

    /// Recomputes everything that rests on what changed (table -> touched windows), and what failing models owe, unless
    /// they rest. A model that fails holds up none but those that rest on it.
    /// - Errors: lake, catalog or machine fail; what was published until then stays. The same call again goes on.
    pub async fn refresh(
        &self,
        changed: BTreeMap<TableName, Touched>,
        now: DateTime<Utc>,
    ) -> Result<Outcome, ModelError> {
        // Boxed, as whoever waits for it would else hold the whole run in a future of its own.
        Box::pin(self.all(changed, Patience::Rests, now)).await
    }

    /// Runs the failing models at once, as after a restart, and what rests on them.
    /// - Errors: as [`Models::refresh`].
    pub async fn retry(&self, now: DateTime<Utc>) -> Result<Outcome, ModelError> {
        Box::pin(self.all(BTreeMap::new(), Patience::AtOnce, now)).await
    }

    async fn all(
        &self,
        mut changed: BTreeMap<TableName, Touched>,
        patience: Patience,
        now: DateTime<Utc>,
    ) -> Result<Outcome, ModelError> {
        let _turn = self.0.turn.lock().await;
        let mut outcome = Outcome::default();
        // One with times of its own follows no change; what it owes it can pay at once.
        let follows = |model: &&Model| model.schedule.is_none() || patience == Patience::AtOnce;
        for model in self.0.models.iter().filter(follows) {
            let touched = self.unsettled(model, window::touched(model, &changed)).await?;
            let done = self.one(model, touched, patience, now, &mut outcome).await?;
            changed.entry(model.table.clone()).or_default().merge(&done);
        }
        Ok(outcome)
    }

    /// Recomputes one model for these windows and what it owes, and nothing that rests on it.
    /// - Errors: [`ModelError::Missing`] when no model fills the table; what makes the run fail.
    pub async fn rebuild(
        &self,
        table: &TableName,
        touched: &Touched,
        now: DateTime<Utc>,
    ) -> Result<Vec<Refreshed>, ModelError> {
        let _turn = self.0.turn.lock().await;
        let missing = || ModelError::Missing { model: table.clone(), table: table.clone() };
        let model = self.0.models.iter().find(|m| &m.table == table).ok_or_else(missing)?;
        let mut outcome = Outcome::default();
        Box::pin(self.one(model, touched.clone(), Patience::AtOnce, now, &mut outcome)).await?;
        match outcome.failed.into_iter().next() {
            Some(failure) => Err(failure),
            None => Ok(outcome.refreshed),
        }
    }

    /// The touched part without regions whose rows do not move any more.
    async fn unsettled(&self, model: &Model, touched: Touched) -> Result<Touched, ModelError> {
        if touched.is_empty() {
            return Ok(touched);
        }
        let moment = self.0.catalog.moment();
        match self.0.settled.of(model, &self.0.sessions, &moment).await {
            Ok(settled) => Ok(touched.without(&settled)),
            // A rule that cannot be read settles nothing; the run itself will tell.
            Err(error) if error.is_own() => Ok(touched),
            Err(error) => Err(error),
        }
    }

    /// Runs one model and notes how it ended; gives what is published anew.
    async fn one(
        &self,
        model: &Model,
        touched: Touched,
        patience: Patience,
        now: DateTime<Utc>,
        outcome: &mut Outcome,
    ) -> Result<Touched, ModelError> {
        let (_, table) = self.table(model, &self.0.catalog.moment())?;
        let catalog = &self.0.catalog;
        let Some(due) = debt::due(catalog, &table, touched, patience, now).await? else {
            return Ok(Touched::default());
        };
        let began = Instant::now();
        let ran = self.run(model, &due, now).await?;
        debt::note(catalog, model, &table, &ran, now, began.elapsed()).await?;
        outcome.refreshed.extend(ran.refreshed);
        outcome.failed.extend(ran.failure);
        Ok(ran.done)
    }

    /// Every portion of a run; one that fails holds up no other.
    async fn run(&self, model: &Model, touched: &Touched, now: DateTime<Utc>) -> Result<Ran, ModelError> {
        let mut ran = Ran::default();
        let touched = kept(&self.0.sessions.lakefile, model, touched, now.date_naive());
        let first = match reaches_back(model, &touched, now.date_naive()) {
            true => self.0.sessions.first_day(model, &self.0.catalog.moment()).await?,
            false => None,
        };
        for part in parts(model, &touched, first, now.date_naive()) {
            match self.run_part(model, &part, now).await {
                Ok((refreshed, verdicts)) => {
                    ran.refreshed.extend(refreshed);
                    ran.verdicts = joined(ran.verdicts, verdicts);
                    ran.done.merge(&part);
                }
                Err(error) if error.is_own() => ran.failed(&part, error),
                Err(error) => return Err(error),
            }
        }
        if !model.tests.freshness.is_empty() && ran.failure.is_none() {
            let verdicts = self.fresh(model, now).await?;
            ran.verdicts = joined(ran.verdicts, verdicts);
            ran.failure = Self::passed(model, ran.verdicts.clone()).err();
        }
        Ok(ran)
    }

    async fn run_part(
        &self,
        model: &Model,
        touched: &Touched,
        now: DateTime<Utc>,
    ) -> Result<(Option<Refreshed>, Vec<Verdict>), ModelError> {
        let moment = self.0.catalog.moment();
        let (spec, table) = self.table(model, &moment)?;
        let batches = self.compute(model, spec, &moment, touched, now).await?;
        let verdicts = self.judge(model, spec, &moment, touched, &batches).await?;
        let verdicts = Self::passed(model, verdicts)?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows == 0 && table.rows == 0 {
            return Ok((None, verdicts));
        }
        let failed = |e: arrow::error::ArrowError| statement(model, e.into());
        let mut write = write(model, spec, batches, touched, now).map_err(failed)?;
        if let Some(days) = &mut write.days {
            let read =
                model.upstream.iter().filter_map(|name| Some((name.clone(), moment.table(name)?.version?)));
            days.inputs = read.collect();
        }
        let published = self.0.publisher.write(&table, write).await;
        let published =
            published.map_err(|source| ModelError::Publish { model: model.table.clone(), source })?;
        let refreshed = Refreshed {
            table: model.table.clone(),
            version: published.version,
            rows: rows as u64,
            regions: touched.len(),
        };
        Ok((Some(refreshed), verdicts))
    }

    fn table(&self, model: &Model, moment: &Moment) -> Result<(&TableSpec, Arc<Table>), ModelError> {
        let missing = || ModelError::Missing { model: model.table.clone(), table: model.table.clone() };
        let spec = self.0.sessions.lakefile.table(&model.table).ok_or_else(missing)?;
        Ok((spec, moment.table(&model.table).ok_or_else(missing)?))
    }

    /// The model's rows of the touched windows, in the order and types of its table, computed on the heavy runtime.
    async fn compute(
        &self,
        model: &Model,
        spec: &TableSpec,
        moment: &Moment,
        touched: &Touched,
        now: DateTime<Utc>,
    ) -> Result<Vec<RecordBatch>, ModelError> {
        let session = self.0.sessions.of_model(model, moment, touched).await?;
        let sql = self.statement(model, moment, touched, &session, now).await?;
        let (spec, program) = (spec.clone(), model.program());
        let part = window::output(model.window, touched);
        self.heavily(model, async move {
            let columns = spec.columns.iter().map(|c| cast(col(&c.name), c.r#type.arrow()).alias(&c.name));
            let order = spec.sort.iter().map(|c| col(c).sort(true, false)).collect();
            let mut rows = session.sql(&sql).await?;
            if let Some(program) = program {
                rows = command::through(&program, rows, &session).await?;
            }
            let rows = rows.filter(part)?.select(columns.collect::<Vec<_>>())?;
            let batches = rows.sort(order)?.collect().await?;
            let fits = |batch: RecordBatch| RecordBatch::try_new(spec.schema(), batch.columns().to_vec());
            Ok(batches.into_iter().map(fits).collect::<Result<Vec<_>, _>>()?)
        })
        .await
    }

    /// What is left to compute in the session: the statement, or what puts its partials together, with their table.
    async fn statement(
        &self,
        model: &Model,
        moment: &Moment,
        touched: &Touched,
        session: &SessionContext,
        now: DateTime<Utc>,
    ) -> Result<String, ModelError> {
        let Inner { sessions, heavy, partials: known, .. } = &*self.0;
        let Some(cut) = &model.partials else { return Ok(model.sql.clone()) };
        let run = partials::Run { model, cut, sessions, moment, touched, heavy };
        let table = Arc::new(run.table(known, now.date_naive() - RECENT).await?);
        put(session, &partials::table(), table, None).map_err(|source| statement(model, source))?;
        Ok(cut.rest.clone())
    }

    /// Every test of the header but freshness.
    async fn judge(
        &self,
        model: &Model,
        spec: &TableSpec,
        moment: &Moment,
        touched: &Touched,
        batches: &[RecordBatch],
    ) -> Result<Vec<Verdict>, ModelError> {
        let mut verdicts = model.judge(batches).map_err(|e| statement(model, e.into()))?;
        let tests = &model.tests;
        if tests.unique.is_empty() && tests.relationship.is_empty() && tests.sql.is_empty() {
            return Ok(verdicts);
        }
        let rows = (spec.schema(), batches.to_vec());
        let session = self.0.sessions.of_tests(model, moment, rows).await?;
        let (own, going) = (model.clone(), window::output(model.window, touched));
        let more = self.heavily(model, async move { against::against(&own, &session, &going).await });
        verdicts = joined(verdicts, more.await?);
        Ok(verdicts)
    }

    async fn fresh(&self, model: &Model, now: DateTime<Utc>) -> Result<Vec<Verdict>, ModelError> {
        let session = self.0.sessions.of_own_table(model, &self.0.catalog.moment()).await?;
        let own = model.clone();
        self.heavily(model, async move { against::fresh(&own, &session, now).await }).await
    }

    /// The verdicts, if every test passed. Errors: [`ModelError::Test`] with all of them.
    fn passed(model: &Model, verdicts: Vec<Verdict>) -> Result<Vec<Verdict>, ModelError> {
        match verdicts.iter().all(|v| v.passed) {
            true => Ok(verdicts),
            false => Err(ModelError::Test { model: model.table.clone(), verdicts }),
        }
    }

    async fn heavily<T: Send + 'static>(
        &self,
        model: &Model,
        work: impl Future<Output = Result<T, DataFusionError>> + Send + 'static,
    ) -> Result<T, ModelError> {
        heavily(&self.0.heavy, model, work).await
    }
}

/// Work of a model on the heavy runtime.
pub async fn heavily<T: Send + 'static>(
    heavy: &Handle,
    model: &Model,
    work: impl Future<Output = Result<T, DataFusionError>> + Send + 'static,
) -> Result<T, ModelError> {
    let done = heavy.spawn(work).await.map_err(|_| ModelError::Stopped)?;
    done.map_err(|source| statement(model, source))
}

fn statement(model: &Model, source: DataFusionError) -> ModelError {
    ModelError::Statement { model: model.table.clone(), source }
}
