//! The seven types of an uploaded column, and their names in SQL, in Arrow and in the catalog.

use std::fmt;
use std::str::FromStr;

use arrow::datatypes::{DataType, TimeUnit};
use serde_with::{DeserializeFromStr, SerializeDisplay};

/// Largest number of digits of a decimal.
pub const DECIMAL_DIGITS: u8 = 38;

/// A column's type. Text form: `bigint`, `double`, `decimal(p,s)`, `boolean`, `date`, `timestamp`, `text`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, SerializeDisplay, DeserializeFromStr)]
pub enum Type {
    Bigint,
    Double,
    Decimal {
        precision: u8,
        scale: u8,
    },
    Boolean,
    Date,
    /// An instant in UTC, microseconds.
    Timestamp,
    Text,
}

impl Type {
    /// The Arrow type that holds it in the lake.
    pub fn arrow(self) -> DataType {
        match self {
            Self::Bigint => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Decimal { precision, scale } => DataType::Decimal128(precision, scale.cast_signed()),
            Self::Boolean => DataType::Boolean,
            Self::Date => DataType::Date32,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into())),
            Self::Text => DataType::Utf8,
        }
    }

    /// The type a column of Arrow type `from` becomes; `None` where none of the seven fits (binary, times of day, intervals).
    /// Nested columns become text that holds JSON.
    pub fn of_arrow(from: &DataType) -> Option<Self> {
        Some(match from {
            DataType::Int8 | DataType::Int16 | DataType::Int32 | DataType::Int64 => Self::Bigint,
            DataType::UInt8 | DataType::UInt16 | DataType::UInt32 => Self::Bigint,
            DataType::UInt64 => Self::Decimal { precision: 20, scale: 0 },
            DataType::Float16 | DataType::Float32 | DataType::Float64 => Self::Double,
            DataType::Decimal32(p, s) | DataType::Decimal64(p, s) => Self::decimal(*p, *s)?,
            DataType::Decimal128(p, s) | DataType::Decimal256(p, s) => Self::decimal(*p, *s)?,
            DataType::Boolean => Self::Boolean,
            DataType::Date32 | DataType::Date64 => Self::Date,
            DataType::Timestamp(..) => Self::Timestamp,
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null => Self::Text,
            DataType::Dictionary(_, value) => Self::of_arrow(value)?,
            DataType::List(_) | DataType::LargeList(_) | DataType::FixedSizeList(..) => Self::Text,
            DataType::Struct(_) | DataType::Map(..) => Self::Text,
            _ => return None,
        })
    }

    fn decimal(precision: u8, scale: i8) -> Option<Self> {
        let scale = u8::try_from(scale).ok()?;
        (precision <= DECIMAL_DIGITS && scale <= precision).then_some(Self::Decimal { precision, scale })
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bigint => "bigint",
            Self::Double => "double",
            Self::Decimal { precision, scale } => return write!(f, "decimal({precision},{scale})"),
            Self::Boolean => "boolean",
            Self::Date => "date",
            Self::Timestamp => "timestamp",
            Self::Text => "text",
        })
    }
}

/// A text that names none of the types.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no type; there are bigint, double, decimal(p,s), boolean, date, timestamp and text")]
pub struct UnknownType(String);

impl FromStr for Type {
    type Err = UnknownType;

    /// Also reads the usual other names (`int`, `float`, `varchar`, `bool`, `datetime`, …).
    fn from_str(text: &str) -> Result<Self, UnknownType> {
        let lower = text.trim().to_ascii_lowercase();
        Ok(match lower.as_str() {
            "bigint" | "int" | "integer" | "int64" | "long" | "smallint" => Self::Bigint,
            "double" | "float" | "real" | "float64" | "double precision" | "number" => Self::Double,
            "boolean" | "bool" => Self::Boolean,
            "date" => Self::Date,
            "timestamp" | "timestamptz" | "datetime" => Self::Timestamp,
            "text" | "string" | "varchar" | "char" | "utf8" => Self::Text,
            other => decimal_of(other).ok_or_else(|| UnknownType(text.chars().take(64).collect()))?,
        })
    }
}

/// `decimal(p,s)`, `decimal(p)`, `numeric(…)`.
fn decimal_of(text: &str) -> Option<Type> {
    let inner = text.strip_prefix("decimal").or_else(|| text.strip_prefix("numeric"))?;
    let inner = inner.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = inner.split_once(',').unwrap_or((inner, "0"));
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let fits = (1..=DECIMAL_DIGITS).contains(&precision) && scale <= precision;
    fits.then_some(Type::Decimal { precision, scale })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_reads_back_what_it_wrote() {
        let decimal = Type::Decimal { precision: 12, scale: 2 };
        for of in
            [Type::Bigint, Type::Double, decimal, Type::Boolean, Type::Date, Type::Timestamp, Type::Text]
        {
            assert_eq!(of.to_string().parse::<Type>().unwrap(), of);
            assert_eq!(Type::of_arrow(&of.arrow()), Some(of));
        }
    }

    #[test]
    fn what_is_no_type_is_refused() {
        for bad in ["", "blob", "decimal(39,2)", "decimal(4,5)", "decimal(x,1)", "decimal(-1)", "interval"] {
            assert!(bad.parse::<Type>().is_err(), "{bad}");
        }
    }
}
