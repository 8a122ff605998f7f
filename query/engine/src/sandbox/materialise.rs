//! The result of a statement as sorted Parquet files in the scratch folder, for the gateway to adopt.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, ident};
use futures::StreamExt;
use lake::{LocalWriter, WriterOptions};
use serde_json::json;
use worker::{Refusal, Reply, Task};

use super::columns::{renamed, shown};
use super::head;
use super::plan::{Materialise, Written, WrittenFile};
use super::ready::ready;
use super::refuse::{from_engine, too_large};
use super::session::Sessions;
use crate::encode::{columns, unique_names};

/// Rows between two words of progress.
const PROGRESS_ROWS: u64 = 200_000;
const NAME_CHARS: usize = 63;

/// Runs the statement and writes all its rows. Errors: those of a query; `query-too-large` when it has
/// more rows than it may, because half a table is none; `storage-full`.
pub(super) async fn run(sessions: &Sessions, task: Task, asked: Materialise) -> Result<Reply, Refusal> {
    let most = asked.plan.limits.rows;
    let sort = asked.sort.clone();
    let ready = ready(sessions, &task, asked.plan, move |plan| storable(plan, &sort)).await?;
    let schema = ready.schema.clone();
    let options =
        WriterOptions { sort: asked.sort, target_bytes: asked.target_bytes, ..WriterOptions::default() };
    let mut writer = LocalWriter::create(&task.scratch, &schema, options).map_err(|error| failed(&error))?;
    let mut stream = ready.stream()?;
    let (mut rows, mut told) = (0_u64, 0_u64);
    while let Some(batch) = stream.next().await {
        let batch = batch.map_err(|error| from_engine(&error))?;
        rows += batch.num_rows() as u64;
        if rows > most {
            return Err(too_large(format!("the result has more than {most} rows")));
        }
        writer.write(&under(&schema, &batch)?).map_err(|error| failed(&error))?;
        if rows - told >= PROGRESS_ROWS {
            told = rows;
            task.files.progress(json!({ "rows": rows })).await;
        }
    }
    let schema = writer.schema().clone();
    let files = writer.finish().map_err(|error| failed(&error))?;
    let files = files.into_iter().map(|described| WrittenFile { described }).collect();
    Ok(Reply::head(head(&Written { rows, columns: columns(&schema), schema, files })?))
}

/// Puts names that can be stored on the columns, and sorts. Errors: `unknown-column` of the sort.
fn storable(plan: LogicalPlan, sort: &[String]) -> Result<LogicalPlan, Refusal> {
    let names = stored_names(plan.schema().fields().iter().map(|field| shown(field.name())));
    let built = renamed(plan, &names);
    if let Some(absent) = sort.iter().find(|name| !names.contains(name)) {
        return Err(Refusal::new("unknown-column", format!("there is no column `{absent}` to sort by")));
    }
    let by = sort.iter().map(|name| ident(name.as_str()).sort(true, false));
    let sorted =
        built.and_then(|built| if sort.is_empty() { Ok(built) } else { built.sort(by.collect::<Vec<_>>()) });
    sorted.and_then(LogicalPlanBuilder::build).map_err(|error| from_engine(&error))
}

/// What columns of these names are called in a stored table, each once.
pub fn stored_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<String> = names.map(stored_name).collect();
    unique_names(names.iter().map(String::as_str))
}

/// A name every reader of the table can write: `count(*)` becomes `count`.
fn stored_name(name: &str) -> String {
    let mut stored = String::new();
    for part in
        name.to_lowercase().split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| !part.is_empty())
    {
        if !stored.is_empty() {
            stored.push('_');
        }
        stored.push_str(part);
    }
    if !stored.starts_with(|c: char| c.is_ascii_lowercase()) {
        stored.insert_str(0, "c_");
    }
    stored.chars().take(NAME_CHARS).collect()
}

fn under(schema: &SchemaRef, batch: &RecordBatch) -> Result<RecordBatch, Refusal> {
    // Names and nullability are the schema's; types are the batch's own.
    let field = |(named, real): (&Arc<Field>, &Arc<Field>)| {
        named.as_ref().clone().with_data_type(real.data_type().clone())
    };
    let own = batch.schema();
    let schema = Schema::new(schema.fields().iter().zip(own.fields()).map(field).collect::<Vec<_>>());
    RecordBatch::try_new(Arc::new(schema), batch.columns().to_vec())
        .map_err(|error| from_engine(&error.into()))
}

fn failed(error: &lake::Error) -> Refusal {
    match error {
        lake::Error::StorageFull => Refusal::new("storage-full", "there is no room left to store the result"),
        lake::Error::Unsupported(why) => Refusal::new("invalid-sql", why.clone()),
        other => {
            tracing::error!(error = %other, "a result could not be written");
            Refusal::new("internal", "the result cannot be written")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::stored_name;

    #[test]
    fn stored_names_can_be_written_in_sql() {
        let pairs = [
            ("count(*)", "count"),
            ("sum(my.sales.Price)", "sum_my_sales_price"),
            ("day", "day"),
            ("1", "c_1"),
            ("é", "c_"),
        ];
        for (name, stored) in pairs {
            assert_eq!(stored_name(name), stored);
        }
    }
}
