//! Aggregates over digests (`approx_percentile_cont`), with a cap on the centroids that a caller may ask for: their room is taken at
//! once, however few values there are, and the memory pool is told afterwards.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, FieldRef, Schema};
use datafusion::common::{Result, ScalarValue, resources_err};
use datafusion::logical_expr::function::{AccumulatorArgs, StateFieldsArgs};
use datafusion::logical_expr::{
    Accumulator, AggregateUDF, AggregateUDFImpl, ColumnarValue, Documentation, Signature,
};

use super::capped::TOO_LARGE;
use super::inner::as_inner;

/// A hundred times those of a digest without the argument; 160 KB a group.
const CENTROIDS: i64 = 10_000;

/// `inner`, whose argument at `place`, where it is given, is a number of centroids: refused over [`CENTROIDS`].
pub(super) fn capped(inner: Arc<AggregateUDF>, place: usize) -> Arc<AggregateUDF> {
    Arc::new(AggregateUDF::new_from_impl(Digest { inner, place }))
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Digest {
    inner: Arc<AggregateUDF>,
    place: usize,
}

impl Digest {
    /// Errors: `ResourcesExhausted` over the cap. What is no number is for `inner` to refuse.
    fn check(&self, args: &AccumulatorArgs<'_>) -> Result<()> {
        let Some(asked) = args.exprs.get(self.place) else { return Ok(()) };
        let ColumnarValue::Scalar(asked) =
            asked.evaluate(&RecordBatch::new_empty(Arc::new(Schema::empty())))?
        else {
            return Ok(());
        };
        match asked.cast_to(&DataType::Int64) {
            Ok(ScalarValue::Int64(Some(asked))) if asked <= CENTROIDS => Ok(()),
            Ok(ScalarValue::Int64(None)) => Ok(()),
            _ => resources_err!("{TOO_LARGE} more than {CENTROIDS} centroids of {}", self.name()),
        }
    }
}

// Everything is what `inner` says; neither of the two says more than this.
impl AggregateUDFImpl for Digest {
    as_inner!();

    fn accumulator(&self, args: AccumulatorArgs) -> Result<Box<dyn Accumulator>> {
        self.check(&args)?;
        self.inner.accumulator(args)
    }

    fn supports_within_group_clause(&self) -> bool {
        self.inner.supports_within_group_clause()
    }

    fn documentation(&self) -> Option<&Documentation> {
        self.inner.documentation()
    }
}
