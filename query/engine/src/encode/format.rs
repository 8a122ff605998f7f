//! The formats by name, and what columns are called in them.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, Schema, TimeUnit};
use serde::{Deserialize, Serialize};

/// A format rows are answered in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    #[default]
    Json,
    Ndjson,
    Csv,
    Arrow,
    Parquet,
}

impl Format {
    pub const ALL: [Self; 5] = [Self::Json, Self::Ndjson, Self::Csv, Self::Arrow, Self::Parquet];

    /// The name in `?format=` and the file extension.
    pub fn word(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Ndjson => "ndjson",
            Self::Csv => "csv",
            Self::Arrow => "arrow",
            Self::Parquet => "parquet",
        }
    }

    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8; header=present",
            Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Parquet => "application/vnd.apache.parquet",
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = Self::ALL.into_iter().find(|format| format.word() == text);
        named.ok_or_else(|| format!("`{text}` is none of json, ndjson, csv, arrow, parquet"))
    }
}

/// A column of an answer: its final name and its SQL type.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnType {
    pub name: String,
    #[serde(rename = "type")]
    pub sql_type: String,
}

/// Names (repeated ones numbered) and types of `schema`, in order.
pub fn columns(schema: &Schema) -> Vec<ColumnType> {
    let fields = schema.fields();
    let names = unique_names(fields.iter().map(|field| field.name().as_str()));
    let types = fields.iter().map(|field| sql_type(field.data_type()));
    names.into_iter().zip(types).map(|(name, sql_type)| ColumnType { name, sql_type }).collect()
}

/// Each name once: a second `x` becomes `x_2`, a third `x_3`, past names that are taken.
pub fn unique_names<'a>(names: impl Iterator<Item = &'a str>) -> Vec<String> {
    let names: Vec<&str> = names.collect();
    let given: HashSet<&str> = names.iter().copied().collect();
    let mut used: HashSet<String> = HashSet::new();
    let free = |name: &str, used: &HashSet<String>| {
        let mut numbered = (2..).map(|n| format!("{name}_{n}"));
        numbered.find(|n| !given.contains(n.as_str()) && !used.contains(n)).unwrap_or_else(|| name.to_owned())
    };
    let one = |name: &&str| {
        let name = if used.contains(*name) { free(name, &used) } else { (*name).to_owned() };
        used.insert(name.clone());
        name
    };
    names.iter().map(one).collect()
}

/// What an Arrow type is called in answers: `text`, `bigint`, `double`, `decimal(p,s)`, `timestamp`, …
pub fn sql_type(data_type: &DataType) -> String {
    let plain = match data_type {
        DataType::Null => "null",
        DataType::Boolean => "boolean",
        DataType::Int8 | DataType::Int16 | DataType::UInt8 => "smallint",
        DataType::Int32 | DataType::UInt16 => "integer",
        DataType::Int64 | DataType::UInt32 => "bigint",
        DataType::UInt64 => "decimal(20,0)",
        DataType::Float16 | DataType::Float32 => "real",
        DataType::Float64 => "double",
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "text",
        DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
            "binary"
        }
        DataType::Date32 | DataType::Date64 => "date",
        DataType::Time32(_) | DataType::Time64(_) => "time",
        DataType::Timestamp(
            TimeUnit::Second | TimeUnit::Millisecond | TimeUnit::Microsecond | TimeUnit::Nanosecond,
            _,
        ) => "timestamp",
        DataType::Duration(_) | DataType::Interval(_) => "interval",
        _ => return nested(data_type),
    };
    plain.to_owned()
}

fn nested(data_type: &DataType) -> String {
    match data_type {
        DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => format!("decimal({p},{s})"),
        DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => format!("decimal({p},{s})"),
        DataType::Dictionary(_, value) => sql_type(value),
        DataType::List(item)
        | DataType::LargeList(item)
        | DataType::ListView(item)
        | DataType::LargeListView(item) => {
            format!("list({})", sql_type(item.data_type()))
        }
        DataType::FixedSizeList(item, _) => format!("list({})", sql_type(item.data_type())),
        DataType::Struct(fields) => {
            let inner: Vec<String> =
                fields.iter().map(|f| format!("{} {}", f.name(), sql_type(f.data_type()))).collect();
            format!("struct({})", inner.join(", "))
        }
        DataType::Map(_, _) => "map".to_owned(),
        DataType::RunEndEncoded(_, value) => sql_type(value.data_type()),
        _ => "other".to_owned(),
    }
}
