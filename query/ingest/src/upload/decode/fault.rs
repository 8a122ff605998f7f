//! What is wrong with a file, and where: the words a customer reads.

use serde_json::{Map, Value, json};
use worker::Refusal;

use super::build::Misfit;
use super::cells::{Bad, SHOWN_BYTES};

/// Why a pass over a file ended early.
#[derive(Debug)]
pub enum Stop {
    /// A type that was only tried does not stand.
    Misfit,
    /// The file is not valid UTF-8 but may be windows-1252: read it again as that.
    OtherEncoding,
    Fault(Fault),
    /// The bytes could not be read, or the result not be written.
    Io(std::io::Error),
}

/// A refusal in the making.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    pub code: &'static str,
    pub detail: String,
    pub errors: Vec<Value>,
}

impl Fault {
    /// The content is wrong: `file-malformed`.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self { code: "file-malformed", detail: detail.into(), errors: Vec::new() }
    }

    /// The columns are not those of the table: `schema-mismatch`.
    pub fn mismatch(detail: impl Into<String>) -> Self {
        Self { code: "schema-mismatch", detail: detail.into(), errors: Vec::new() }
    }

    /// The content is of a kind that is not taken: `unsupported-format`.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self { code: "unsupported-format", detail: detail.into(), errors: Vec::new() }
    }

    /// An option of the upload does not go with the file: `invalid-parameter`.
    pub fn parameter(detail: impl Into<String>) -> Self {
        Self { code: "invalid-parameter", detail: detail.into(), errors: Vec::new() }
    }

    #[must_use]
    pub fn at(mut self, place: Value) -> Self {
        self.errors.push(place);
        self
    }

    /// The refusal of a file with these bad rows; `names` are the columns' names.
    pub fn of_bad(bad: &[(u64, Bad)], names: &[String], listed: usize) -> Self {
        let mut fault = match bad.first() {
            Some((row, first)) => Self::malformed(format!("row {row}: {}", sentence(first, names))),
            None => Self::malformed("the file holds rows that cannot be read"),
        };
        fault.errors = bad.iter().take(listed).map(|(row, bad)| place(*row, bad, names)).collect();
        fault
    }
}

fn sentence(bad: &Bad, names: &[String]) -> String {
    match bad.column.and_then(|column| names.get(column)) {
        Some(name) => format!("column `{name}`: `{}` {}", shown(&bad.value), bad.reason),
        None => format!("the record {}", bad.reason),
    }
}

/// Where a fault is: `{row, line, column, value, reason}`; `row` counts the data rows from 1, the header is not one of them; `line` is the
/// line of the file on which the row begins; a Parquet file has none.
pub fn place(row: u64, bad: &Bad, names: &[String]) -> Value {
    let mut place = Map::new();
    place.insert("row".into(), row.into());
    if let Some(above) = bad.lines {
        place.insert("line".into(), (above + 1).into());
    }
    if let Some(name) = bad.column.and_then(|column| names.get(column)) {
        place.insert("column".into(), name.as_str().into());
    }
    place.insert("value".into(), shown(&bad.value).into());
    place.insert("reason".into(), bad.reason.as_str().into());
    Value::Object(place)
}

/// Bytes of a customer's file as text that can be printed, cut to 200 bytes.
pub fn shown(value: &[u8]) -> String {
    let text = String::from_utf8_lossy(&value[..value.len().min(SHOWN_BYTES)]);
    let mut text: String = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    while text.len() > SHOWN_BYTES {
        text.pop();
    }
    text
}

impl From<Misfit> for Stop {
    fn from(_: Misfit) -> Self {
        Self::Misfit
    }
}

impl From<Fault> for Stop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl From<std::io::Error> for Stop {
    /// A fault that had to pass through a reader comes out as the fault it is.
    fn from(error: std::io::Error) -> Self {
        match error.downcast::<Carried>() {
            Ok(Carried(stop)) => *stop,
            Err(error) => Self::Io(error),
        }
    }
}

/// A [`Stop`] on its way through `std::io::Read`.
#[derive(Debug, thiserror::Error)]
#[error("the file is refused")]
struct Carried(Box<Stop>);

impl From<Stop> for std::io::Error {
    fn from(stop: Stop) -> Self {
        Self::other(Carried(Box::new(stop)))
    }
}

impl From<Stop> for Refusal {
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Fault(fault) => Refusal::new(fault.code, fault.detail).with_errors(fault.errors),
            Stop::Misfit | Stop::OtherEncoding => {
                Refusal::new("file-malformed", "the file changed its types while it was read")
            }
            Stop::Io(error) => of_io(&error),
        }
    }
}

fn of_io(error: &std::io::Error) -> Refusal {
    match error.kind() {
        std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => {
            Refusal::new("storage-full", "there is no room left for the converted file")
        }
        // What the gateway says where the store does not give it the bytes.
        std::io::ErrorKind::HostUnreachable => {
            Refusal::new("lake-unavailable", "what was received cannot be read from the store now")
        }
        _ => {
            tracing::warn!(%error, "an upload could not be read or converted");
            Refusal::new("internal", "the file could not be converted now")
                .with_errors(vec![json!({ "reason": "input or output failed" })])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_survives_a_reader() {
        let carried: std::io::Error = Stop::Fault(Fault::malformed("x")).into();
        let Stop::Fault(fault) = Stop::from(carried) else { panic!("lost") };
        assert_eq!(fault.detail, "x");
    }

    #[test]
    fn a_place_has_row_column_value_and_reason() {
        let bad = Bad::new(4, Some(1), &[b'x'; 500], "is no bigint");
        let place = place(5, &bad, &["a".into(), "b".into()]);
        assert_eq!(place["row"], 5);
        assert_eq!(place["column"], "b");
        assert_eq!(place["value"].as_str().map(str::len), Some(200));
        assert_eq!(shown(b"a\0\x1b\xff"), "a\u{fffd}\u{fffd}\u{fffd}");
    }
}
