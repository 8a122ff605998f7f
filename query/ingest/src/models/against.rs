//! A model's tests that need other tables: relationships, values unique in the whole table, freshness, statements.

use arrow::array::{AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, TimeUnit, TimestampMicrosecondType};
use arrow::util::display::array_value_to_string;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use datafusion::common::{JoinType, TableReference};
use datafusion::error::DataFusionError;
use datafusion::functions_aggregate::expr_fn::max;
use datafusion::logical_expr::{Expr, cast as cast_expr, col, not};
use datafusion::prelude::{DataFrame, SessionContext};
use identity::TableName;

use super::Model;
use super::tests::{self, Statement, Target, Verdict};
use crate::lakefile::Period;

/// A value that breaks a statement is told with at most so many characters.
const TOLD: usize = 300;

/// Runs the tests that read other tables than the new rows, before these are published.
/// - `session`: the tables that the tests name, whole, as readers are served them, and the new rows as [`tests::rows`].
/// - `going`: the rows of the model's table that the new ones replace.
pub async fn against(
    model: &Model,
    session: &SessionContext,
    going: &Expr,
) -> Result<Vec<Verdict>, DataFusionError> {
    let mut verdicts = Vec::new();
    for column in &model.tests.unique {
        let broken = twice(model, column, session, going).await?;
        verdicts.push(Verdict::of("unique", [column], broken));
    }
    for (column, target) in &model.tests.relationship {
        verdicts.push(Verdict::of("relationship", [column], unknown(column, target, session).await?));
    }
    for statement in &model.tests.sql {
        verdicts.push(Verdict::of(&statement.name, [""; 0], rows_of(statement, session).await?));
    }
    Ok(verdicts)
}

/// A value of `column` that a row has which stays, and a new one too.
async fn twice(
    model: &Model,
    column: &str,
    session: &SessionContext,
    going: &Expr,
) -> Result<Option<String>, DataFusionError> {
    let stays = table(session, &model.table).await?.filter(not(going.clone()))?.select(vec![col(column)])?;
    let new = rows(session).await?.select(vec![col(column).alias("new_value")])?;
    let both = new.join(stays, JoinType::Inner, &["new_value"], &[column], None)?;
    let value = first(both.select(vec![col("new_value")])?).await?;
    Ok(value.map(|value| format!("`{column}` has {value}, which another row of the table has")))
}

/// A value of `column` that the target has not.
async fn unknown(
    column: &str,
    target: &Target,
    session: &SessionContext,
) -> Result<Option<String>, DataFusionError> {
    let known =
        table(session, &target.table).await?.select(vec![col(&target.column).alias("known_value")])?;
    let new = rows(session).await?.filter(col(column).is_not_null())?.select(vec![col(column)])?;
    let without = new.join(known, JoinType::LeftAnti, &[column], &["known_value"], None)?;
    let value = first(without).await?;
    Ok(value.map(|v| format!("`{column}` has {v}, which {}.{} has not", target.table, target.column)))
}

async fn rows_of(statement: &Statement, session: &SessionContext) -> Result<Option<String>, DataFusionError> {
    let row = first(session.sql(&statement.sql).await?).await?;
    Ok(row.map(|row| format!("`{}` has a row: {row}", statement.name)))
}

/// Judges how old the newest value of each column is that the header asks to be fresh.
/// - `session`: the model's own table as the run leaves it.
pub async fn fresh(
    model: &Model,
    session: &SessionContext,
    now: DateTime<Utc>,
) -> Result<Vec<Verdict>, DataFusionError> {
    let mut verdicts = Vec::new();
    for (column, age) in &model.tests.freshness {
        let newest = newest(table(session, &model.table).await?, column).await?;
        verdicts.push(Verdict::of("freshness", [column], stale(column, newest, *age, now)));
    }
    Ok(verdicts)
}

async fn newest(table: DataFrame, column: &str) -> Result<Option<DateTime<Utc>>, DataFusionError> {
    let instant = DataType::Timestamp(TimeUnit::Microsecond, None);
    let batches = table.aggregate(vec![], vec![max(col(column)).alias("newest")])?;
    let batches = batches.select(vec![cast_expr(col("newest"), instant)])?.collect().await?;
    let micros = batches.first().and_then(|batch| {
        let column = batch.column(0).as_primitive::<TimestampMicrosecondType>();
        column.iter().next().flatten()
    });
    Ok(micros.and_then(DateTime::from_timestamp_micros))
}

fn stale(column: &str, newest: Option<DateTime<Utc>>, age: Period, now: DateTime<Utc>) -> Option<String> {
    let Some(newest) = newest else { return Some(format!("`{column}` has no value")) };
    let least = now - TimeDelta::try_seconds(age.seconds())?;
    let told = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
    (newest < least)
        .then(|| format!("the newest `{column}` is {}, which is before {}", told(newest), told(least)))
}

async fn table(session: &SessionContext, name: &TableName) -> Result<DataFrame, DataFusionError> {
    session.table(TableReference::partial(name.schema.as_str(), name.table.as_str())).await
}

async fn rows(session: &SessionContext) -> Result<DataFrame, DataFusionError> {
    table(session, &tests::rows()).await
}

/// The first row in words: its values, joined.
async fn first(rows: DataFrame) -> Result<Option<String>, DataFusionError> {
    let batches = rows.limit(0, Some(1))?.collect().await?;
    let Some(batch) = batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(None) };
    Ok(Some(told(batch)?))
}

fn told(batch: &RecordBatch) -> Result<String, DataFusionError> {
    let texts = batch.columns().iter().map(|column| {
        // Text in views has no display of its own length; as plain text it has.
        let plain = cast(column, &DataType::Utf8).unwrap_or_else(|_| column.clone());
        array_value_to_string(&plain, 0)
    });
    let text = texts.collect::<Result<Vec<_>, _>>()?.join(", ");
    Ok(text.chars().take(TOLD).collect())
}
