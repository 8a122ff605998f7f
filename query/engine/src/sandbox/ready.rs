//! From a task to a plan that can run: everything before the first row.

use std::sync::Arc;

use arrow::datatypes::{Field, Schema, SchemaRef};
use datafusion::execution::{SendableRecordBatchStream, SessionState, TaskContext};
use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder};
use datafusion::physical_plan::{ExecutionPlan, execute_stream};
use worker::{Refusal, Task};

use super::columns::shown;
use super::deep::deep;
use super::files::TaskFiles;
use super::guard;
use super::names::Names;
use super::plan::Plan;
use super::refuse::{from_engine, too_complex};
use super::session::{SMALL_BATCH_ROWS, Sessions, Settings};

/// Columns of an answer.
const COLUMNS: usize = 4_000;

/// A statement, judged, planned and guarded.
pub(super) struct Ready {
    physical: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    /// Under the names it is answered with, repeated ones not yet numbered.
    pub schema: SchemaRef,
}

impl Ready {
    /// Begins to run. Dropping the stream stops the work.
    pub(super) fn stream(self) -> Result<SendableRecordBatchStream, Refusal> {
        execute_stream(self.physical, self.context).map_err(|error| from_engine(&error))
    }
}

/// Plans the task's statement; `finish` puts its last steps around it. Errors: all refusals of the
/// sandbox that need no row.
pub(super) async fn ready<F>(
    sessions: &Sessions,
    task: &Task,
    plan: Plan,
    finish: F,
) -> Result<Ready, Refusal>
where
    F: FnOnce(LogicalPlan) -> Result<LogicalPlan, Refusal> + Send + 'static,
{
    let (sessions, scratch, threads) = (sessions.clone(), task.scratch.clone(), task.limits.threads);
    let files = TaskFiles::new(&plan, task.files.clone());
    deep(move || async move {
        let settings = Settings {
            now: plan.now,
            limits: plan.limits,
            threads,
            table_bytes: files.bytes(),
            sequential: plan.sequential,
            scratch: &scratch,
        };
        let state = sessions.open(&settings)?;
        files.register(state.runtime_env())?;
        let (logical, _) =
            Names::new(&plan, &state, &files).plan(&plan.sql, &plan.scope, &plan.params).await?;
        let logical = finish(narrow(logical)?)?;
        guarded(state, &logical, plan.limits.join_pairs).await
    })
    .await
}

/// At most `rows` rows and one more, which tells that there are more. The limit belongs into the plan: a
/// sort then keeps only what is answered.
pub(super) fn limited(plan: LogicalPlan, rows: u64) -> Result<LogicalPlan, Refusal> {
    let fetch = usize::try_from(rows).unwrap_or(usize::MAX).saturating_add(1);
    let built = LogicalPlanBuilder::from(plan).limit(0, Some(fetch)).and_then(LogicalPlanBuilder::build);
    built.map_err(|error| from_engine(&error))
}

fn narrow(plan: LogicalPlan) -> Result<LogicalPlan, Refusal> {
    match plan.schema().fields().len() > COLUMNS {
        true => Err(too_complex(format!("it has more than {COLUMNS} columns"))),
        false => Ok(plan),
    }
}

async fn guarded(mut state: SessionState, logical: &LogicalPlan, join_pairs: u64) -> Result<Ready, Refusal> {
    let mut physical = physical(&state, logical).await?;
    if guard::pairs(physical.as_ref(), join_pairs)? {
        let small = state.config().clone().with_batch_size(SMALL_BATCH_ROWS);
        *state.config_mut() = small;
        state.config_mut().options_mut().execution.enforce_batch_size_in_joins = true;
        physical = self::physical(&state, logical).await?;
    }
    let field = |field: &Arc<Field>| field.as_ref().clone().with_name(shown(field.name()));
    let schema = Arc::new(Schema::new(physical.schema().fields().iter().map(field).collect::<Vec<_>>()));
    Ok(Ready { physical, context: Arc::new(TaskContext::from(&state)), schema })
}

async fn physical(state: &SessionState, logical: &LogicalPlan) -> Result<Arc<dyn ExecutionPlan>, Refusal> {
    state.create_physical_plan(logical).await.map_err(|error| from_engine(&error))
}
