//! A table's columns in the log's own words: the JSON of `metaData.schemaString`, to and from Arrow.
//!
//! ```text
//! {"type":"struct","fields":[{"name":"day","type":"date","nullable":true,"metadata":{}}, …]}
//! ```
//! Source: the Delta protocol, "Schema Serialization Format".

use std::collections::HashSet;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields, Schema, TimeUnit};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Error;

/// Names that Arrow gives the parts of lists and maps; every table read back has these.
const ELEMENT: &str = "element";
const ENTRIES: &str = "key_value";

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Type {
    Word(String),
    Nested(Box<Nested>),
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
enum Nested {
    Struct { fields: Vec<Column> },
    Array { element_type: Type, contains_null: bool },
    Map { key_type: Type, value_type: Type, value_contains_null: bool },
}

#[derive(Serialize, Deserialize)]
struct Column {
    name: String,
    r#type: Type,
    nullable: bool,
    #[serde(default)]
    metadata: Map<String, Value>,
}

/// The log's text for a schema. Errors: [`Error::Unsupported`] for a type that Delta has no word for, and for names
/// that are one to readers who do not look at case.
pub(crate) fn to_text(schema: &Schema) -> Result<String, Error> {
    Ok(serde_json::to_string(&Nested::Struct { fields: columns(schema.fields())? })?)
}

/// The schema that a text of the log says, without its metadata.
pub(crate) fn from_text(text: &str) -> Result<Schema, Error> {
    match serde_json::from_str(text)? {
        Nested::Struct { fields } => {
            Ok(Schema::new(fields.iter().map(field).collect::<Result<Fields, _>>()?))
        }
        _ => Err(Error::Unsupported("a schema that is no struct".to_owned())),
    }
}

fn columns(fields: &Fields) -> Result<Vec<Column>, Error> {
    let mut names = HashSet::new();
    if let Some(twice) = fields.iter().find(|field| !names.insert(field.name().to_lowercase())) {
        return Err(Error::Unsupported(format!("two columns named {}", twice.name())));
    }
    fields.iter().map(|field| column(field)).collect()
}

fn column(field: &Field) -> Result<Column, Error> {
    let r#type = word(field)?;
    Ok(Column { name: field.name().clone(), r#type, nullable: field.is_nullable(), metadata: Map::new() })
}

/// The word for a field's type.
fn word(field: &Field) -> Result<Type, Error> {
    let word = match field.data_type() {
        DataType::Utf8 => "string",
        DataType::Int64 => "long",
        DataType::Int32 => "integer",
        DataType::Int16 => "short",
        DataType::Int8 => "byte",
        DataType::Float32 => "float",
        DataType::Float64 => "double",
        DataType::Boolean => "boolean",
        DataType::Binary => "binary",
        DataType::Date32 => "date",
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => "timestamp",
        DataType::Timestamp(TimeUnit::Microsecond, None) => "timestamp_ntz",
        DataType::Decimal128(precision, scale) if *scale >= 0 => &format!("decimal({precision},{scale})"),
        _ => return nested(field).map(|nested| Type::Nested(Box::new(nested))),
    };
    Ok(Type::Word(word.to_owned()))
}

fn nested(field: &Field) -> Result<Nested, Error> {
    match field.data_type() {
        DataType::Struct(fields) => Ok(Nested::Struct { fields: columns(fields)? }),
        DataType::List(element) => {
            Ok(Nested::Array { element_type: word(element)?, contains_null: element.is_nullable() })
        }
        DataType::Map(entries, _)
            if let DataType::Struct(pair) = entries.data_type()
                && let [key, value] = &pair[..] =>
        {
            Ok(Nested::Map {
                key_type: word(key)?,
                value_type: word(value)?,
                value_contains_null: value.is_nullable(),
            })
        }
        other => Err(Error::Unsupported(format!("column {} of type {other}", field.name()))),
    }
}

fn field(column: &Column) -> Result<Field, Error> {
    Ok(Field::new(&column.name, arrow(&column.r#type)?, column.nullable))
}

fn arrow(r#type: &Type) -> Result<DataType, Error> {
    let word = match r#type {
        Type::Nested(nested) => return arrow_nested(nested),
        Type::Word(word) => word.as_str(),
    };
    Ok(match word {
        "string" => DataType::Utf8,
        "long" => DataType::Int64,
        "integer" => DataType::Int32,
        "short" => DataType::Int16,
        "byte" => DataType::Int8,
        "float" => DataType::Float32,
        "double" => DataType::Float64,
        "boolean" => DataType::Boolean,
        "binary" => DataType::Binary,
        "date" => DataType::Date32,
        "timestamp" => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
        "timestamp_ntz" => DataType::Timestamp(TimeUnit::Microsecond, None),
        word => decimal(word).ok_or_else(|| Error::Unsupported(format!("columns of type {word}")))?,
    })
}

/// `decimal(precision,scale)`, or `decimal` for 10 digits before the point.
fn decimal(word: &str) -> Option<DataType> {
    let digits = match word.strip_prefix("decimal")? {
        "" => "10,0",
        digits => digits.strip_prefix('(')?.strip_suffix(')')?,
    };
    let (precision, scale) = digits.split_once(',')?;
    Some(DataType::Decimal128(precision.trim().parse().ok()?, scale.trim().parse().ok()?))
}

fn arrow_nested(nested: &Nested) -> Result<DataType, Error> {
    Ok(match nested {
        Nested::Struct { fields } => DataType::Struct(fields.iter().map(field).collect::<Result<_, _>>()?),
        Nested::Array { element_type, contains_null } => {
            DataType::List(Arc::new(Field::new(ELEMENT, arrow(element_type)?, *contains_null)))
        }
        Nested::Map { key_type, value_type, value_contains_null } => {
            let key = Field::new("key", arrow(key_type)?, false);
            let value = Field::new("value", arrow(value_type)?, *value_contains_null);
            let pair = DataType::Struct([key, value].into_iter().collect());
            DataType::Map(Arc::new(Field::new(ENTRIES, pair, false)), false)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"{"type":"struct","fields":[{"name":"a","type":"long","nullable":true,"metadata":{}},
        {"name":"price","type":"decimal(12,2)","nullable":false,"metadata":{"comment":"EUR"}},
        {"name":"at","type":"timestamp","nullable":true,"metadata":{}},
        {"name":"words","type":{"type":"array","elementType":"string","containsNull":true},"nullable":true},
        {"name":"m","type":{"type":"map","keyType":"string","valueType":{"type":"struct","fields":
            [{"name":"x","type":"double","nullable":true,"metadata":{}}]},"valueContainsNull":true},"nullable":true}]}"#;

    #[test]
    fn columns_read_from_the_log_are_written_as_they_were() {
        let schema = from_text(TEXT).unwrap();
        assert_eq!(schema.field(1).data_type(), &DataType::Decimal128(12, 2));
        assert!(matches!(schema.field(4).data_type(), DataType::Map(..)));
        let written = to_text(&schema).unwrap();
        assert_eq!(from_text(&written).unwrap(), schema);
        let (written, mut text): (Value, Value) =
            (serde_json::from_str(&written).unwrap(), serde_json::from_str(TEXT).unwrap());
        text["fields"][1]["metadata"] = Map::new().into();
        text["fields"][3]["metadata"] = Map::new().into();
        text["fields"][4]["metadata"] = Map::new().into();
        assert_eq!(written, text);
    }

    #[test]
    fn types_and_names_that_delta_does_not_have_are_refused() {
        let of = |fields: Vec<(&str, DataType)>| {
            let fields: Fields =
                fields.into_iter().map(|(name, r#type)| Field::new(name, r#type, true)).collect();
            to_text(&Schema::new(fields)).unwrap_err().to_string()
        };
        assert!(of(vec![("n", DataType::UInt64)]).contains("column n of type UInt64"));
        assert!(of(vec![("a", DataType::Int64), ("A", DataType::Int64)]).contains("two columns named A"));
        assert!(
            from_text(r#"{"type":"struct","fields":[{"name":"v","type":"variant","nullable":true}]}"#)
                .is_err()
        );
    }
}
