//! `normalize_name(text)` and `similarity(text, text)`: spellings of one name, for models and customers.

use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, Float64Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::{DataFusionError, Result, exec_err};
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
};

/// Longer texts are no names: the work grows with the product of two lengths, and letters grow when they are taken apart.
const LONGEST_BYTES: usize = 512;

/// Both functions. Null in, null out; a text of more than 512 bytes is an error of the query.
pub fn all() -> [Arc<ScalarUDF>; 2] {
    let one = |function| Arc::new(ScalarUDF::from(Likeness::new(function)));
    [one(Function::NormalizeName), one(Function::Similarity)]
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Function {
    /// A name without case, accents, spaces and punctuation.
    NormalizeName,
    /// How alike two names are, 0 to 1.
    Similarity,
}

#[derive(Debug, PartialEq, Eq, Hash)]
struct Likeness {
    function: Function,
    signature: Signature,
}

impl Likeness {
    fn new(function: Function) -> Self {
        let texts = if function == Function::Similarity { 2 } else { 1 };
        Self { function, signature: Signature::string(texts, Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Likeness {
    fn name(&self) -> &str {
        match self.function {
            Function::NormalizeName => "normalize_name",
            Function::Similarity => "similarity",
        }
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(match self.function {
            Function::NormalizeName => DataType::Utf8,
            Function::Similarity => DataType::Float64,
        })
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let rows = arguments.number_rows;
        let texts = arguments.args.iter().map(|argument| texts(&argument.to_array(rows)?));
        let texts = texts.collect::<Result<Vec<_>>>()?;
        let values: ArrayRef = match (self.function, texts.as_slice()) {
            (Function::NormalizeName, [names]) => {
                let plain =
                    names.iter().map(|name| Ok(name.map(short).transpose()?.map(identity::normalize_name)));
                Arc::new(plain.collect::<Result<StringArray>>()?)
            }
            (Function::Similarity, [one, other]) => {
                let alike = |(one, other): (Option<&str>, Option<&str>)| -> Result<Option<f64>> {
                    let (Some(one), Some(other)) = (one, other) else { return Ok(None) };
                    Ok(Some(identity::similarity(short(one)?, short(other)?)))
                };
                Arc::new(one.iter().zip(other).map(alike).collect::<Result<Float64Array>>()?)
            }
            _ => return exec_err!("{} was given another number of texts", self.name()),
        };
        Ok(ColumnarValue::Array(values))
    }
}

fn texts(array: &ArrayRef) -> Result<StringArray> {
    let plain = arrow::compute::cast(array, &DataType::Utf8)?;
    plain
        .as_string_opt::<i32>()
        .cloned()
        .ok_or_else(|| DataFusionError::Execution("a name must be text".to_owned()))
}

fn short(name: &str) -> Result<&str> {
    if name.len() > LONGEST_BYTES {
        return exec_err!("a name of more than {LONGEST_BYTES} bytes is not compared");
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use arrow::util::pretty::pretty_format_batches;
    use datafusion::prelude::SessionContext;

    use super::*;

    async fn ask(sql: &str) -> Result<String> {
        let session = SessionContext::new();
        all().iter().for_each(|f| session.register_udf(f.as_ref().clone()));
        let rows = session.sql(sql).await?.collect().await?;
        Ok(pretty_format_batches(&rows)?.to_string())
    }

    #[tokio::test]
    async fn names_are_compared_in_sql() {
        let sql = "SELECT normalize_name('São Paulo') AS a, similarity('SaoPaulo', 'são paulo') AS b,
                   normalize_name(NULL) IS NULL AND similarity('a', NULL) IS NULL AS c";
        let text = ask(sql).await.unwrap();
        assert!(text.contains("saopaulo") && text.contains("1.0") && text.contains("true"), "{text}");
        let long = ask("SELECT similarity(repeat('a', 513), 'a')").await.unwrap_err().to_string();
        assert!(long.contains("more than 512 bytes"), "{long}");
    }
}
