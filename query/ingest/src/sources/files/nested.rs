//! Columns that the files have under another name, or inside nested values, which a converted file has as JSON text.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, AsArray, RecordBatch, StringArray, new_null_array};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::error::ArrowError;
use serde_json::Value;

use crate::lakefile::JsonPath;

/// The nested values of one batch, each column read once.
#[derive(Default)]
pub struct Nested(HashMap<String, Vec<Option<Value>>>);

impl Nested {
    /// The values at a path, those inside nested values as text; what is not there is null.
    /// - Errors: a value that is no JSON.
    pub fn column(&mut self, batch: &RecordBatch, path: &JsonPath) -> Result<ArrayRef, ArrowError> {
        if path.is_flat() {
            let column = batch.column_by_name(&path.root).map(Arc::clone);
            return Ok(column.unwrap_or_else(|| new_null_array(&DataType::Utf8, batch.num_rows())));
        }
        if !self.0.contains_key(&path.root) {
            self.0.insert(path.root.clone(), values(batch, &path.root)?);
        }
        let values = self.0.get(&path.root).into_iter().flatten();
        let texts = values.map(|value| Some(text(path.of(value.as_ref()?)?)));
        Ok(Arc::new(texts.collect::<StringArray>()))
    }
}

fn values(batch: &RecordBatch, root: &str) -> Result<Vec<Option<Value>>, ArrowError> {
    let Some(column) = batch.column_by_name(root) else { return Ok(vec![None; batch.num_rows()]) };
    let texts = cast(column, &DataType::Utf8)?;
    let value = |text: Option<&str>| {
        let wrong = |e| ArrowError::ParseError(format!("`{root}` holds no nested value: {e}"));
        text.map(|text| serde_json::from_str(text).map_err(wrong)).transpose()
    };
    texts.as_string::<i32>().iter().map(value).collect()
}

/// A value as a cell of a flat file has it.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
