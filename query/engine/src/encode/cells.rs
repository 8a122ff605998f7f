//! One value of one column as text, in JSON or in CSV.

use std::io::Write as _;

use arrow::array::{Array, ArrayRef, ArrowPrimitiveType, AsArray, OffsetSizeTrait};
use arrow::datatypes::{
    DataType, Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type,
    Int64Type, TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow::error::ArrowError;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, Datelike, NaiveDate, Timelike, Utc};

/// Integers a double holds exactly.
const EXACT: u64 = 1 << 53;

/// What the text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Json,
    Csv,
}

/// Writes the value of a row.
pub(super) type Cell<'a> = Box<dyn Fn(usize, &mut Vec<u8>) + 'a>;

/// The writer of one column. Errors: a type without a text.
pub(super) fn cell<'a>(array: &'a ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    let write = value(array, style)?;
    let null: &[u8] = if style == Style::Json { b"null" } else { b"" };
    if array.data_type().is_null() {
        return Ok(Box::new(move |_, out| out.extend_from_slice(null)));
    }
    if array.null_count() == 0 {
        return Ok(write);
    }
    Ok(Box::new(move |row, out| match array.is_null(row) {
        true => out.extend_from_slice(null),
        false => write(row, out),
    }))
}

fn value<'a>(array: &'a ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    let null: &'static [u8] = if style == Style::Json { b"null" } else { b"" };
    Ok(match array.data_type() {
        DataType::Null => Box::new(|_, _| {}),
        DataType::Boolean => {
            let values = array.as_boolean();
            Box::new(move |row, out| {
                out.extend_from_slice(if values.value(row) { b"true" } else { b"false" })
            })
        }
        DataType::Int8 => small::<Int8Type>(array),
        DataType::Int16 => small::<Int16Type>(array),
        DataType::Int32 => small::<Int32Type>(array),
        DataType::UInt8 => small::<UInt8Type>(array),
        DataType::UInt16 => small::<UInt16Type>(array),
        DataType::UInt32 => small::<UInt32Type>(array),
        DataType::Int64 => {
            let values = array.as_primitive::<Int64Type>();
            Box::new(move |row, out| {
                let value = values.value(row);
                whole(value, value.unsigned_abs(), style, out);
            })
        }
        DataType::UInt64 => {
            let values = array.as_primitive::<UInt64Type>();
            Box::new(move |row, out| whole(values.value(row), values.value(row), style, out))
        }
        DataType::Float16 => {
            let values = array.as_primitive::<Float16Type>();
            Box::new(move |row, out| double(f64::from(values.value(row)), null, out))
        }
        DataType::Float32 => {
            let values = array.as_primitive::<Float32Type>();
            Box::new(move |row, out| match values.value(row) {
                value if value.is_finite() => json(&value, out),
                _ => out.extend_from_slice(null),
            })
        }
        DataType::Float64 => {
            let values = array.as_primitive::<Float64Type>();
            Box::new(move |row, out| double(values.value(row), null, out))
        }
        DataType::Utf8 => strings::<i32>(array, style),
        DataType::LargeUtf8 => strings::<i64>(array, style),
        DataType::Utf8View => {
            let values = array.as_string_view();
            Box::new(move |row, out| string(values.value(row), style, out))
        }
        _ => return other(array, style),
    })
}

fn other<'a>(array: &'a ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    Ok(match array.data_type() {
        DataType::Binary => bytes(move |row| array.as_binary::<i32>().value(row), style),
        DataType::LargeBinary => bytes(move |row| array.as_binary::<i64>().value(row), style),
        DataType::BinaryView => bytes(move |row| array.as_binary_view().value(row), style),
        DataType::FixedSizeBinary(_) => bytes(move |row| array.as_fixed_size_binary().value(row), style),
        DataType::Date32 => {
            let values = array.as_primitive::<Date32Type>();
            dates(move |row| Date32Type::to_naive_date_opt(values.value(row)), style)
        }
        DataType::Date64 => {
            let values = array.as_primitive::<Date64Type>();
            dates(move |row| Date64Type::to_naive_date_opt(values.value(row)), style)
        }
        DataType::Timestamp(unit, _) => instants(array, *unit, style),
        DataType::Dictionary(_, of) => return owned(arrow::compute::cast(array, of)?, style),
        DataType::RunEndEncoded(_, of) => return owned(arrow::compute::cast(array, of.data_type())?, style),
        DataType::List(_) => return list::<i32>(array, style),
        DataType::LargeList(_) => return list::<i64>(array, style),
        DataType::FixedSizeList(_, _) => {
            let values = array.as_fixed_size_list();
            let (inside, length) = (cell(values.values(), Style::Json)?, values.value_length() as usize);
            nested(style, move |row, out| items(row * length..(row + 1) * length, &inside, out))
        }
        DataType::Struct(_) => return structure(array, style),
        DataType::Map(_, _) => return map(array, style),
        _ => return formatted(array, style),
    })
}

/// A value of a type that is written as something simpler, kept alive by its own writer.
fn owned<'a>(array: ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    // Dictionaries of answers are small; each value is written through a one-row view of the cast array.
    drop(cell(&array, style)?);
    Ok(Box::new(move |row, out| {
        let one = array.slice(row, 1);
        if let Ok(write) = cell(&one, style) {
            write(0, out);
        }
    }))
}

fn small<'a, T: ArrowPrimitiveType>(array: &'a ArrayRef) -> Cell<'a>
where
    T::Native: serde::Serialize,
{
    let values = array.as_primitive::<T>();
    Box::new(move |row, out| json(&values.value(row), out))
}

fn whole(value: impl serde::Serialize, size: u64, style: Style, out: &mut Vec<u8>) {
    match style == Style::Json && size > EXACT {
        true => in_quotes(out, |out| json(&value, out)),
        false => json(&value, out),
    }
}

fn double(value: f64, null: &[u8], out: &mut Vec<u8>) {
    match value.is_finite() {
        true => json(&value, out),
        false => out.extend_from_slice(null),
    }
}

/// Writing to memory does not fail, and these values always have a JSON text.
fn json(value: &impl serde::Serialize, out: &mut Vec<u8>) {
    drop(serde_json::to_writer(out, value));
}

fn in_quotes(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    out.push(b'"');
    write(out);
    out.push(b'"');
}

fn strings<'a, O: OffsetSizeTrait>(array: &'a ArrayRef, style: Style) -> Cell<'a> {
    let values = array.as_string::<O>();
    Box::new(move |row, out| string(values.value(row), style, out))
}

fn string(text: &str, style: Style, out: &mut Vec<u8>) {
    match style {
        Style::Json => quoted(text, out),
        Style::Csv => neutral(text, out),
    }
}

/// A JSON string.
pub(super) fn quoted(text: &str, out: &mut Vec<u8>) {
    json(&text, out);
}

/// A CSV field that no spreadsheet takes for a formula. An empty text is `""`, to differ from null.
pub(super) fn neutral(text: &str, out: &mut Vec<u8>) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let bare = !text.is_empty() && !text.contains([',', '"', '\n', '\r']) && text.trim().len() == text.len();
    if bare {
        out.extend_from_slice(if formula { b"'" } else { b"" });
        return out.extend_from_slice(text.as_bytes());
    }
    in_quotes(out, |out| {
        out.extend_from_slice(if formula { b"'" } else { b"" });
        for (at, part) in text.split('"').enumerate() {
            out.extend_from_slice(if at > 0 { b"\"\"" } else { b"" });
            out.extend_from_slice(part.as_bytes());
        }
    });
}

/// A text that needs no escaping: quoted in JSON, bare in CSV.
fn plain(style: Style, out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    match style {
        Style::Json => in_quotes(out, write),
        Style::Csv => write(out),
    }
}

fn bytes<'a>(of: impl Fn(usize) -> &'a [u8] + 'a, style: Style) -> Cell<'a> {
    Box::new(move |row, out| {
        plain(style, out, |out| out.extend_from_slice(STANDARD.encode(of(row)).as_bytes()))
    })
}

fn dates<'a>(of: impl Fn(usize) -> Option<NaiveDate> + 'a, style: Style) -> Cell<'a> {
    Box::new(move |row, out| match of(row) {
        Some(day) => plain(style, out, |out| date(day, out)),
        None => out.extend_from_slice(if style == Style::Json { b"null" } else { b"" }),
    })
}

fn date(day: NaiveDate, out: &mut Vec<u8>) {
    match day.year() {
        year @ 0..=9999 => {
            digits(year.unsigned_abs(), 4, out);
            out.push(b'-');
            digits(day.month(), 2, out);
            out.push(b'-');
            digits(day.day(), 2, out);
        }
        _ => drop(write!(out, "{day}")),
    }
}

fn digits(number: u32, width: u32, out: &mut Vec<u8>) {
    for place in (0..width).rev() {
        out.push(b'0' + (number / 10_u32.pow(place) % 10) as u8);
    }
}

fn instants<'a>(array: &'a ArrayRef, unit: TimeUnit, style: Style) -> Cell<'a> {
    let of: Box<dyn Fn(usize) -> Option<DateTime<Utc>> + 'a> = match unit {
        TimeUnit::Second => {
            let values = array.as_primitive::<TimestampSecondType>();
            Box::new(move |row| DateTime::from_timestamp(values.value(row), 0))
        }
        TimeUnit::Millisecond => {
            let values = array.as_primitive::<TimestampMillisecondType>();
            Box::new(move |row| DateTime::from_timestamp_millis(values.value(row)))
        }
        TimeUnit::Microsecond => {
            let values = array.as_primitive::<TimestampMicrosecondType>();
            Box::new(move |row| DateTime::from_timestamp_micros(values.value(row)))
        }
        TimeUnit::Nanosecond => {
            let values = array.as_primitive::<TimestampNanosecondType>();
            Box::new(move |row| Some(DateTime::from_timestamp_nanos(values.value(row))))
        }
    };
    Box::new(move |row, out| match of(row) {
        Some(at) => plain(style, out, |out| instant(at, out)),
        None => out.extend_from_slice(if style == Style::Json { b"null" } else { b"" }),
    })
}

/// `2026-11-20T14:00:00Z`, with as many decimals as the instant needs (none, 3, 6 or 9).
fn instant(at: DateTime<Utc>, out: &mut Vec<u8>) {
    let clock = at.time();
    date(at.date_naive(), out);
    for (sign, part) in [(b'T', clock.hour()), (b':', clock.minute()), (b':', clock.second())] {
        out.push(sign);
        digits(part, 2, out);
    }
    match clock.nanosecond() {
        0 => {}
        nanos => {
            out.push(b'.');
            let (value, width) = match nanos {
                n if n % 1_000_000 == 0 => (n / 1_000_000, 3),
                n if n % 1_000 == 0 => (n / 1_000, 6),
                n => (n, 9),
            };
            digits(value, width, out);
        }
    }
    out.push(b'Z');
}

/// Nested values are JSON in every style; in CSV that JSON is one field.
fn nested<'a>(style: Style, write: impl Fn(usize, &mut Vec<u8>) + 'a) -> Cell<'a> {
    match style {
        Style::Json => Box::new(write),
        Style::Csv => Box::new(move |row, out| {
            let mut text = Vec::new();
            write(row, &mut text);
            neutral(&String::from_utf8_lossy(&text), out);
        }),
    }
}

fn items(rows: std::ops::Range<usize>, inside: &Cell, out: &mut Vec<u8>) {
    out.push(b'[');
    for (at, row) in rows.enumerate() {
        if at > 0 {
            out.push(b',');
        }
        inside(row, out);
    }
    out.push(b']');
}

fn list<'a, O: OffsetSizeTrait>(array: &'a ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    let values = array.as_list::<O>();
    let (inside, offsets) = (cell(values.values(), Style::Json)?, values.value_offsets());
    let rows = move |row: usize| offsets[row].as_usize()..offsets[row + 1].as_usize();
    Ok(nested(style, move |row, out| items(rows(row), &inside, out)))
}

fn structure<'a>(array: &'a ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    let values = array.as_struct();
    let fields: Vec<(String, Cell<'a>)> = values
        .fields()
        .iter()
        .zip(values.columns())
        .map(|(field, column)| Ok((field.name().clone(), cell(column, Style::Json)?)))
        .collect::<Result<_, ArrowError>>()?;
    Ok(nested(style, move |row, out| {
        out.push(b'{');
        for (at, (name, write)) in fields.iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            quoted(name, out);
            out.push(b':');
            write(row, out);
        }
        out.push(b'}');
    }))
}

fn map<'a>(array: &'a ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    let values = array.as_map();
    let options = FormatOptions::default();
    let keys = ArrayFormatter::try_new(values.keys(), &options)?;
    let (inside, offsets) = (cell(values.values(), Style::Json)?, values.value_offsets());
    Ok(nested(style, move |row, out| {
        out.push(b'{');
        for (at, row) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
            if at > 0 {
                out.push(b',');
            }
            quoted(&keys.value(row).to_string(), out);
            out.push(b':');
            inside(row, out);
        }
        out.push(b'}');
    }))
}

/// Decimals, times, intervals and what is rarer still: as the engine prints them, always a text in JSON.
fn formatted<'a>(array: &'a ArrayRef, style: Style) -> Result<Cell<'a>, ArrowError> {
    static OPTIONS: FormatOptions = FormatOptions::new();
    let formatter = ArrayFormatter::try_new(array, &OPTIONS)?;
    let number = array.data_type().is_numeric();
    Ok(Box::new(move |row, out| {
        let text = formatter.value(row).to_string();
        match (style, number) {
            // A negative decimal is a number, not a formula.
            (Style::Csv, true) => out.extend_from_slice(text.as_bytes()),
            _ => string(&text, style, out),
        }
    }))
}
