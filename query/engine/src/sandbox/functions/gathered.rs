//! Aggregates that keep all they see (`string_agg`, `array_agg`), with a cap on how much that is.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BooleanArray};
use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::{Result, ScalarValue, resources_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::utils::AggregateOrderSensitivity;
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, EmitTo, GroupsAccumulator, ReversedUDAF, Signature,
};

use super::capped::TOO_LARGE;
use super::inner::as_inner;

/// Bytes all groups of one aggregate of one partition may keep.
const KEPT_BYTES: u64 = 128 << 20;

/// `inner`, refused where it would keep more than [`KEPT_BYTES`].
pub(super) fn capped(inner: Arc<AggregateUDF>) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Gathered { inner }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Gathered {
    inner: Arc<AggregateUDF>,
}

impl AggregateUDFImpl for Gathered {
    as_inner!();

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.accumulator(args)?;
        Ok(Box::new(One { inner, kept: Kept::default() }))
    }

    fn create_sliding_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        let inner = self.inner.create_sliding_accumulator(args)?;
        Ok(Box::new(One { inner, kept: Kept::default() }))
    }

    fn groups_accumulator_supported(&self, args: AccumulatorArgs) -> bool {
        self.inner.groups_accumulator_supported(args)
    }

    fn create_groups_accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn GroupsAccumulator>> {
        let inner = self.inner.create_groups_accumulator(args)?;
        Ok(Box::new(Groups { inner, kept: Kept::default() }))
    }

    fn with_beneficial_ordering(self: Arc<Self>, is: bool) -> Result<Option<Arc<dyn AggregateUDFImpl>>> {
        let with = Arc::clone(self.inner.inner()).with_beneficial_ordering(is)?;
        let wrap = |inner| Arc::new(Self { inner: Arc::new(AggregateUDF::new_from_shared_impl(inner)) });
        Ok(with.map(|inner| wrap(inner) as Arc<dyn AggregateUDFImpl>))
    }

    fn order_sensitivity(&self) -> AggregateOrderSensitivity {
        self.inner.order_sensitivity()
    }

    fn reverse_expr(&self) -> ReversedUDAF {
        match self.inner.reverse_udf() {
            ReversedUDAF::Reversed(inner) => ReversedUDAF::Reversed(capped(inner)),
            other => other,
        }
    }

    fn default_value(&self, data_type: &DataType) -> Result<ScalarValue> {
        self.inner.default_value(data_type)
    }

    fn supports_null_handling_clause(&self) -> bool {
        self.inner.supports_null_handling_clause()
    }
}

/// Bytes taken in so far.
#[derive(Debug, Default)]
struct Kept(u64);

impl Kept {
    /// Errors: `ResourcesExhausted` over the cap.
    fn add(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.0 = self.0.saturating_add(values.first().map_or(0, bytes));
        match self.0 > KEPT_BYTES {
            true => resources_err!("{TOO_LARGE} more than {} MiB of one aggregate", KEPT_BYTES >> 20),
            false => Ok(()),
        }
    }

    /// What the memory pool is told: the aggregates themselves forget what string views point at.
    fn at_least(&self, counted: usize) -> usize {
        counted.max(usize::try_from(self.0).unwrap_or(usize::MAX))
    }
}

fn bytes(array: &ArrayRef) -> u64 {
    match array.data_type() {
        DataType::Utf8View => array.as_string_view().lengths().map(|n| u64::from(n) + 16).sum(),
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()) as u64,
    }
}

#[derive(Debug)]
struct One {
    inner: Box<dyn Accumulator>,
    kept: Kept,
}

impl Accumulator for One {
    fn update_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.kept.add(values)?;
        self.inner.update_batch(values)
    }

    fn evaluate(&mut self) -> Result<ScalarValue> {
        self.inner.evaluate()
    }

    fn size(&self) -> usize {
        self.kept.at_least(self.inner.size())
    }

    fn state(&mut self) -> Result<Vec<ScalarValue>> {
        self.inner.state()
    }

    fn merge_batch(&mut self, states: &[ArrayRef]) -> Result<()> {
        self.kept.add(states)?;
        self.inner.merge_batch(states)
    }

    fn retract_batch(&mut self, values: &[ArrayRef]) -> Result<()> {
        self.kept.0 = self.kept.0.saturating_sub(values.first().map_or(0, bytes));
        self.inner.retract_batch(values)
    }

    fn supports_retract_batch(&self) -> bool {
        self.inner.supports_retract_batch()
    }
}

struct Groups {
    inner: Box<dyn GroupsAccumulator>,
    kept: Kept,
}

impl GroupsAccumulator for Groups {
    fn update_batch(
        &mut self,
        values: &[ArrayRef],
        groups: &[usize],
        filter: Option<&BooleanArray>,
        total_groups: usize,
    ) -> Result<()> {
        self.kept.add(values)?;
        self.inner.update_batch(values, groups, filter, total_groups)
    }

    fn evaluate(&mut self, emit_to: EmitTo) -> Result<ArrayRef> {
        // What is handed on is no longer kept here.
        self.kept.0 = 0;
        self.inner.evaluate(emit_to)
    }

    fn state(&mut self, emit_to: EmitTo) -> Result<Vec<ArrayRef>> {
        self.kept.0 = 0;
        self.inner.state(emit_to)
    }

    fn merge_batch(&mut self, values: &[ArrayRef], groups: &[usize], total_groups: usize) -> Result<()> {
        self.kept.add(values)?;
        self.inner.merge_batch(values, groups, total_groups)
    }

    fn convert_to_state(&self, values: &[ArrayRef], filter: Option<&BooleanArray>) -> Result<Vec<ArrayRef>> {
        self.inner.convert_to_state(values, filter)
    }

    fn size(&self) -> usize {
        self.kept.at_least(self.inner.size())
    }
}
