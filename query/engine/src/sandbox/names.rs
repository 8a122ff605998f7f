//! What the names of a statement stand for: only what its own scope lists, and nothing else exists.
//!
//! ```text
//! scope {"my.sales": "t0", "my.report": "v1"} ─▶ catalog of one query
//!                     v1: its own SQL, planned in its own scope ─▶ view
//! ```
//! `my` means the owner of the text it stands in: a view brings its own scope, so that another
//! customer's `my` never becomes the reader's.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use datafusion::catalog::view::ViewTable;
use datafusion::catalog::{
    CatalogProvider, CatalogProviderList, MemoryCatalogProvider, MemoryCatalogProviderList,
    MemorySchemaProvider, SchemaProvider, TableProvider,
};
use datafusion::error::DataFusionError;
use datafusion::execution::SessionState;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::Statement as DfStatement;
use datafusion::sql::sqlparser::ast::Statement;
use futures::future::BoxFuture;
use worker::Refusal;

use super::files::TaskFiles;
use super::plan::{Object, Plan};
use super::refuse::{self, from_engine, too_complex, unknown_table};
use super::statement::{Checked, check};
use super::{columns, params};

pub(super) const CATALOG: &str = "lake";
/// Where a name without a schema is looked for: nowhere.
pub(super) const NO_SCHEMA: &str = "~";

const VIEW_DEPTH: usize = 16;

type Scope = BTreeMap<String, String>;

/// A name's table and how many tables it stands for.
type Prepared = (Arc<dyn TableProvider>, u64);

/// Opens the objects of one plan, each once, and only those that are named.
pub(super) struct Names<'a> {
    plan: &'a Plan,
    /// A session without any table.
    state: &'a SessionState,
    files: &'a TaskFiles,
    ready: HashMap<String, Prepared>,
    /// Views being opened, outermost first.
    open: Vec<String>,
}

impl<'a> Names<'a> {
    pub(super) fn new(plan: &'a Plan, state: &'a SessionState, files: &'a TaskFiles) -> Self {
        Self { plan, state, files, ready: HashMap::new(), open: Vec::new() }
    }

    /// The plan of `sql` in `scope` with its parameters bound, and its weight.
    /// Errors: all of [`check`], `unknown-table`, `invalid-parameter`, and what planning says.
    pub(super) async fn plan(
        &mut self,
        sql: &str,
        scope: &Scope,
        values: &[serde_json::Value],
    ) -> Result<(LogicalPlan, u64), Refusal> {
        let checked = check(sql)?;
        let tables = self.tables(&checked, scope).await?;
        let weight = checked.weigh(&|name| tables.get(name).map_or(1, |(_, weight)| *weight))?;
        let mut state = self.state.clone();
        state.register_catalog_list(catalog(&tables)?);
        let expected = checked.resolved.params;
        let plan = logical(&state, checked.statement, sql).await?;
        verify(&plan)?;
        Ok((params::bind(plan, values, expected)?, weight))
    }

    async fn tables(
        &mut self,
        checked: &Checked,
        scope: &Scope,
    ) -> Result<HashMap<String, Prepared>, Refusal> {
        let mut tables = HashMap::new();
        for name in &checked.resolved.tables {
            let object = scope.get(name).ok_or_else(|| unknown_table(name))?;
            tables.insert(name.clone(), self.prepare(object.clone(), name).await?);
        }
        Ok(tables)
    }

    fn prepare<'b>(&'b mut self, object: String, name: &'b str) -> BoxFuture<'b, Result<Prepared, Refusal>> {
        Box::pin(async move {
            if let Some(ready) = self.ready.get(&object) {
                return Ok(ready.clone());
            }
            let plan = self.plan;
            let prepared = match plan.objects.get(&object) {
                None => return Err(unknown_table(name)),
                Some(Object::Table(table)) => (self.files.table(table)?, 1),
                Some(Object::View { sql, scope, params }) => self.view(&object, sql, scope, params).await?,
            };
            self.ready.insert(object, prepared.clone());
            Ok(prepared)
        })
    }

    async fn view(
        &mut self,
        object: &str,
        sql: &str,
        scope: &Scope,
        values: &[serde_json::Value],
    ) -> Result<Prepared, Refusal> {
        if self.open.iter().any(|open| open == object) {
            return Err(too_complex("a view refers to itself"));
        }
        if self.open.len() >= VIEW_DEPTH {
            return Err(too_complex(format!("its views are more than {VIEW_DEPTH} deep")));
        }
        self.open.push(object.to_owned());
        let (plan, weight) = self.plan(sql, scope, values).await?;
        self.open.pop();
        let plan = columns::as_shown(plan).map_err(|error| from_engine(&error))?;
        Ok((Arc::new(ViewTable::new(plan, None)), weight))
    }
}

/// Plans a statement of that text; columns without a name get one, and those of one name in its outermost SELECT are told apart.
async fn logical(state: &SessionState, statement: Statement, sql: &str) -> Result<LogicalPlan, Refusal> {
    let plan = |statement: Statement| state.statement_to_plan(DfStatement::Statement(Box::new(statement)));
    let named = columns::named(statement.clone());
    match plan(named.clone()).await {
        Ok(plan) => return Ok(plan),
        Err(error) if columns::is_duplicate(&error) => {
            if let Ok(plan) = plan(columns::tell_apart(named)).await {
                return Ok(plan);
            }
        }
        Err(_) => {}
    }
    // Where a name of ours is in the engine's way, its own has to do.
    plan(statement).await.map_err(|error| refuse::of_statement(&error, sql))
}

/// The second look, on the plan itself: nothing in it may change anything.
fn verify(plan: &LogicalPlan) -> Result<(), Refusal> {
    let read_only =
        SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false);
    read_only.verify_plan(plan).map_err(|_| refuse::not_read_only())
}

fn catalog(tables: &HashMap<String, Prepared>) -> Result<Arc<dyn CatalogProviderList>, Refusal> {
    let catalog = MemoryCatalogProvider::new();
    for (name, (provider, _)) in tables {
        // A name without exactly two parts is in no scope, so it never gets here.
        if let Some((schema, table)) = name.split_once('.') {
            put(&catalog, schema, table, provider.clone()).map_err(|error| from_engine(&error))?;
        }
    }
    let list = MemoryCatalogProviderList::new();
    list.register_catalog(CATALOG.to_owned(), Arc::new(catalog));
    Ok(Arc::new(list))
}

fn put(
    catalog: &MemoryCatalogProvider,
    schema: &str,
    table: &str,
    provider: Arc<dyn TableProvider>,
) -> Result<(), DataFusionError> {
    let known = match catalog.schema(schema) {
        Some(known) => known,
        None => {
            let new: Arc<dyn SchemaProvider> = Arc::new(MemorySchemaProvider::new());
            catalog.register_schema(schema, Arc::clone(&new))?;
            new
        }
    };
    known.register_table(table.to_owned(), provider)?;
    Ok(())
}
