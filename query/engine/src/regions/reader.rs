//! Runs a served statement over one table of the lake at a pinned version. These statements are ours; customers' run in workers.

use std::sync::Arc;

use arrow::record_batch::RecordBatch;
use catalog::Table;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider,
};
use datafusion::common::ParamValues;
use datafusion::execution::{SendableRecordBatchStream, SessionState, SessionStateBuilder};
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext};
use datafusion::scalar::ScalarValue;
use lake::{Lake, Location, Snapshot};

use crate::QueryError;

/// Opens tables and runs served statements, each on one partition: they read few row groups, and many run at once.
#[derive(Clone)]
pub(super) struct Reader {
    lake: Lake,
    state: Arc<SessionState>,
}

impl Reader {
    pub fn new(lake: Lake) -> Self {
        let config = SessionConfig::new().with_target_partitions(1).with_information_schema(false);
        let state = SessionContext::new_with_config(config).state();
        Self { lake, state: Arc::new(state) }
    }

    /// The table as it was at `version`. Errors: `as-of-expired` where it is no longer kept.
    pub async fn snapshot(&self, table: &Table, version: i64) -> Result<Arc<Snapshot>, QueryError> {
        let location: Location = table.location.parse().map_err(QueryError::engine)?;
        self.lake.snapshot(&location, version).await.map_err(crate::error::of_snapshot)
    }

    /// The rows of `sql` with `params` bound in order, where the table is called `name`.
    pub async fn rows(
        &self,
        table: &Table,
        snapshot: Arc<Snapshot>,
        name: &str,
        sql: &'static str,
        params: Vec<ScalarValue>,
    ) -> Result<Vec<RecordBatch>, QueryError> {
        let frame = self.frame(table, snapshot, name, sql, params).await?;
        frame.collect().await.map_err(QueryError::lake)
    }

    /// The same as they come.
    pub async fn stream(
        &self,
        table: &Table,
        snapshot: Arc<Snapshot>,
        name: &str,
        sql: &'static str,
        params: Vec<ScalarValue>,
    ) -> Result<SendableRecordBatchStream, QueryError> {
        let frame = self.frame(table, snapshot, name, sql, params).await?;
        frame.execute_stream().await.map_err(QueryError::lake)
    }

    async fn frame(
        &self,
        table: &Table,
        snapshot: Arc<Snapshot>,
        name: &str,
        sql: &'static str,
        params: Vec<ScalarValue>,
    ) -> Result<DataFrame, QueryError> {
        let provider = self.lake.provider(snapshot, &table.sort).map_err(QueryError::lake)?;
        let session = self.session();
        session.register_table(name, provider).map_err(QueryError::lake)?;
        let params = ParamValues::from(params);
        let frame = session.sql(sql).await.and_then(|frame| frame.with_param_values(params));
        frame.map_err(QueryError::engine)
    }

    /// A session whose names belong to one statement: a catalog shared with others would mix up their tables.
    fn session(&self) -> SessionContext {
        let (names, own) = (MemoryCatalogProviderList::new(), MemoryCatalogProvider::new());
        let options = &self.state.config_options().catalog;
        // A new provider has no schema of any name, so nothing is replaced and nothing can fail.
        let _ = own.register_schema(&options.default_schema, Arc::new(MemorySchemaProvider::new()));
        names.register_catalog(options.default_catalog.clone(), Arc::new(own));
        let state = SessionStateBuilder::new_from_existing(self.state.as_ref().clone());
        SessionContext::new_with_state(state.with_catalog_list(Arc::new(names)).build())
    }
}
