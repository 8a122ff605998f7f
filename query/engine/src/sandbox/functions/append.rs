//! `a || b` as a function, so that it can be capped like the others.
//!
//! Nested a few dozen times the operator doubles a text each time, outside of the memory pool's sight.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::compute::kernels::concat_elements::concat_elements_utf8;
use arrow::datatypes::DataType;
use datafusion::common::utils::list_ndims;
use datafusion::common::{DFSchema, Result, ScalarValue, exec_err, plan_err};
use datafusion::logical_expr::expr::ScalarFunction;
use datafusion::logical_expr::planner::{ExprPlanner, PlannerResult, RawBinaryExpr};
use datafusion::logical_expr::{
    ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};
use datafusion::sql::sqlparser::ast::BinaryOperator;

use super::capped::check;
use super::sizes::Growth;

/// Plans `||`: between texts as [`Append`], between lists as the capped functions it is given.
#[derive(Debug)]
pub(super) struct AppendPlanner {
    texts: Arc<ScalarUDF>,
    concat: Arc<ScalarUDF>,
    append: Arc<ScalarUDF>,
    prepend: Arc<ScalarUDF>,
}

impl AppendPlanner {
    /// `None` when the list functions are not among `functions`.
    pub(super) fn among(functions: &[Arc<ScalarUDF>]) -> Option<Self> {
        let named = |name: &str| functions.iter().find(|function| function.name() == name).cloned();
        Some(Self {
            texts: Arc::new(ScalarUDF::new_from_impl(Append::new())),
            concat: named("array_concat")?,
            append: named("array_append")?,
            prepend: named("array_prepend")?,
        })
    }

    fn function(&self, left: &DataType, right: &DataType) -> &Arc<ScalarUDF> {
        match (list_ndims(left), list_ndims(right)) {
            (0, 0) => &self.texts,
            (left, right) if left > right => &self.append,
            (left, right) if left < right => &self.prepend,
            _ => &self.concat,
        }
    }
}

impl ExprPlanner for AppendPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        if expr.op != BinaryOperator::StringConcat {
            return Ok(PlannerResult::Original(expr));
        }
        // A parameter has no type yet: it is a text here.
        let of = |side: &Expr| side.get_type(schema).unwrap_or(DataType::Null);
        let function = self.function(&of(&expr.left), &of(&expr.right)).clone();
        let call = ScalarFunction::new_udf(function, vec![expr.left, expr.right]);
        Ok(PlannerResult::Planned(Expr::ScalarFunction(call)))
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Append {
    signature: Signature,
}

impl Append {
    fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Append {
    fn name(&self) -> &str {
        "||"
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        match args {
            [left, right] => Ok(format!("{} || {}", left.schema_name(), right.schema_name())),
            _ => Ok("||".to_owned()),
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    /// Anything that has a text. Errors: lists beside texts.
    fn coerce_types(&self, types: &[DataType]) -> Result<Vec<DataType>> {
        match types.iter().find(|t| t.is_nested()) {
            Some(list) => plan_err!("|| joins two texts or two lists, not {list}"),
            None => Ok(vec![DataType::Utf8; types.len()]),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        check("||", Growth::Sum, &args.args, args.number_rows)?;
        let constant = args.args.iter().all(|arg| matches!(arg, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let [left, right] = args.args.as_slice() else { return exec_err!("|| joins two values") };
        let (left, right) = (left.to_array(rows)?, right.to_array(rows)?);
        let joined = concat_elements_utf8(left.as_string::<i32>(), right.as_string::<i32>())?;
        match constant {
            true => Ok(ColumnarValue::Scalar(ScalarValue::try_from_array(&joined, 0)?)),
            false => Ok(ColumnarValue::Array(Arc::new(joined))),
        }
    }
}
