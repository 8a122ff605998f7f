//! Window functions over the last days of a region: `mean_of_days(value, day, 7) OVER (PARTITION BY region_id ORDER BY day)`.
//!
//! A row's frame are the rows dated in the days up to its own, so a gap is a gap and no older day takes its place.
//! The frame is walked anew for each row: equal frames give equal bits, whatever else is computed with them, which a
//! running sum does not promise.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, Float64Array, UInt64Array};
use arrow::compute::take;
use arrow::datatypes::{DataType, Date32Type, Field, FieldRef, Float64Type, Int64Type};
use datafusion::common::{DataFusionError, Result, plan_err};
use datafusion::logical_expr::function::{PartitionEvaluatorArgs, WindowUDFFieldArgs};
use datafusion::logical_expr::{
    LimitEffect, PartitionEvaluator, Signature, Volatility, WindowUDF, WindowUDFImpl,
};
use datafusion::physical_plan::PhysicalExpr;

/// `mean_of_days`, `sum_of_days`, `min_of_days`, `max_of_days`, `count_of_days` (value, day, days) and
/// `newest(value)`: the last value up to the row that is not null.
pub fn windows() -> Vec<WindowUDF> {
    let of_days = [Measure::Mean, Measure::Sum, Measure::Min, Measure::Max, Measure::Count];
    let mut all: Vec<WindowUDF> =
        of_days.into_iter().map(|measure| WindowUDF::new_from_impl(OfDays::new(measure))).collect();
    all.push(WindowUDF::new_from_impl(Newest::new()));
    all
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Measure {
    Mean,
    Sum,
    Min,
    Max,
    Count,
}

impl Measure {
    fn name(self) -> &'static str {
        match self {
            Self::Mean => "mean_of_days",
            Self::Sum => "sum_of_days",
            Self::Min => "min_of_days",
            Self::Max => "max_of_days",
            Self::Count => "count_of_days",
        }
    }

    /// Of the values that are not null, in the order of their days; null where there are none, but a count is 0.
    fn of(self, values: impl Iterator<Item = f64>) -> Option<f64> {
        let (mut count, mut sum, mut low, mut high) = (0_u32, 0.0, f64::INFINITY, f64::NEG_INFINITY);
        for value in values {
            (count, sum, low, high) = (count + 1, sum + value, low.min(value), high.max(value));
        }
        match self {
            Self::Count => Some(f64::from(count)),
            _ if count == 0 => None,
            Self::Mean => Some(sum / f64::from(count)),
            Self::Sum => Some(sum),
            Self::Min => Some(low),
            Self::Max => Some(high),
        }
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct OfDays {
    measure: Measure,
    signature: Signature,
}

impl OfDays {
    fn new(measure: Measure) -> Self {
        Self { measure, signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl WindowUDFImpl for OfDays {
    fn name(&self) -> &str {
        self.measure.name()
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, arguments: &[DataType]) -> Result<Vec<DataType>> {
        match arguments {
            [value, DataType::Date32, days] if value.is_numeric() && days.is_integer() => {
                Ok(vec![DataType::Float64, DataType::Date32, DataType::Int64])
            }
            _ => plan_err!("{} takes a number, a date and a number of days", self.name()),
        }
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Frames(self.measure)))
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        Ok(Arc::new(Field::new(arguments.name(), DataType::Float64, true)))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

#[derive(Debug)]
struct Frames(Measure);

impl PartitionEvaluator for Frames {
    fn evaluate_all(&mut self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [values, days, lengths] = columns else {
            return plan_err!("{} takes three arguments", self.0.name());
        };
        let (values, days) = (values.as_primitive::<Float64Type>(), days.as_primitive::<Date32Type>());
        let lengths = lengths.as_primitive::<Int64Type>();
        let mut first = 0;
        let frame = |row: usize| {
            let oldest = i64::from(days.value(row)) - lengths.value(row) + 1;
            while i64::from(days.value(first)) < oldest {
                first += 1;
            }
            let known = (first..=row).filter(|at| values.is_valid(*at));
            self.0.of(known.map(|at| values.value(at)))
        };
        Ok(Arc::new((0..rows).map(frame).collect::<Float64Array>()))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Newest {
    signature: Signature,
}

impl Newest {
    fn new() -> Self {
        Self { signature: Signature::any(1, Volatility::Immutable) }
    }
}

impl WindowUDFImpl for Newest {
    fn name(&self) -> &str {
        "newest"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn partition_evaluator(&self, _: PartitionEvaluatorArgs) -> Result<Box<dyn PartitionEvaluator>> {
        Ok(Box::new(Last))
    }

    fn field(&self, arguments: WindowUDFFieldArgs) -> Result<FieldRef> {
        let value = arguments.get_input_field(0);
        let value = value.ok_or_else(|| DataFusionError::Plan("newest takes one argument".into()))?;
        Ok(Arc::new(Field::new(arguments.name(), value.data_type().clone(), true)))
    }

    fn limit_effect(&self, _: &[Arc<dyn PhysicalExpr>]) -> LimitEffect {
        LimitEffect::Unknown
    }
}

#[derive(Debug)]
struct Last;

impl PartitionEvaluator for Last {
    fn evaluate_all(&mut self, columns: &[ArrayRef], rows: usize) -> Result<ArrayRef> {
        let [values] = columns else { return plan_err!("newest takes one argument") };
        let mut last: Option<u64> = None;
        let up_to = |row: usize| {
            last = if values.is_valid(row) { Some(row as u64) } else { last };
            last
        };
        let places: UInt64Array = (0..rows).map(up_to).collect();
        Ok(take(values, &places, None)?)
    }
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    #[tokio::test]
    async fn a_frame_are_the_days_up_to_the_row_and_a_gap_is_a_gap() {
        let session = SessionContext::new();
        windows().into_iter().for_each(|f| session.register_udwf(f));
        let sql = "SELECT day, mean_of_days(v, day, 3) OVER r AS mean, sum_of_days(v, day, 3) OVER r AS sum,
                min_of_days(v, day, 3) OVER r AS low, max_of_days(v, day, 3) OVER r AS high,
                CAST(count_of_days(v, day, 3) OVER r AS BIGINT) AS days, newest(v) OVER r AS newest
            FROM (SELECT region, CAST(d AS DATE) AS day, v FROM (VALUES
                ('a', '2026-03-01', 1), ('a', '2026-03-02', NULL), ('a', '2026-03-03', 3), ('a', '2026-03-06', NULL),
                ('b', '2026-03-03', 7)) AS t (region, d, v))
            WINDOW r AS (PARTITION BY region ORDER BY day) ORDER BY region, day";
        let rows = session.sql(sql).await.unwrap().collect().await.unwrap();
        let text = pretty_format_batches(&rows).unwrap().to_string();
        let lines: Vec<String> = text
            .lines()
            .skip(3)
            .map(|l| l.split('|').map(str::trim).collect::<Vec<_>>().join(" ").trim().to_owned())
            .collect();
        assert_eq!(
            lines[..5],
            [
                "2026-03-01 1.0 1.0 1.0 1.0 1 1",
                "2026-03-02 1.0 1.0 1.0 1.0 1 1",
                "2026-03-03 2.0 4.0 1.0 3.0 2 3",
                "2026-03-06     0 3",
                "2026-03-03 7.0 7.0 7.0 7.0 1 7",
            ]
        );
    }
}
