//! What a failing model owes: windows that no good run has computed yet. Kept in the catalog, so that no kill forgets them.

use std::time::Duration;

use catalog::{Catalog, ModelRun, Table};
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use super::run::Ran;
use super::{Model, ModelError};
use crate::sources::Touched;
use crate::words::chain;

/// A failing model rests for so many times as long as its last run took, so that it takes a tenth of a core at most,
const REST: i32 = 10;
/// but at least and at most for so long.
const SHORTEST: TimeDelta = TimeDelta::seconds(5);
const LONGEST: TimeDelta = TimeDelta::minutes(10);

/// Whether a failing model is tried before its rest is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    Rests,
    AtOnce,
}

/// What a run has to compute now: what changed, and what the model owes. `None` when that is nothing, or when the model
/// rests; it owes what changed then.
/// - Errors: the catalog's.
pub async fn due(
    catalog: &Catalog,
    table: &Table,
    touched: Touched,
    patience: Patience,
    now: DateTime<Utc>,
) -> Result<Option<Touched>, ModelError> {
    let last = if table.failing() { catalog.model_run(table.id).await? } else { None };
    let Some(last) = last else { return Ok(some(touched)) };
    let owed: Touched = serde_json::from_value(last.owed).unwrap_or_default();
    let mut due = owed.clone();
    due.merge(&touched);
    if patience == Patience::AtOnce || last.retry_at.is_none_or(|at| at <= now) {
        return Ok(some(due));
    }
    if due != owed {
        catalog.owe(table.id, &json!(due)).await?;
    }
    Ok(None)
}

fn some(touched: Touched) -> Option<Touched> {
    (!touched.is_empty()).then_some(touched)
}

/// Writes how a run ended and, where it failed, what it owes and when it is tried again.
/// - Errors: the catalog's.
pub async fn note(
    catalog: &Catalog,
    model: &Model,
    table: &Table,
    ran: &Ran,
    now: DateTime<Utc>,
    took: Duration,
) -> Result<(), ModelError> {
    let failure = ran.failure.as_ref().map(|failure| chain(failure));
    tracing::debug!(model = %model.table, rows = ran.rows(), ?took, "the model ran");
    tell(model, table, failure.as_deref());
    let version = catalog.moment().table(&model.table).and_then(|t| t.version);
    let run = ModelRun {
        table: table.id,
        at: now,
        version,
        rows: i64::try_from(ran.rows()).unwrap_or(i64::MAX),
        retry_at: failure.is_some().then(|| now + rest(took)),
        failure,
        tests: json!(ran.verdicts),
        owed: if ran.owed.is_empty() { Value::Null } else { json!(ran.owed) },
    };
    Ok(catalog.note_model_run(&run).await?)
}

fn rest(took: Duration) -> TimeDelta {
    let took = TimeDelta::from_std(took).unwrap_or(LONGEST).min(LONGEST);
    (took * REST).clamp(SHORTEST, LONGEST)
}

/// The log hears of each failure, and of the first in the words of a fault; a model that fails rests longer and longer.
fn tell(model: &Model, table: &Table, failure: Option<&str>) {
    let name = || model.table.to_string();
    metrics::gauge!("lakefront_model_failing", "model" => name()).set(f64::from(u8::from(failure.is_some())));
    let Some(error) = failure else {
        if table.failing() {
            tracing::info!(model = %model.table, "the model runs again");
        }
        return;
    };
    metrics::counter!("lakefront_model_failures_total", "model" => name()).increment(1);
    if table.failing() {
        tracing::warn!(model = %model.table, error, "the model still fails");
    } else {
        tracing::error!(model = %model.table, error, "the model failed; its table keeps the version it has");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_model_takes_a_tenth_of_the_time_at_most() {
        assert_eq!(rest(Duration::from_millis(3)), SHORTEST);
        assert_eq!(rest(Duration::from_secs(7)), TimeDelta::seconds(70));
        assert_eq!(rest(Duration::from_secs(86_400)), LONGEST);
    }
}
