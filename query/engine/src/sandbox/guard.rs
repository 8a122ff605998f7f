//! Joins that look at every pair of rows: refused where the pairs are known to be too many, otherwise run
//! in small batches, because one batch of them is one call that nothing can stop.

use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::statistics::{StatisticsArgs, StatisticsContext};
use worker::Refusal;

use super::refuse::too_large;

/// Operators whose cost is the product of their inputs.
const PAIRING: [&str; 3] = ["CrossJoinExec", "NestedLoopJoinExec", "PiecewiseMergeJoinExec"];

/// Whether `plan` holds such a join. Errors: `query-too-large` when one is known to look at more than
/// `most_pairs` pairs.
pub(super) fn pairs(plan: &dyn ExecutionPlan, most_pairs: u64) -> Result<bool, Refusal> {
    let mut found = false;
    let mut left = vec![plan];
    while let Some(plan) = left.pop() {
        let children = plan.children();
        if PAIRING.contains(&plan.name()) {
            found = true;
            let known: Option<Vec<u64>> = children.iter().map(|child| rows(child.as_ref())).collect();
            let pairs = known.map_or(0, |rows| rows.into_iter().fold(1, u64::saturating_mul));
            if pairs > most_pairs {
                return Err(too_large(format!(
                    "a join without a key would look at {pairs} pairs of rows; {most_pairs} are allowed"
                )));
            }
        }
        left.extend(children.into_iter().map(AsRef::as_ref));
    }
    Ok(found)
}

/// Rows the plan is expected to give, if anything is known of them.
fn rows(plan: &dyn ExecutionPlan) -> Option<u64> {
    let statistics = StatisticsContext::new().compute(plan, &StatisticsArgs::new()).ok()?;
    statistics.num_rows.get_value().map(|rows| *rows as u64)
}
