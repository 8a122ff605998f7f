//! Cells become Arrow arrays of known types.
//!
//! A value that does not fit a type that was only *tried* is a [`Misfit`]: the whole file is looked at again. One that does not fit a type
//! that was *given* (by the caller, or by the table that rows are added to) is a bad value: its row is refused or set aside.

use std::borrow::Cow;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, BooleanBufferBuilder, Decimal128Array, PrimitiveArray, StringArray,
    TimestampMicrosecondArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{ArrowPrimitiveType, Date32Type, Float64Type, Int64Type};

use super::cells::{Bad, Cell, Grid, Kind, is_null_word, trimmed};
use super::dates::{Layout, Moment};
use super::facts::{Reading, is_bool};
use super::marks::with_point;
use super::number::{self, Shape};
use super::types::Type;

/// A value that contradicts a type found on the first piece of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Misfit;

/// The array of one column of `grid`, as long as the grid; bad values are null in it and listed in `bad`.
pub fn array(grid: &Grid, column: usize, reading: &Reading, bad: &mut Vec<Bad>) -> Result<ArrayRef, Misfit> {
    if reading.empty {
        return empty(grid, column);
    }
    let mut pass = Pass { grid, column, reading, bad };
    Ok(match reading.of {
        Type::Bigint => Arc::new(pass.primitive::<Int64Type>(bigint)?),
        Type::Double => Arc::new(pass.primitive::<Float64Type>(double)?),
        Type::Date => Arc::new(pass.primitive::<Date32Type>(date)?),
        Type::Timestamp => {
            let instants: TimestampMicrosecondArray = pass.primitive(timestamp)?;
            Arc::new(instants.with_timezone("UTC"))
        }
        Type::Decimal { precision, scale } => {
            let exact: Decimal128Array =
                pass.primitive(|text, reading| decimal(text, reading, precision, scale))?;
            Arc::new(exact.with_data_type(reading.of.arrow()))
        }
        Type::Boolean => Arc::new(pass.booleans()?),
        Type::Text => Arc::new(pass.text()?),
    })
}

/// A column of which only nulls have been seen stays text only as long as that is so.
fn empty(grid: &Grid, column: usize) -> Result<ArrayRef, Misfit> {
    let all_null = grid.column(column).all(|cell| is_null(cell.kind(), cell.text(&grid.text)));
    let rows = grid.rows();
    all_null.then(|| Arc::new(StringArray::new_null(rows)) as ArrayRef).ok_or(Misfit)
}

/// Null in a column that is not text.
#[inline]
fn is_null(kind: Kind, text: &[u8]) -> bool {
    match kind {
        Kind::Plain => is_null_word(trimmed(text)),
        Kind::Quoted => is_null_word(text),
        Kind::Null => true,
        _ => false,
    }
}

struct Pass<'a> {
    grid: &'a Grid,
    column: usize,
    reading: &'a Reading,
    bad: &'a mut Vec<Bad>,
}

impl Pass<'_> {
    #[inline]
    fn primitive<T: ArrowPrimitiveType>(
        &mut self,
        value_of: impl Fn(&[u8], &Reading) -> Option<T::Native>,
    ) -> Result<PrimitiveArray<T>, Misfit> {
        let grid = self.grid;
        let mut values = Vec::with_capacity(grid.rows());
        let mut nulls = Nulls::new(grid.rows());
        for (row, cell) in grid.column(self.column).enumerate() {
            let value = match self.read(row, cell, &value_of)? {
                Some(value) => value,
                None => nulls.add(row),
            };
            values.push(value);
        }
        Ok(PrimitiveArray::new(ScalarBuffer::from(values), nulls.finish()))
    }

    fn booleans(&mut self) -> Result<BooleanArray, Misfit> {
        let grid = self.grid;
        let mut values = BooleanBufferBuilder::new(grid.rows());
        let mut nulls = Nulls::new(grid.rows());
        for (row, cell) in grid.column(self.column).enumerate() {
            let value = self.read(row, cell, &boolean)?;
            values.append(value.unwrap_or_else(|| nulls.add(row)));
        }
        Ok(BooleanArray::new(values.finish(), nulls.finish()))
    }

    /// The value of a cell, `None` for null. A value that does not fit is a misfit, or listed as bad and null.
    #[inline]
    fn read<V>(
        &mut self,
        row: usize,
        cell: Cell,
        value_of: &impl Fn(&[u8], &Reading) -> Option<V>,
    ) -> Result<Option<V>, Misfit> {
        let kind = cell.kind();
        let text = cell.text(&self.grid.text);
        if is_null(kind, text) {
            return Ok(None);
        }
        let bare = if kind == Kind::Plain { trimmed(text) } else { text };
        match value_of(bare, self.reading) {
            Some(value) => Ok(Some(value)),
            None if self.reading.given => {
                self.note(row, text);
                Ok(None)
            }
            None => Err(Misfit),
        }
    }

    fn note(&mut self, row: usize, text: &[u8]) {
        let reason = format!("is no {}", self.reading.of);
        self.bad.push(Bad::new(self.grid.record_of(row), Some(self.column), text, reason));
    }

    fn text(&mut self) -> Result<StringArray, Misfit> {
        let grid = self.grid;
        let bytes = grid.column(self.column).map(Cell::len).sum();
        let mut values = Vec::with_capacity(bytes);
        let mut offsets = Vec::with_capacity(grid.rows() + 1);
        let mut nulls = Nulls::new(grid.rows());
        offsets.push(0i32);
        for (row, cell) in grid.column(self.column).enumerate() {
            let (kind, text) = (cell.kind(), cell.text(&grid.text));
            let null = match kind {
                Kind::Plain => is_null_word(trimmed(text)),
                Kind::Quoted => text.is_empty(),
                kind => kind == Kind::Null,
            };
            if null {
                let () = nulls.add(row);
            } else {
                values.extend_from_slice(text);
            }
            offsets.push(values.len() as i32);
        }
        let offsets = OffsetBuffer::new(ScalarBuffer::from(offsets));
        // Pieces are valid UTF-8 before they are split, and are split at ASCII only.
        StringArray::try_new(offsets, Buffer::from_vec(values), nulls.finish()).map_err(|_| Misfit)
    }
}

/// A null bitmap that costs nothing until the first null.
struct Nulls {
    valid: Option<BooleanBufferBuilder>,
    rows: usize,
}

impl Nulls {
    fn new(rows: usize) -> Self {
        Self { valid: None, rows }
    }

    /// Marks `row` and gives the value that stands in its place.
    #[inline]
    fn add<V: Default>(&mut self, row: usize) -> V {
        let valid = self.valid.get_or_insert_with(|| {
            let mut all = BooleanBufferBuilder::new(self.rows);
            all.append_n(self.rows, true);
            all
        });
        valid.set_bit(row, false);
        V::default()
    }

    fn finish(self) -> Option<NullBuffer> {
        self.valid.map(|mut valid| NullBuffer::new(valid.finish()))
    }
}

#[inline]
fn bigint(text: &[u8], reading: &Reading) -> Option<i64> {
    let text = &*figures(text, reading)?;
    let shape = Shape::of(text)?;
    if !reading.given {
        return if shape.is_negative_zero() { None } else { shape.bigint() };
    }
    if shape.is_whole() {
        return shape.bigint();
    }
    // `12.0` is a whole number that another program has passed through a double.
    number::decimal(text, 38, 0).and_then(|value| i64::try_from(value).ok())
}

/// A number as it is written with a decimal point.
#[inline]
fn figures<'a>(text: &'a [u8], reading: &Reading) -> Option<Cow<'a, [u8]>> {
    let text = if reading.given { lenient(text) } else { text };
    if reading.comma { with_point(text) } else { Some(Cow::Borrowed(text)) }
}

#[inline]
fn double(text: &[u8], reading: &Reading) -> Option<f64> {
    let Some(bare) = figures(text, reading) else { return number::special(text) };
    let Some(shape) = Shape::of(&bare) else { return number::special(text) };
    let may_round =
        shape.significant > reading.digits || (reading.digits != u16::MAX && shape.is_rounded_by_double());
    if may_round { None } else { shape.double(&bare) }
}

#[inline]
fn decimal(text: &[u8], reading: &Reading, precision: u8, scale: u8) -> Option<i128> {
    let text = &*figures(text, reading)?;
    let kept = |shape: Shape| reading.given || (shape.scale <= u16::from(scale) && !shape.is_negative_zero());
    if Shape::of(text).is_some_and(kept) { number::decimal(text, precision, scale) } else { None }
}

#[inline]
fn date(text: &[u8], reading: &Reading) -> Option<i32> {
    let moment = Moment::of(text)?;
    let midnight =
        moment.time.is_none() || (reading.given && moment.time == Some(0) && moment.offset.is_none());
    match midnight {
        true => moment.days(layout(&moment, reading)?),
        false if reading.instants => moment.utc_day(layout(&moment, reading)?),
        false => None,
    }
}

#[inline]
fn timestamp(text: &[u8], reading: &Reading) -> Option<i64> {
    let moment = Moment::of(text)?;
    let clear = reading.given || moment.time.is_none() || moment.offset.is_some() == reading.zoned;
    if clear { moment.micros(layout(&moment, reading)?) } else { None }
}

/// The column's layout; where a given type met values of several, each value's own, if it has only one.
#[inline]
fn layout(moment: &Moment, reading: &Reading) -> Option<Layout> {
    reading.layout.or_else(|| moment.layouts.single())
}

fn boolean(text: &[u8], reading: &Reading) -> Option<bool> {
    if is_bool(text) {
        return Some(text.len() == 4);
    }
    let one_of = |words: &[&[u8]]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    match reading.given {
        true if one_of(&[b"t", b"yes", b"y", b"1"]) => Some(true),
        true if one_of(&[b"f", b"no", b"n", b"0"]) => Some(false),
        _ => None,
    }
}

/// Where the type was asked for, `+5` and `007` are numbers.
fn lenient(text: &[u8]) -> &[u8] {
    let text = text.strip_prefix(b"+").unwrap_or(text);
    let zeros = text.windows(2).take_while(|pair| pair[0] == b'0' && pair[1].is_ascii_digit()).count();
    &text[zeros..]
}

#[cfg(test)]
mod tests {
    use super::super::facts::Facts;
    use super::super::marks::{Found, Written, is_open};
    use super::*;
    use arrow::array::{Array, AsArray};
    use arrow::datatypes::TimestampMicrosecondType;

    fn grid(values: &[(&str, Kind)]) -> Grid {
        let (mut text, mut cells) = (Vec::new(), Vec::new());
        for (value, kind) in values {
            let start = text.len();
            text.extend_from_slice(value.as_bytes());
            cells.push(Cell::new(start, text.len(), *kind));
        }
        Grid { text: text.into(), cells, width: 1, first_row: 0, ..Grid::default() }
    }

    fn plain(values: &[&str]) -> Grid {
        grid(&values.iter().map(|value| (*value, Kind::Plain)).collect::<Vec<_>>())
    }

    fn given(of: Type) -> Reading {
        Reading { given: true, ..Reading::of(of) }
    }

    #[test]
    fn what_facts_found_is_built_without_a_misfit() {
        for values in [
            &["1", "-5", "NA", "9223372036854775807"][..],
            &["1", "2.5", "", "NaN"],
            &["9007199254740993", "1.5"],
            &["12345678901234567.25", "1.50"],
            &["9223372036854775808", "1"],
            &["true", "FALSE"],
            &["2026-01-02", "NA"],
            &["13/04/2026", "01/02/2026"],
            &["2026-01-02T10:00:00Z", "2026-01-03"],
            &["", "NA"],
            &["x", "007"],
            &["0.1234567890123456", "0.12345678901234567"],
            &[" 1 ", "2"],
            &["-0", "1.5"],
            &["12,5", "1.234", "NaN"],
            &["12.345.678.901.234.567,25", "1,50"],
            &["1.234"],
        ] {
            let grid = plain(values);
            let facts = Facts::of(Written::Either, grid.column(0), &grid.text);
            let found = Found::of(Written::Either, std::slice::from_ref(&facts), b';');
            let mut bad = Vec::new();
            let array = array(&grid, 0, &facts.reading(found), &mut bad).unwrap();
            assert_eq!((array.len(), bad.len()), (values.len(), 0), "{values:?}");
            assert_eq!(array.null_count() as u64, facts.nulls, "{values:?}");
            assert_eq!(array.data_type(), &facts.reading(found).of.arrow());
        }
    }

    /// The rule that lets one pass stand for two: a type found on some values and kept by all is the type found on all.
    #[test]
    fn a_value_that_would_change_the_type_is_a_misfit() {
        let values = [
            "1",
            "007",
            "-0",
            "2.5",
            "1e9",
            "9223372036854775808",
            "9007199254740993",
            "0.1234567890123456",
            "12345678901234567.25",
            "12345678901234567.5",
            "0.12345678901234567890",
            "true",
            "x",
            "",
            "NaN",
            "2026-01-02",
            "2026-01-02T10:00:00Z",
            "2026-01-02 10:00",
            "13/04/2026",
            "04/13/2026",
            "01/02/2026",
            "20.11.2026",
            "12,5",
            "1.234",
            "1,234",
            "1.234,5",
            "12.345.678",
            "1,50",
        ];
        for delimiter in [b',', b';', b'|'] {
            let written = Written::of(None, delimiter);
            let reading = |grid: &Grid| {
                let facts = [Facts::of(written, grid.column(0), &grid.text)];
                let found = Found::of(written, &facts, delimiter);
                let open = written == Written::Either && is_open(&facts);
                (facts[0].reading(found), open || facts[0].is_undecided(found))
            };
            for (first, second) in values.iter().flat_map(|first| values.map(|second| (first, second))) {
                let (tried, undecided) = reading(&plain(&[first]));
                let found = reading(&plain(&[first, second])).0;
                let kept = array(&plain(&[second]), 0, &tried, &mut Vec::new()).is_ok();
                if kept && !undecided {
                    assert_eq!((tried.of, tried.comma), (found.of, found.comma), "{first} then {second}");
                }
            }
        }
    }

    #[test]
    fn a_given_type_reads_more_and_lists_what_it_cannot_read() {
        let grid = plain(&["007", "+5", "12.0", "x", "1.5", ""]);
        let mut bad = Vec::new();
        let array = array(&grid, 0, &given(Type::Bigint), &mut bad).unwrap();
        let values: Vec<_> = array.as_primitive::<Int64Type>().iter().collect();
        assert_eq!(values, [Some(7), Some(5), Some(12), None, None, None]);
        let rows: Vec<_> = bad.iter().map(|bad| (bad.record, bad.reason.as_str())).collect();
        assert_eq!(rows, [(3, "is no bigint"), (4, "is no bigint")]);
    }

    #[test]
    fn a_quoted_na_is_text_in_text_and_null_elsewhere() {
        let text = grid(&[("x", Kind::Plain), ("NA", Kind::Quoted), ("NA", Kind::Plain), ("", Kind::Quoted)]);
        let built = array(&text, 0, &Reading::of(Type::Text), &mut Vec::new()).unwrap();
        assert_eq!(built.as_string::<i32>().iter().collect::<Vec<_>>(), [Some("x"), Some("NA"), None, None]);
        let number = grid(&[("1", Kind::Quoted), ("NA", Kind::Quoted)]);
        let built = array(&number, 0, &Reading::of(Type::Bigint), &mut Vec::new()).unwrap();
        assert_eq!(built.as_primitive::<Int64Type>().iter().collect::<Vec<_>>(), [Some(1), None]);
    }

    #[test]
    fn timestamps_are_utc_instants() {
        let grid = plain(&["2026-11-20T14:00:00+02:00", "2026-11-20 12:00", "2026-11-20"]);
        let built = array(&grid, 0, &given(Type::Timestamp), &mut Vec::new()).unwrap();
        let noon = 1_795_176_000_000_000;
        let values: Vec<_> = built.as_primitive::<TimestampMicrosecondType>().iter().flatten().collect();
        assert_eq!(values, [noon, noon, noon - 43_200_000_000]);
    }

    #[test]
    fn an_instant_is_a_date_where_instants_are_dates() {
        let texts =
            ["2021-10-04T06:00:00Z", "2021-10-04 06:30", "2021-10-05T01:00:00+02:00", "2021-10-04", "x"];
        let dates = |instants: bool| {
            let (reading, mut bad) = (Reading { instants, ..given(Type::Date) }, Vec::new());
            let built = array(&plain(&texts), 0, &reading, &mut bad).unwrap();
            (built.as_primitive::<Date32Type>().iter().collect::<Vec<_>>(), bad.len())
        };
        let day = Some(18_904); // 2021-10-04
        assert_eq!(dates(true), (vec![day, day, day, day, None], 1));
        assert_eq!(dates(false), (vec![None, None, None, day, None], 4));
    }

    #[test]
    fn given_numbers_follow_the_decimal_comma() {
        let grid = plain(&["1.234,50", "+007,25", "12", "12.5", "NaN"]);
        let mut bad = Vec::new();
        let comma = Reading { comma: true, ..given(Type::Double) };
        let doubles = array(&grid, 0, &comma, &mut bad).unwrap();
        let values: Vec<_> =
            doubles.as_primitive::<Float64Type>().iter().map(|v| v.map(|v| v.to_string())).collect();
        assert_eq!(
            values,
            ["1234.5", "7.25", "12", "", "NaN"].map(|v| (!v.is_empty()).then(|| v.to_owned()))
        );
        assert_eq!(bad.len(), 1);
    }
}
