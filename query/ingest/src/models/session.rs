//! One SQL session per run of a model: only the tables it names, at the versions readers are served now, and of
//! them only the part that the touched windows need.

use std::collections::BTreeSet;
use std::str::FromStr;
use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::SchemaRef;
use catalog::Moment;
use datafusion::catalog::{MemorySchemaProvider, TableProvider};
use datafusion::common::TableReference;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::{SessionConfig, SessionContext};
use identity::TableName;
use lake::{Lake, Location};

use super::days::windows;
use super::window::Reach;
use super::{Model, ModelError, functions, tests, window};
use crate::lakefile::{Gazetteer, KnownPlace, Lakefile};
use crate::sources::Touched;

/// The lake's gazetteer as a table: `region_id, name, country, lon, lat, population, chosen`.
pub const GAZETTEER: &str = "lake.gazetteer";

/// What every session of the runner shares.
#[derive(Clone)]
pub struct Sessions {
    pub lakefile: Arc<Lakefile>,
    pub lake: Lake,
    pub runtime: Arc<RuntimeEnv>,
}

impl Sessions {
    /// A session with the tables of a model, each reduced to what the touched windows need; `None`: whole tables.
    pub async fn of_model(
        &self,
        model: &Model,
        moment: &Moment,
        touched: &Touched,
    ) -> Result<SessionContext, ModelError> {
        let session = empty(Arc::clone(&self.runtime));
        for name in &model.upstream {
            let (table, sort) = self.provider(model, name, moment).await?;
            let reach = Reach {
                lookback_days: model.lookback_days,
                carried: model.carried.contains(name),
                valid: model.valid.get(name).map(String::as_str),
            };
            let part = match model.whole.contains(name) {
                true => None,
                false => window::input(&table.schema(), &sort, touched, reach),
            };
            put(&session, name, table, part)
                .map_err(|source| ModelError::Statement { model: model.table.clone(), source })?;
        }
        Ok(session)
    }

    /// A session with the one table that a model fills.
    pub async fn of_own_table(&self, model: &Model, moment: &Moment) -> Result<SessionContext, ModelError> {
        let session = empty(Arc::clone(&self.runtime));
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
        let failed = |source| ModelError::Statement { model: model.table.clone(), source };
        if name.to_string() == GAZETTEER {
            return Ok((gazetteer(&self.lakefile.gazetteer).map_err(failed)?, Vec::new()));
        }
        let missing = || ModelError::Missing { model: model.table.clone(), table: name.clone() };
        let table = moment.table(name).ok_or_else(missing)?;
        let spec = self.lakefile.table(name).ok_or_else(missing)?;
        let Some(version) = table.version else {
            let empty = MemTable::try_new(spec.schema(), vec![vec![]]).map_err(failed)?;
            return Ok((Arc::new(empty), table.sort.clone()));
        };
        let location = Location::from_str(&table.location).map_err(|_| missing())?;
        let snapshot = self.lake.snapshot(&location, version).await?;
        Ok((self.lake.provider(snapshot, &table.sort)?, table.sort.clone()))
    }
}

/// A session without tables, with the functions of models.
pub fn empty(runtime: Arc<RuntimeEnv>) -> SessionContext {
    let mut config = SessionConfig::new().with_information_schema(false);
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
    part: Option<datafusion::logical_expr::Expr>,
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
