//! Values of filters, read by the type of their column and bound as parameters: no word of a caller becomes SQL.

use chrono::{DateTime, NaiveDate, NaiveDateTime, SecondsFormat};
use serde_json::Value;

use crate::QueryError;

/// What a column's type lets a caller compare it with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    Text,
    Integer,
    Double,
    Decimal,
    Boolean,
    Date,
    Timestamp,
    /// Lists, structs, times, bytes: only `is.null` says something about them.
    Other,
}

impl Family {
    /// The family of a catalog type.
    pub fn of(sql_type: &str) -> Self {
        match sql_type {
            "text" => Self::Text,
            "smallint" | "integer" | "bigint" => Self::Integer,
            "real" | "double" => Self::Double,
            "boolean" => Self::Boolean,
            "date" => Self::Date,
            "timestamp" => Self::Timestamp,
            decimal if decimal.starts_with("decimal") => Self::Decimal,
            _ => Self::Other,
        }
    }

    /// Whether rows can be ordered by it.
    pub fn ordered(self) -> bool {
        self != Self::Other
    }

    /// Reads the text of a filter. Errors: `invalid-parameter`, naming the column and what it takes.
    pub fn read(self, column: &str, text: &str) -> Result<Value, QueryError> {
        let read = match self {
            Self::Text => Some(Value::from(text)),
            Self::Integer => text.parse::<i64>().ok().map(Value::from),
            Self::Double => text.parse::<f64>().ok().filter(|number| number.is_finite()).map(Value::from),
            Self::Decimal => is_decimal(text).then(|| Value::from(text)),
            Self::Boolean => text.parse::<bool>().ok().map(Value::from),
            Self::Date => text.parse::<NaiveDate>().ok().map(|day| Value::from(day.to_string())),
            Self::Timestamp => instant(text).map(Value::from),
            Self::Other => None,
        };
        read.ok_or_else(|| {
            QueryError::parameter(column, format!("`{column}` is compared with {}", self.wants()))
        })
    }

    fn wants(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Integer => "a whole number",
            Self::Double | Self::Decimal => "a number",
            Self::Boolean => "true or false",
            Self::Date => "a day such as 2026-01-31",
            Self::Timestamp => "an instant such as 2026-01-31T00:00:00Z",
            Self::Other => "null only (is.null)",
        }
    }

    /// The SQL of parameter `$n`. Days and instants are texts that the engine turns into the column's own type.
    pub fn placeholder(self, n: usize, value: &Value) -> String {
        match (self, value) {
            (Self::Decimal, Value::String(text)) => format!("CAST(${n} AS DECIMAL(38, {}))", scale(text)),
            // Not a number, from a cursor.
            (Self::Double, Value::String(_)) => format!("CAST(${n} AS DOUBLE)"),
            (Self::Integer, Value::String(_)) => format!("CAST(${n} AS BIGINT)"),
            _ => format!("${n}"),
        }
    }
}

fn is_decimal(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, part) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    plain(whole) && plain(part) && whole.len() <= 20 && part.len() <= 18
}

/// Digits after the point, so that no digit of the caller's is rounded away.
fn scale(text: &str) -> usize {
    text.split_once('.').map_or(0, |(_, part)| part.len())
}

/// An instant in RFC 3339, UTC; without an offset it is UTC, without a time it is midnight.
fn instant(text: &str) -> Option<String> {
    let utc = DateTime::parse_from_rfc3339(text).map(|instant| instant.to_utc()).ok();
    let naive = || text.parse::<NaiveDateTime>().ok().map(|local| local.and_utc());
    let day = || text.parse::<NaiveDate>().ok().map(|day| day.and_time(chrono::NaiveTime::MIN).and_utc());
    utc.or_else(naive).or_else(day).map(|instant| instant.to_rfc3339_opts(SecondsFormat::AutoSi, true))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_by_their_columns_type() {
        let read = |family: Family, text: &str| family.read("c", text).ok();
        assert_eq!(read(Family::Integer, "5"), Some(5.into()));
        assert_eq!(read(Family::Integer, "5.5"), None);
        assert_eq!(read(Family::Double, "5"), Some(5.0.into()));
        assert_eq!(read(Family::Double, "NaN"), None);
        assert_eq!(read(Family::Text, "5"), Some("5".into()));
        assert_eq!(read(Family::Date, "2026-02-30"), None);
        assert_eq!(read(Family::Timestamp, "2026-01-31"), Some("2026-01-31T00:00:00Z".into()));
        assert_eq!(read(Family::Timestamp, "2026-01-31T02:00:00+02:00"), Some("2026-01-31T00:00:00Z".into()));
        assert_eq!(read(Family::Decimal, "-1.999"), Some("-1.999".into()));
        assert_eq!(read(Family::Decimal, "1e5"), None);
        assert_eq!(Family::Decimal.placeholder(2, &Value::from("-1.999")), "CAST($2 AS DECIMAL(38, 3))");
        assert!(Family::of("list(text)").read("c", "x").is_err());
        assert_eq!(Family::of("decimal(18,2)"), Family::Decimal);
        assert!(Family::Integer.read("c", "1; drop").unwrap_err().to_string().contains("whole number"));
    }
}
