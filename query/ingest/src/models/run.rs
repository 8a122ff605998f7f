//! The runner: recomputes what a change touched, in the order of the dependencies, one run at a time.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use catalog::{Catalog, Moment};
use chrono::{DateTime, Days, NaiveDate, Utc};
use datafusion::error::DataFusionError;
use datafusion::execution::memory_pool::FairSpillPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::logical_expr::{cast, col};
use identity::TableName;
use lake::Lake;
use tokio::runtime::Handle;
use tokio::sync::Mutex;

use super::session::Sessions;
use super::settled::Settled;
use super::{Model, ModelError, Window, window};
use crate::lakefile::{Lakefile, TableSpec};
use crate::publish::{Mode, Period, Publisher, Regions, Rows, Split, Write};
use crate::sources::Touched;

/// Memory of one run's sorts and joins; beyond it they spill to disk.
const POOL_BYTES: usize = 256 << 20;
/// Regions in one portion of a run over many years: bounds the rows held at a time to about half a million.
const PORTION: usize = 100;
/// Days that have a small file each, because they still change; older ones lie together.
const RECENT_DAYS: u64 = 35;

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
        let sessions = Sessions { lakefile, lake, runtime };
        let (settled, turn) = (Settled::default(), Mutex::new(()));
        Ok(Self(Arc::new(Inner { models, sessions, catalog, publisher, heavy, settled, turn })))
    }

    /// Whether a model fills this table.
    pub fn fills(&self, table: &TableName) -> bool {
        self.0.models.iter().any(|m| &m.table == table)
    }

    /// Recomputes everything that rests on what changed: table -> touched windows.
    /// - Shape: one entry for each table that got a new version.
    /// - Errors: the first model that fails; those before it are published, those after it keep their version.
    pub async fn refresh(
        &self,
        mut changed: BTreeMap<TableName, Touched>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Refreshed>, ModelError> {
        let _turn = self.0.turn.lock().await;
        let mut refreshed = Vec::new();
        for model in self.0.models.iter().filter(|model| model.schedule.is_none()) {
            let touched = self.touched(model, &changed).await?;
            if touched.is_empty() {
                continue;
            }
            let done = self.run(model, &touched, now).await.inspect_err(|error| failed(model, error))?;
            refreshed.extend(done);
            changed.entry(model.table.clone()).or_default().merge(&touched);
        }
        Ok(refreshed)
    }

    /// Recomputes one model for these windows, and nothing that rests on it.
    /// - Errors: [`ModelError::Missing`] when no model fills the table.
    pub async fn rebuild(
        &self,
        table: &TableName,
        touched: &Touched,
        now: DateTime<Utc>,
    ) -> Result<Vec<Refreshed>, ModelError> {
        let _turn = self.0.turn.lock().await;
        let missing = || ModelError::Missing { model: table.clone(), table: table.clone() };
        let model = self.0.models.iter().find(|m| &m.table == table).ok_or_else(missing)?;
        self.run(model, touched, now).await
    }

    /// What the changes touch of a model's table.
    async fn touched(
        &self,
        model: &Model,
        changed: &BTreeMap<TableName, Touched>,
    ) -> Result<Touched, ModelError> {
        let mut touched = Touched::default();
        let inputs = model.upstream.iter().filter_map(|table| changed.get(table));
        inputs.for_each(|part| touched.merge(part));
        if touched.is_empty() {
            return Ok(touched);
        }
        let moment = self.0.catalog.moment();
        let settled = self.0.settled.of(model, &self.0.sessions, &moment).await?;
        let touched = touched.without(&settled);
        Ok(match model.window {
            Window::RegionDay => touched,
            Window::Region => Touched::all_days(touched.regions()),
        })
    }

    /// Old days and recent days apart, so that a change of today rewrites a small file.
    async fn run(
        &self,
        model: &Model,
        touched: &Touched,
        now: DateTime<Utc>,
    ) -> Result<Vec<Refreshed>, ModelError> {
        let mut refreshed = Vec::new();
        for part in parts(model, touched, now.date_naive()) {
            let part = window::simple(part);
            refreshed.extend(self.run_part(model, &part, now).await?);
        }
        Ok(refreshed)
    }

    async fn run_part(
        &self,
        model: &Model,
        touched: &Touched,
        now: DateTime<Utc>,
    ) -> Result<Option<Refreshed>, ModelError> {
        let moment = self.0.catalog.moment();
        let missing = || ModelError::Missing { model: model.table.clone(), table: model.table.clone() };
        let spec = self.0.sessions.lakefile.table(&model.table).ok_or_else(missing)?;
        let table = moment.table(&model.table).ok_or_else(missing)?;
        let batches = self.compute(model, spec, moment, touched).await?;
        model.test(&batches).map_err(|broken| ModelError::Test { model: model.table.clone(), broken })?;
        let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
        if rows == 0 && table.rows == 0 {
            return Ok(None);
        }
        let write = write(model, spec, batches, touched, now)
            .map_err(|e| ModelError::Statement { model: model.table.clone(), source: e.into() })?;
        let published = self.0.publisher.write(&table, write).await;
        let published =
            published.map_err(|source| ModelError::Publish { model: model.table.clone(), source })?;
        Ok(Some(Refreshed {
            table: model.table.clone(),
            version: published.version,
            rows: rows as u64,
            regions: touched.len(),
        }))
    }

    /// The model's rows of the touched windows, in the order and types of its table, computed on the heavy runtime.
    async fn compute(
        &self,
        model: &Model,
        spec: &TableSpec,
        moment: Moment,
        touched: &Touched,
    ) -> Result<Vec<RecordBatch>, ModelError> {
        let session = self.0.sessions.of_model(model, &moment, touched).await?;
        let (sql, spec) = (model.sql.clone(), spec.clone());
        let part = match model.window {
            Window::RegionDay => window::output(touched),
            Window::Region => window::among(&touched.regions()),
        };
        let work = self.0.heavy.spawn(async move {
            let columns = spec.columns.iter().map(|c| cast(col(&c.name), c.r#type.arrow()).alias(&c.name));
            let order = spec.sort.iter().map(|c| col(c).sort(true, false)).collect();
            let rows = session.sql(&sql).await?.filter(part)?.select(columns.collect::<Vec<_>>())?;
            let batches = rows.sort(order)?.collect().await?;
            let fits = |batch: RecordBatch| RecordBatch::try_new(spec.schema(), batch.columns().to_vec());
            Ok(batches.into_iter().map(fits).collect::<Result<Vec<_>, _>>()?)
        });
        let rows: Result<Vec<RecordBatch>, DataFusionError> = work.await.map_err(|_| ModelError::Stopped)?;
        rows.map_err(|source| ModelError::Statement { model: model.table.clone(), source })
    }
}

fn failed(model: &Model, error: &ModelError) {
    tracing::error!(model = %model.table, %error, "the model failed; its table keeps the version it has");
    metrics::counter!("lakefront_model_failures_total", "model" => model.table.to_string()).increment(1);
}

/// A touched part in portions that fit in memory, the days that still change apart from the old ones.
fn parts(model: &Model, touched: &Touched, today: NaiveDate) -> Vec<Touched> {
    let recent = today.checked_sub_days(Days::new(RECENT_DAYS)).unwrap_or(today);
    let wide = touched.hull().is_some_and(|(first, _)| first < recent);
    if model.window == Window::Region || !wide {
        return vec![touched.clone()];
    }
    let before = recent.pred_opt().unwrap_or(recent);
    let mut parts = touched.within(NaiveDate::MIN, before).portions(PORTION);
    let rest = touched.within(recent, NaiveDate::MAX);
    if !rest.is_empty() {
        parts.push(rest);
    }
    parts
}

fn write(
    model: &Model,
    spec: &TableSpec,
    batches: Vec<RecordBatch>,
    touched: &Touched,
    now: DateTime<Utc>,
) -> Result<Write, arrow::error::ArrowError> {
    let mode = match model.window {
        Window::RegionDay => Mode::ReplaceWindow { column: "day".into(), windows: window::replaced(touched) },
        Window::Region => Mode::ReplaceKeys { key: vec!["region_id".into()], keys: vec![keys(touched)?] },
    };
    let recent = now.date_naive().checked_sub_days(Days::new(RECENT_DAYS)).unwrap_or_default();
    let still_changing = touched.hull().is_some_and(|(first, _)| first >= recent);
    let mut write = Write::new(Rows::Batches(spec.schema(), batches), mode, now);
    write.regions = Regions::These(touched.regions());
    write.split = (model.window == Window::RegionDay && still_changing)
        .then(|| Split { column: "day".into(), period: Period::Day });
    Ok(write)
}

fn keys(touched: &Touched) -> Result<RecordBatch, arrow::error::ArrowError> {
    let regions = touched.regions();
    let names: ArrayRef = Arc::new(regions.iter().map(|r| Some(r.as_str())).collect::<StringArray>());
    RecordBatch::try_from_iter([("region_id", names)])
}
