//! Values of `$1`, `$2`, …: JSON becomes literals of the plan, never text of the statement.

use datafusion::common::ScalarValue;
use datafusion::logical_expr::LogicalPlan;
use serde_json::{Number, Value};
use worker::Refusal;

use super::refuse;

/// All values together, in bytes of JSON.
const VALUES_BYTES: usize = 1 << 20;

/// Puts `values` in the place of the parameters. Errors: `invalid-parameter` for a wrong number of
/// values or one that has no SQL type.
pub(super) fn bind(plan: LogicalPlan, values: &[Value], expected: usize) -> Result<LogicalPlan, Refusal> {
    if values.len() != expected {
        return Err(invalid(format!(
            "the statement has {expected} parameters, {} values came",
            values.len()
        )));
    }
    if expected == 0 {
        return Ok(plan);
    }
    let bytes: usize = values.iter().map(|value| value.to_string().len()).sum();
    if bytes > VALUES_BYTES {
        return Err(invalid(format!("the values are longer than {VALUES_BYTES} bytes")));
    }
    let scalars: Result<Vec<ScalarValue>, Refusal> = values
        .iter()
        .enumerate()
        .map(|(at, value)| scalar(value).map_err(|why| invalid(format!("${}: {why}", at + 1))))
        .collect();
    plan.with_param_values(scalars?).map_err(|error| refuse::from_engine(&error))
}

/// A literal: integers are 64 bits, other numbers doubles, arrays lists of one type.
fn scalar(value: &Value) -> Result<ScalarValue, String> {
    match value {
        Value::Null => Ok(ScalarValue::Null),
        Value::Bool(value) => Ok(ScalarValue::Boolean(Some(*value))),
        Value::Number(number) => self::number(number),
        Value::String(text) => Ok(ScalarValue::Utf8(Some(text.clone()))),
        Value::Array(items) => list(items),
        Value::Object(_) => Err("an object is no SQL value".to_owned()),
    }
}

fn number(number: &Number) -> Result<ScalarValue, String> {
    match (number.as_i64(), number.as_f64()) {
        (Some(whole), _) => Ok(ScalarValue::Int64(Some(whole))),
        (None, Some(double)) if !number.is_u64() => Ok(ScalarValue::Float64(Some(double))),
        _ => Err(format!("{number} is out of range")),
    }
}

fn list(items: &[Value]) -> Result<ScalarValue, String> {
    let scalars: Vec<ScalarValue> = items.iter().map(scalar).collect::<Result<_, _>>()?;
    let Some(first) = scalars.iter().find(|scalar| !scalar.is_null()) else {
        return Err("an empty array has no type".to_owned());
    };
    let element = first.data_type();
    let cast = |scalar: &ScalarValue| {
        scalar.cast_to(&element).map_err(|_| "an array holds values of one type".to_owned())
    };
    if scalars.iter().any(|scalar| !scalar.is_null() && scalar.data_type() != element) {
        return Err("an array holds values of one type".to_owned());
    }
    let items: Vec<ScalarValue> = scalars.iter().map(cast).collect::<Result<_, _>>()?;
    Ok(ScalarValue::List(ScalarValue::new_list_nullable(&items, &element)))
}

fn invalid(why: String) -> Refusal {
    Refusal::new("invalid-parameter", why)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn json_has_its_sql_types() {
        assert_eq!(scalar(&json!(7)).unwrap(), ScalarValue::Int64(Some(7)));
        assert_eq!(scalar(&json!(7.5)).unwrap(), ScalarValue::Float64(Some(7.5)));
        assert_eq!(scalar(&json!("x")).unwrap(), ScalarValue::Utf8(Some("x".into())));
        assert!(matches!(scalar(&json!(["a", null])).unwrap(), ScalarValue::List(_)));
        for bad in [json!({"a": 1}), json!([]), json!([1, "a"]), json!(u64::MAX)] {
            assert!(scalar(&bad).is_err(), "{bad}");
        }
    }
}
