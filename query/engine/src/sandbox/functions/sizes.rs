//! How many bytes a call will make, told from its arguments. Estimates err on the large side.

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{DataType, Float64Type, Int64Type, IntervalMonthDayNano, IntervalUnit, TimeUnit};
use datafusion::common::{Result, ScalarValue};
use datafusion::logical_expr::ColumnarValue;

/// How the output of a function grows with its arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Growth {
    /// At most the arguments together.
    Sum,
    /// At most four times that: a letter may become a longer one, a byte two digits.
    Widened,
    /// The first argument as often as the second says (or the first count among the others).
    Times,
    /// Filled up to as many characters as the second argument says.
    Padded,
    /// Each place where the first argument has the second becomes the third.
    Replaced,
    /// The same for a regular expression.
    Matched,
    /// Each element of the list may become the third argument.
    Filled,
    /// A separator between the parts.
    Separated,
    /// A short text becomes many small parts.
    Split,
    /// Time and memory grow with the product of two lengths.
    Product,
    /// A list from a start to a stop by a step.
    Counted,
}

/// Bytes of the smallest list element with what keeps it.
const ELEMENT: u64 = 16;
const LONGEST_CHAR: u64 = 4;
/// Estimates below this need not be exact.
const WORTH_COUNTING: u64 = 2 << 20;

impl Growth {
    /// Estimated bytes for `rows` rows: 1 for a call on constants.
    pub(super) fn bytes(self, args: &[ColumnarValue], rows: usize) -> Result<u64> {
        match self {
            Self::Sum => Ok(total(args, rows)),
            Self::Widened => Ok(total(args, rows).saturating_mul(LONGEST_CHAR)),
            Self::Times => times(args, rows),
            Self::Padded => {
                Ok(total(args, rows).saturating_add(counts(args.get(1), rows)?.sum(LONGEST_CHAR)))
            }
            Self::Replaced => Ok(replaced(args, rows)),
            Self::Matched => Ok(matched(args, rows)),
            Self::Filled => Ok(filled(args, rows)),
            Self::Separated => Ok(separated(args, rows)),
            Self::Split => Ok(total(args, rows).saturating_mul(ELEMENT)),
            Self::Product => Ok(product(args, rows)),
            Self::Counted => counted(args, rows),
        }
    }
}

/// One count a row, none below zero.
struct Counts(Vec<u64>);

impl Counts {
    fn sum(&self, each: u64) -> u64 {
        self.0.iter().fold(0, |sum, n| sum.saturating_add(n.saturating_mul(each)))
    }
}

fn counts(arg: Option<&ColumnarValue>, rows: usize) -> Result<Counts> {
    let Some(arg) = arg else { return Ok(Counts(Vec::new())) };
    let array = numbers(arg, rows)?;
    let values = array.as_primitive::<Int64Type>();
    Ok(Counts(values.iter().map(|n| n.map_or(0, |n| u64::try_from(n).unwrap_or_default())).collect()))
}

/// The argument as 64-bit integers; what is no number is null.
fn numbers(arg: &ColumnarValue, rows: usize) -> Result<ArrayRef> {
    let array = arg.to_array(rows)?;
    Ok(arrow::compute::cast(&array, &DataType::Int64)?)
}

/// Bytes of all arguments, constants once a row.
fn total(args: &[ColumnarValue], rows: usize) -> u64 {
    args.iter().map(|arg| size(arg, rows)).fold(0, u64::saturating_add)
}

fn size(arg: &ColumnarValue, rows: usize) -> u64 {
    match arg {
        ColumnarValue::Array(array) => array_bytes(array),
        ColumnarValue::Scalar(value) => scalar_bytes(value).saturating_mul(rows as u64),
    }
}

fn scalar_bytes(value: &ScalarValue) -> u64 {
    let bytes = match (value.try_as_str(), value.data_type().primitive_width()) {
        (Some(text), _) => text.map_or(0, str::len),
        (None, Some(width)) => width,
        (None, None) => value.size(),
    };
    bytes as u64
}

/// Bytes that the rows of this array stand for, whatever buffers it shares with others.
fn array_bytes(array: &ArrayRef) -> u64 {
    match array.data_type() {
        // Views may all point at one long value: what counts is how long they are.
        DataType::Utf8View => array.as_string_view().lengths().map(u64::from).sum(),
        DataType::BinaryView => array.as_binary_view().lengths().map(u64::from).sum(),
        _ => array.to_data().get_slice_memory_size().unwrap_or_else(|_| array.get_array_memory_size()) as u64,
    }
}

/// The longest value of the argument.
fn longest(arg: Option<&ColumnarValue>) -> u64 {
    match arg {
        Some(ColumnarValue::Scalar(value)) => scalar_bytes(value),
        Some(ColumnarValue::Array(array)) => lengths(array).into_iter().max().unwrap_or_default(),
        None => 0,
    }
}

fn lengths(array: &ArrayRef) -> Vec<u64> {
    let texts = arrow::compute::cast(array, &DataType::Utf8View);
    match texts {
        Ok(texts) => texts.as_string_view().lengths().map(u64::from).collect(),
        Err(_) => vec![array_bytes(array)],
    }
}

/// `repeat(text, n)`, `array_repeat(element, n)`, `array_resize(list, n, value)`.
fn times(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let counts = counts(args.get(1), rows)?;
    let unit = longest(args.first()).max(longest(args.get(2)));
    let each: Vec<u64> = match args.first() {
        Some(ColumnarValue::Array(array)) if is_text(array.data_type()) => lengths(array),
        _ => Vec::new(),
    };
    let wanted = counts
        .0
        .iter()
        .enumerate()
        .map(|(row, n)| n.saturating_mul(each.get(row).copied().unwrap_or(unit).max(1)));
    let element = if is_text_arg(args.first()) { 0 } else { counts.sum(ELEMENT) };
    Ok(wanted.fold(element, u64::saturating_add))
}

fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}

fn is_text_arg(arg: Option<&ColumnarValue>) -> bool {
    arg.is_some_and(|arg| is_text(&arg.data_type()))
}

/// `replace(text, from, to)`: at most as often as `from` fits into the text. Only where that would be
/// much are the places of a constant `from` counted.
fn replaced(args: &[ColumnarValue], rows: usize) -> u64 {
    let (Some(texts), Some(from)) = (args.first(), args.get(1)) else { return 0 };
    let text = size(texts, rows);
    let pattern = match from {
        ColumnarValue::Scalar(pattern) => pattern.try_as_str().flatten().unwrap_or_default(),
        ColumnarValue::Array(_) => "",
    };
    let made = |places: u64| text.saturating_add(places.saturating_mul(longest(args.get(2))));
    let most = made(text / pattern.len().max(1) as u64 + rows as u64);
    match most > WORTH_COUNTING && !pattern.is_empty() {
        true => occurrences(texts, pattern).map_or(most, made),
        false => most,
    }
}

fn occurrences(texts: &ColumnarValue, pattern: &str) -> Option<u64> {
    let texts = arrow::compute::cast(&texts.to_array(1).ok()?, &DataType::Utf8View).ok()?;
    let count = |text: &str| text.matches(pattern).count() as u64;
    Some(texts.as_string_view().iter().flatten().map(count).sum())
}

/// `regexp_replace(text, pattern, to[, flags])`: one a row, or with flags as many as there are bytes.
fn matched(args: &[ColumnarValue], rows: usize) -> u64 {
    let text = args.first().map_or(0, |text| size(text, rows));
    let rows = rows as u64;
    let places = if args.len() > 3 { text.saturating_add(rows) } else { rows };
    text.saturating_add(places.saturating_mul(longest(args.get(2))))
}

/// `array_replace(list, from, to)` and its kin.
fn filled(args: &[ColumnarValue], rows: usize) -> u64 {
    let elements = args.first().map_or(0, |list| size(list, rows) / 4);
    total(args, rows).saturating_add(elements.saturating_mul(longest(args.get(2))))
}

/// `concat_ws(separator, …)` and `array_to_string(list, separator)`.
fn separated(args: &[ColumnarValue], rows: usize) -> u64 {
    let list = args.first().filter(|arg| arg.data_type().is_nested());
    let (separator, places) = match list {
        Some(list) => (longest(args.get(1)), size(list, rows) / 4),
        None => (longest(args.first()), args.len() as u64 * rows as u64),
    };
    total(args, rows).saturating_mul(3).saturating_add(places.saturating_mul(separator))
}

fn product(args: &[ColumnarValue], rows: usize) -> u64 {
    longest(args.first()).saturating_mul(longest(args.get(1))).saturating_mul(rows as u64) / 16
}

/// `range(stop)`, `range(start, stop[, step])` and `generate_series`, over numbers and times.
fn counted(args: &[ColumnarValue], rows: usize) -> Result<u64> {
    let (start, stop) = match args {
        [stop] => (None, stop),
        [start, stop, ..] => (Some(start), stop),
        [] => return Ok(0),
    };
    let stop = positions(stop, rows)?;
    let start = start.map(|start| positions(start, rows)).transpose()?;
    let step = args.get(2).map(|step| steps(step, rows)).transpose()?;
    let count = |row: usize| {
        let from = start.as_ref().map_or(Some(0.0), |start| start[row]);
        let by = step.as_ref().map_or(if is_time(args.first()) { None } else { Some(1.0) }, |step| step[row]);
        match (from, stop[row], by) {
            (Some(from), Some(to), Some(by)) => ((to - from) / by).abs().min(1e18) as u64 + 1,
            _ => 0,
        }
    };
    Ok((0..rows).map(count).fold(0_u64, u64::saturating_add).saturating_mul(ELEMENT))
}

fn is_time(arg: Option<&ColumnarValue>) -> bool {
    arg.is_some_and(|arg| arg.data_type().is_temporal())
}

/// Numbers as they are, times as nanoseconds.
fn positions(arg: &ColumnarValue, rows: usize) -> Result<Vec<Option<f64>>> {
    let array = arg.to_array(rows)?;
    let unit = match array.data_type() {
        DataType::Date32 => 86_400e9,
        DataType::Date64 => 1e6,
        DataType::Timestamp(TimeUnit::Second, _) => 1e9,
        DataType::Timestamp(TimeUnit::Millisecond, _) => 1e6,
        DataType::Timestamp(TimeUnit::Microsecond, _) => 1e3,
        _ => 1.0,
    };
    let whole = match array.data_type() {
        DataType::Date32 => arrow::compute::cast(&array, &DataType::Int32)?,
        t if t.is_temporal() => arrow::compute::cast(&array, &DataType::Int64)?,
        _ => array,
    };
    let floats = arrow::compute::cast(&whole, &DataType::Float64)?;
    Ok(floats.as_primitive::<Float64Type>().iter().map(|n| n.map(|n| n * unit)).collect())
}

/// Steps in the unit of [`positions`]; a month counts as 28 days, zero as the smallest step there is.
fn steps(arg: &ColumnarValue, rows: usize) -> Result<Vec<Option<f64>>> {
    let array = arg.to_array(rows)?;
    if !matches!(array.data_type(), DataType::Interval(_)) {
        return Ok(positions(arg, rows)?
            .into_iter()
            .map(|n| n.map(|n| if n == 0.0 { 1.0 } else { n }))
            .collect());
    }
    let same = arrow::compute::cast(&array, &DataType::Interval(IntervalUnit::MonthDayNano))?;
    let same = same.as_primitive::<arrow::datatypes::IntervalMonthDayNanoType>();
    Ok(same.iter().map(|step| step.map(nanos)).collect())
}

fn nanos(step: IntervalMonthDayNano) -> f64 {
    let days = f64::from(step.months) * 28.0 + f64::from(step.days);
    let nanos = days * 86_400e9 + step.nanoseconds as f64;
    if nanos == 0.0 { 1.0 } else { nanos }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn text(value: &str) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::Utf8(Some(value.to_owned())))
    }

    fn number(value: i64) -> ColumnarValue {
        ColumnarValue::Scalar(ScalarValue::Int64(Some(value)))
    }

    fn column(values: &[&str]) -> ColumnarValue {
        ColumnarValue::Array(Arc::new(arrow::array::StringArray::from(values.to_vec())))
    }

    #[test]
    fn repeats_are_weighed_before_they_are_made() {
        assert!(Growth::Times.bytes(&[text("x"), number(1_500_000_000)], 1).unwrap() >= 1_500_000_000);
        assert_eq!(Growth::Times.bytes(&[text("ab"), number(3)], 1).unwrap(), 6);
        assert_eq!(Growth::Times.bytes(&[text("ab"), number(-3)], 1).unwrap(), 0);
        assert_eq!(Growth::Times.bytes(&[column(&["a", "bb"]), number(10)], 2).unwrap(), 30);
        let huge = Growth::Times.bytes(&[number(1), number(i64::MAX)], 1).unwrap();
        assert_eq!(huge, u64::MAX);
    }

    #[test]
    fn padding_counts_characters() {
        assert!(Growth::Padded.bytes(&[text("x"), number(100_000_000), text("y")], 1).unwrap() > 100_000_000);
        let rows = Growth::Padded.bytes(&[column(&["a", "b"]), number(1_000)], 2).unwrap();
        assert!((8_000..9_000).contains(&rows), "{rows}");
    }

    #[test]
    fn a_replacement_of_every_letter_is_seen() {
        let grown = Growth::Replaced.bytes(&[text("aaaa"), text("a"), text("0123456789")], 1).unwrap();
        assert!(grown >= 40, "{grown}");
        let long = "ab".repeat(1 << 20);
        let counted = Growth::Replaced.bytes(&[text(&long), text("ba"), text("0123456789")], 1).unwrap();
        assert_eq!(counted, (2 << 20) + 10 * ((1 << 20) - 1));
        let flags = [text("aaaa"), text("a"), text("0123456789"), text("g")];
        assert!(Growth::Matched.bytes(&flags, 1).unwrap() >= 40);
    }

    #[test]
    fn series_are_counted_over_numbers_and_times() {
        assert!(Growth::Counted.bytes(&[number(0), number(200_000_000)], 1).unwrap() >= 200_000_000);
        assert_eq!(Growth::Counted.bytes(&[number(0), number(100), number(10)], 1).unwrap(), 11 * ELEMENT);
        let day = |n| ColumnarValue::Scalar(ScalarValue::Date32(Some(n)));
        let step = |nanos| {
            let step = IntervalMonthDayNano::new(0, 0, nanos);
            ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(step)))
        };
        let seconds = Growth::Counted.bytes(&[day(0), day(20_000), step(1_000_000_000)], 1).unwrap();
        assert!(seconds > 20_000 * 86_400, "{seconds}");
    }
}
