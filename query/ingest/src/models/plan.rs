//! A model planned over empty tables: what is wrong with it that its text alone does not tell.

use std::sync::Arc;

use arrow::compute::can_cast_types;
use arrow::datatypes::Schema;
use datafusion::datasource::MemTable;
use datafusion::error::DataFusionError;
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::prelude::SessionContext;
use identity::TableName;

use super::session::{self, GAZETTEER, gazetteer, put};
use super::{Model, tests};
use crate::lakefile::{Fault, Lakefile, TableSpec};

/// What is wrong with a model's names, columns and statements, each with the line of its file.
pub async fn faults(model: &Model, lakefile: &Lakefile) -> Vec<Fault> {
    let Some(spec) = lakefile.table(&model.table) else { return Vec::new() };
    let judge = Judge { model, lakefile, spec };
    let mut faults = judge.names();
    faults.extend(judge.columns());
    if faults.is_empty() {
        faults.extend(judge.statements().await);
    }
    faults
}

struct Judge<'a> {
    model: &'a Model,
    lakefile: &'a Lakefile,
    spec: &'a TableSpec,
}

impl Judge<'_> {
    fn fault(&self, line: usize, reason: String) -> Fault {
        Fault { file: self.model.file.clone(), line: Some(line), reason }
    }

    /// Where `word` first stands in the statement, else in the file.
    fn place(&self, word: &str) -> usize {
        let within = self.model.sql.lines().position(|line| line.contains(word));
        within.map_or_else(|| self.model.line_of(word), |n| self.model.sql_line + n)
    }

    /// Tables that are not there.
    fn names(&self) -> Vec<Fault> {
        let all = self.model.upstream.iter().chain(self.model.tests.reads());
        let unknown = all.filter(|name| !is_there(self.lakefile, name));
        unknown.map(|t| self.fault(self.place(&t.to_string()), format!("no table `{t}`"))).collect()
    }

    /// Columns that key, window and tests name and a table has not.
    fn columns(&self) -> Vec<Fault> {
        let model = self.model;
        let window = ["region_id"].into_iter().chain(model.window.date());
        let own = model.key.iter().chain(model.tests.columns()).map(String::as_str).chain(window);
        let mut missing: Vec<(&str, &TableSpec)> = own.map(|column| (column, self.spec)).collect();
        for target in model.tests.relationship.values() {
            missing.extend(self.lakefile.table(&target.table).map(|spec| (target.column.as_str(), spec)));
        }
        missing.retain(|(column, spec)| !spec.columns.iter().any(|c| c.name == *column));
        missing.sort_by_key(|(column, _)| *column);
        missing.dedup_by_key(|(column, _)| *column);
        let told = |(column, spec): (&str, &TableSpec)| {
            let words = [format!("\"{column}\""), format!(".{column}\""), column.to_owned()];
            let line = words.iter().find_map(|word| model.line_with(word)).unwrap_or(1);
            self.fault(line, format!("table `{}` has no column `{column}`", spec.name))
        };
        missing.into_iter().map(told).collect()
    }

    /// The model's statement, its rule and its tests.
    async fn statements(&self) -> Vec<Fault> {
        let session = match self.session() {
            Ok(session) => session,
            Err(error) => return vec![self.fault(1, words(&error))],
        };
        let mut faults = match planned(&session, &self.model.sql).await {
            // What a program makes of the rows is not known before it runs.
            Ok(_) if self.model.command.is_some() => Vec::new(),
            Ok(schema) => self.misfits(&schema),
            Err(error) => vec![self.fault(self.line(&error), words(&error))],
        };
        if let Some(rule) = &self.model.settled {
            let sql = format!("SELECT region_id FROM {} WHERE {rule}", self.model.table);
            let error = planned(&session, &sql).await.err();
            faults.extend(error.map(|e| self.fault(self.model.line_of("settled"), words(&e))));
        }
        for test in &self.model.tests.sql {
            let error = planned(&session, &test.sql).await.err();
            faults.extend(error.map(|e| {
                self.fault(self.model.line_of(&test.name), format!("test `{}`: {}", test.name, words(&e)))
            }));
        }
        faults
    }

    /// Every table that the model names, without a row.
    fn session(&self) -> Result<SessionContext, DataFusionError> {
        let session = session::empty(Arc::new(RuntimeEnv::default()), 1);
        let mut names: Vec<&TableName> = self.model.upstream.iter().chain(self.model.tests.reads()).collect();
        names.push(&self.model.table);
        names.sort();
        names.dedup();
        for name in names {
            let table = match self.lakefile.table(name) {
                Some(spec) => Arc::new(MemTable::try_new(spec.schema(), vec![vec![]])?),
                None => gazetteer(&self.lakefile.gazetteer)?,
            };
            put(&session, name, table, None)?;
        }
        let rows = MemTable::try_new(self.spec.schema(), vec![vec![]])?;
        put(&session, &tests::rows(), Arc::new(rows), None)?;
        Ok(session)
    }

    /// Columns of the statement that do not fit the declared table.
    fn misfits(&self, given: &Schema) -> Vec<Fault> {
        let mut faults = Vec::new();
        for column in &self.spec.columns {
            let (name, wanted) = (&column.name, column.r#type.arrow());
            match given.field_with_name(name) {
                Err(_) => faults.push(self.fault(
                    self.model.sql_line,
                    format!("it gives no column `{name}`, which table `{}` has", self.spec.name),
                )),
                Ok(field) if !can_cast_types(field.data_type(), &wanted) => faults.push(self.fault(
                    self.place(name),
                    format!(
                        "column `{name}` is {}, and the table's is {}",
                        field.data_type(),
                        column.r#type.name()
                    ),
                )),
                Ok(_) => {}
            }
        }
        let known = |name: &str| self.spec.columns.iter().any(|c| c.name == name);
        for field in given.fields().iter().filter(|field| !known(field.name())) {
            let reason =
                format!("it gives a column `{}`, which table `{}` has not", field.name(), self.spec.name);
            faults.push(self.fault(self.place(field.name()), reason));
        }
        faults
    }

    /// The line of the file that an error of the planner is about.
    fn line(&self, error: &DataFusionError) -> usize {
        let span = error.diagnostic().and_then(|d| d.span);
        let line = span.and_then(|span| usize::try_from(span.start.line).ok());
        self.model.sql_line + line.unwrap_or(1).max(1) - 1
    }
}

fn is_there(lakefile: &Lakefile, name: &TableName) -> bool {
    lakefile.table(name).is_some() || name.to_string() == GAZETTEER
}

/// The columns of a statement's rows. Errors: it cannot be planned.
async fn planned(session: &SessionContext, sql: &str) -> Result<Schema, DataFusionError> {
    let state = session.state();
    let plan = state.create_logical_plan(sql).await?;
    let schema = plan.schema().as_arrow().clone();
    // Types are made to fit each other only here.
    state.optimize(&plan)?;
    Ok(schema)
}

/// The first line of an error without its class.
fn words(error: &DataFusionError) -> String {
    error.strip_backtrace().lines().next().unwrap_or_default().to_owned()
}
