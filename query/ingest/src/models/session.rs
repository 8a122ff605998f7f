//! One SQL session per run of a model: only the tables it names, at the versions readers are served now, and of
//! them only the part that the touched windows need.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{Date32Type, Field, Schema, SchemaRef};
use catalog::{Moment, Table};
use chrono::{DateTime, NaiveDate};
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::{ScalarValue, TableReference};
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::Expr;
use datafusion::prelude::{SessionConfig, SessionContext};
use identity::TableName;
use lake::{DataFile, Lake, Location, Snapshot};

use super::days::windows;
use super::partials::Cut;
use super::window::Reach;
use super::{Model, ModelError, functions, tests, window};
use crate::lakefile::{Gazetteer, KnownPlace, Lakefile};
use crate::sources::Touched;

/// The lake's gazetteer as a table: `region_id, name, country, lon, lat, population, chosen`.
pub const GAZETTEER: &str = "lake.gazetteer";

/// The files of an input that a run needs.
pub struct Files {
    pub files: Vec<Arc<DataFile>>,
    /// The column that dates their rows.
    pub dated: Option<Field>,
    /// The bytes of the other tables that its partials rest on, by their files.
    pub beside: Arc<[String]>,
}

/// What every session of the runner shares.
#[derive(Clone)]
pub struct Sessions {
    pub lakefile: Arc<Lakefile>,
    pub lake: Lake,
    pub runtime: Arc<RuntimeEnv>,
    /// Threads that compute: more streams than these only cost their putting together.
    pub threads: usize,
}

impl Sessions {
    /// A session with the tables of a model, each reduced to what the touched windows need; `None`: whole tables.
    pub async fn of_model(
        &self,
        model: &Model,
        moment: &Moment,
        touched: &Touched,
    ) -> Result<SessionContext, ModelError> {
        let session = empty(Arc::clone(&self.runtime), self.threads);
        for name in &model.upstream {
            let (table, sort) = self.provider(model, name, moment).await?;
            let part = part(model, name, &table.schema(), &sort, touched);
            put(&session, name, table, part)
                .map_err(|source| ModelError::Statement { model: model.table.clone(), source })?;
        }
        Ok(session)
    }

    /// A session with the one table that a model fills.
    pub async fn of_own_table(&self, model: &Model, moment: &Moment) -> Result<SessionContext, ModelError> {
        let session = empty(Arc::clone(&self.runtime), self.threads);
        let (table, _) = self.provider(model, &model.table, moment).await?;
        put(&session, &model.table, table, None)
            .map_err(|source| ModelError::Statement { model: model.table.clone(), source })?;
        Ok(session)
    }

    /// A session for a model's tests: the tables they name, whole, and the new rows.
    pub async fn of_tests(
        &self,
        model: &Model,
        moment: &Moment,
        rows: (SchemaRef, Vec<RecordBatch>),
    ) -> Result<SessionContext, ModelError> {
        let failed = |source| ModelError::Statement { model: model.table.clone(), source };
        let session = self.of_own_table(model, moment).await?;
        for name in model.tests.reads().into_iter().filter(|name| *name != &model.table) {
            let (table, _) = self.provider(model, name, moment).await?;
            put(&session, name, table, None).map_err(failed)?;
        }
        let table = MemTable::try_new(rows.0, vec![rows.1]).map_err(failed)?;
        put(&session, &tests::rows(), Arc::new(table), None).map_err(failed)?;
        Ok(session)
    }

    async fn provider(
        &self,
        model: &Model,
        name: &TableName,
        moment: &Moment,
    ) -> Result<(Arc<dyn TableProvider>, Vec<String>), ModelError> {
        self.provider_of(model, name, moment, None).await
    }

    /// A table, or some files of it alone, and the columns it is sorted by.
    async fn provider_of(
        &self,
        model: &Model,
        name: &TableName,
        moment: &Moment,
        files: Option<Vec<Arc<DataFile>>>,
    ) -> Result<(Arc<dyn TableProvider>, Vec<String>), ModelError> {
        let failed = |source| ModelError::Statement { model: model.table.clone(), source };
        if name.to_string() == GAZETTEER {
            return Ok((gazetteer(&self.lakefile.gazetteer).map_err(failed)?, Vec::new()));
        }
        let table = moment.table(name).ok_or_else(|| missing(model, name))?;
        let Some(snapshot) = self.snapshot(model, &table).await? else {
            let spec = self.lakefile.table(name).ok_or_else(|| missing(model, name))?;
            let empty = MemTable::try_new(spec.schema(), vec![vec![]]).map_err(failed)?;
            return Ok((Arc::new(empty), table.sort.clone()));
        };
        let provider = match files {
            Some(files) => self.lake.files_provider(&snapshot, files, &table.sort),
            None => self.lake.provider(snapshot, &table.sort)?,
        };
        Ok((provider, table.sort.clone()))
    }

    /// A table at the version readers are served now; none where nothing was written yet.
    async fn snapshot(&self, model: &Model, table: &Table) -> Result<Option<Arc<Snapshot>>, ModelError> {
        let Some(version) = table.version else { return Ok(None) };
        let location = Location::from_str(&table.location).map_err(|_| missing(model, &table.name))?;
        Ok(Some(self.lake.snapshot(&location, version).await?))
    }

    /// The files of a cut statement's input that the touched windows need, and what else their partials rest on.
    pub async fn files(
        &self,
        model: &Model,
        cut: &Cut,
        moment: &Moment,
        touched: &Touched,
    ) -> Result<Files, ModelError> {
        let (mut files, mut dated, mut beside) = (Vec::new(), None, Vec::new());
        for name in cut.beside.iter().chain([&cut.input]) {
            let Some(table) = moment.table(name) else { continue };
            let Some(snapshot) = self.snapshot(model, &table).await? else { continue };
            if *name == cut.input {
                let part = part(model, name, snapshot.schema(), &table.sort, touched);
                files = snapshot.prune(part.as_slice());
                dated = window::dated(snapshot.schema(), &table.sort).cloned();
            } else {
                let bytes = |file: &Arc<DataFile>| file.sha256.as_ref().unwrap_or(&file.path).clone();
                beside.extend(snapshot.files().iter().map(bytes));
            }
        }
        Ok(Files { files, dated, beside: beside.into() })
    }

    /// A session with some files of a cut statement's input, reduced to what the touched windows need or whole, and all
    /// else whole.
    pub async fn of_files(
        &self,
        model: &Model,
        cut: &Cut,
        moment: &Moment,
        files: Vec<Arc<DataFile>>,
        touched: Option<&Touched>,
    ) -> Result<SessionContext, ModelError> {
        let failed = |source| ModelError::Statement { model: model.table.clone(), source };
        let session = empty(Arc::clone(&self.runtime), self.threads);
        for name in &cut.beside {
            let (table, _) = self.provider(model, name, moment).await?;
            put(&session, name, table, None).map_err(failed)?;
        }
        let (table, sort) = self.provider_of(model, &cut.input, moment, Some(files)).await?;
        let part = touched.and_then(|touched| part(model, &cut.input, &table.schema(), &sort, touched));
        put(&session, &cut.input, table, part).map_err(failed)?;
        Ok(session)
    }

    /// The first day of which an input of a model has rows; `None` where the files of one do not tell.
    pub async fn first_day(&self, model: &Model, moment: &Moment) -> Result<Option<NaiveDate>, ModelError> {
        let mut first = NaiveDate::MAX;
        for name in model.upstream.iter().filter(|name| !model.whole.contains(*name)) {
            let Some(table) = moment.table(name) else { continue };
            let Some(snapshot) = self.snapshot(model, &table).await? else { continue };
            let schema = snapshot.schema();
            let valid = model.valid.get(name).and_then(|column| schema.field_with_name(column).ok());
            let Some(field) = valid.or_else(|| window::dated(schema, &table.sort)) else { continue };
            let days = snapshot.files().iter().map(|file| day(&file.min(field.name(), field.data_type())?));
            match days.min_by_key(|day| day.unwrap_or(NaiveDate::MIN)) {
                Some(Some(day)) => first = first.min(day),
                Some(None) => return Ok(None),
                None => {}
            }
        }
        Ok(Some(first))
    }
}

fn missing(model: &Model, table: &TableName) -> ModelError {
    ModelError::Missing { model: model.table.clone(), table: table.clone() }
}

/// The day of a bound of a file.
pub fn day(bound: &ScalarValue) -> Option<NaiveDate> {
    match bound {
        ScalarValue::Date32(Some(days)) => Date32Type::to_naive_date_opt(*days),
        ScalarValue::TimestampMicrosecond(Some(micros), _) => {
            DateTime::from_timestamp_micros(*micros).map(|at| at.date_naive())
        }
        _ => None,
    }
}

/// The condition on an input's rows that the touched windows need; `None`: all of them.
fn part(
    model: &Model,
    name: &TableName,
    schema: &Schema,
    sort: &[String],
    touched: &Touched,
) -> Option<Expr> {
    let reach = Reach {
        lookback_days: model.lookback_days,
        carried: model.carried.contains(name),
        valid: model.valid.get(name).map(String::as_str),
    };
    let reduced = !model.whole.contains(name);
    reduced.then(|| window::input(schema, sort, touched, reach)).flatten()
}

/// A session without tables, with the functions of models.
pub fn empty(runtime: Arc<RuntimeEnv>, threads: usize) -> SessionContext {
    let mut config =
        SessionConfig::new().with_information_schema(false).with_target_partitions(threads.max(1));
    config.options_mut().execution.time_zone = Some("UTC".into());
    // So that an error of the planner tells its line.
    config.options_mut().sql_parser.collect_spans = true;
    let session = SessionContext::new_with_config_rt(config, runtime);
    functions().into_iter().for_each(|f| session.register_udf(f.as_ref().clone()));
    windows().into_iter().for_each(|f| session.register_udwf(f));
    session
}

/// Registers a table under `schema.table`, reduced by a condition.
pub fn put(
    session: &SessionContext,
    name: &TableName,
    table: Arc<dyn TableProvider>,
    part: Option<Expr>,
) -> Result<(), DataFusionError> {
    let catalog = session
        .catalog("datafusion")
        .ok_or_else(|| DataFusionError::Internal("the session has no catalog".into()))?;
    if catalog.schema(&name.schema).is_none() {
        catalog.register_schema(&name.schema, Arc::new(MemorySchemaProvider::new()))?;
    }
    let table = match part {
        Some(part) => session.read_table(table)?.filter(part)?.into_view(),
        None => table,
    };
    session.register_table(TableReference::partial(name.schema.as_str(), name.table.as_str()), table)?;
    Ok(())
}

/// The places of the lake's `regions.csv` as a table.
pub fn gazetteer(gazetteer: &Gazetteer) -> Result<Arc<MemTable>, DataFusionError> {
    let places = gazetteer.places();
    let text = |get: fn(&KnownPlace) -> &str| -> ArrayRef {
        Arc::new(places.iter().map(|p| Some(get(p))).collect::<StringArray>())
    };
    let number = |get: fn(&KnownPlace) -> f64| -> ArrayRef {
        Arc::new(places.iter().map(|p| Some(get(p))).collect::<Float64Array>())
    };
    let chosen: BTreeSet<_> = gazetteer.chosen().iter().map(|p| &p.region_id).collect();
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("region_id", text(|p| p.region_id.as_str()), true),
        ("name", text(|p| &p.name), true),
        ("country", text(|p| &p.country), true),
        ("lon", number(|p| p.lon), true),
        ("lat", number(|p| p.lat), true),
        ("population", Arc::new(places.iter().map(|p| Some(p.population)).collect::<Int64Array>()), true),
        (
            "chosen",
            Arc::new(places.iter().map(|p| Some(chosen.contains(&p.region_id))).collect::<BooleanArray>()),
            true,
        ),
    ];
    let batch = RecordBatch::try_from_iter_with_nullable(columns)?;
    Ok(Arc::new(MemTable::try_new(batch.schema(), vec![vec![batch]])?))
}
