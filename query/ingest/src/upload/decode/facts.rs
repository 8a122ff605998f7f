//! What the values of one column have in common, over the whole file; and the type that follows.
//!
//! Facts of pieces are merged, so pieces can be looked at side by side. No sample decides anything: a type found on a first piece is
//! only tried (see `build`), and one value that contradicts it sends the whole file through here.

use super::cells::{Cell, Kind, is_null_word, trimmed};
use super::dates::{Layout, Layouts, Moment};
use super::marks::{Found, Told, Written, told, with_point};
use super::number::{self, Shape};
use super::numerals::{Numerals, either};
use super::tally::Tally;
use super::types::Type;
use crate::upload::DecimalMark;

/// Facts of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub nulls: u64,
    /// `"NA"` in quotes: null unless the column is text.
    pub quoted_nulls: u64,
    written: Written,
    pub(super) bools: Tally,
    pub(super) specials: Tally,
    pub(super) dates: Tally,
    moments: Option<Moments>,
    point: Numerals,
    comma: Numerals,
    /// Numbers that have another value by each decimal mark.
    pub(super) twofold: Tally,
    /// A number that only a decimal comma explains.
    decimal_comma: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Moments {
    layouts: Layouts,
    timed: bool,
    zoned: bool,
    naive: bool,
}

/// How a column is read: its type, and what a value must keep to for the type to stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    pub of: Type,
    pub layout: Option<Layout>,
    /// Significant digits from which on a double might lose some.
    pub digits: u16,
    /// Timestamps carry an offset.
    pub zoned: bool,
    /// No value has been seen: text, until one is.
    pub empty: bool,
    /// Given by the caller or by the table: what does not fit is a bad value, not another type.
    pub given: bool,
    /// Numbers have a decimal comma.
    pub comma: bool,
    /// An instant is a date too: the UTC day it is in.
    pub instants: bool,
}

impl Reading {
    pub fn of(of: Type) -> Self {
        let (zoned, empty, given, comma, instants) = (false, false, false, false, false);
        Self { of, layout: None, digits: u16::MAX, zoned, empty, given, comma, instants }
    }
}

impl Facts {
    /// Facts of no values yet, whose numbers are read as `written`.
    pub fn new(written: Written) -> Self {
        Self { written, ..Self::default() }
    }

    /// Facts of a column that is null in `rows` rows.
    pub fn of_nulls(rows: u64) -> Self {
        Self { nulls: rows, ..Self::default() }
    }

    /// Facts of the cells of one column over `text`; a row's record is told by its place.
    pub fn of(written: Written, cells: impl Iterator<Item = Cell>, text: &[u8]) -> Self {
        let mut facts = Self::new(written);
        for (row, cell) in (0..).zip(cells) {
            facts.see(row, cell.kind(), cell.text(text));
        }
        facts
    }

    /// The value of record `at`.
    #[inline]
    pub fn see(&mut self, at: u64, kind: Kind, text: &[u8]) {
        match kind {
            Kind::Null => self.nulls += 1,
            Kind::Plain => {
                let text = trimmed(text);
                if is_null_word(text) { self.nulls += 1 } else { self.see_value(at, text) }
            }
            Kind::Quoted if text.is_empty() => self.nulls += 1,
            Kind::Quoted if is_null_word(text) => self.quoted_nulls += 1,
            Kind::Quoted | Kind::Number => self.see_value(at, text),
            Kind::Bool => self.bools.see(at, text),
            Kind::Nested => self.see_other(at, text),
            Kind::String => self.see_string(at, text),
        }
    }

    #[inline]
    fn see_value(&mut self, at: u64, text: &[u8]) {
        match text[0] {
            b'0'..=b'9' | b'-' | b'.' | b',' => self.see_figures(at, text),
            // Words that are neither begin with other letters.
            b't' | b'T' | b'f' | b'F' if is_bool(text) => self.bools.see(at, text),
            b'n' | b'N' | b'i' | b'I' if number::special(text).is_some() => self.specials.see(at, text),
            _ => self.see_string(at, text),
        }
    }

    /// A text that is no number: a moment, or just text.
    #[inline]
    fn see_string(&mut self, at: u64, text: &[u8]) {
        match Moment::of(text) {
            Some(moment) => self.see_moment(at, text, &moment),
            None if text.starts_with(b"-") && number::special(text).is_some() => self.specials.see(at, text),
            None => self.see_other(at, text),
        }
    }

    #[inline]
    fn see_other(&mut self, at: u64, text: &[u8]) {
        if self.written != Written::Comma {
            self.point.others.see(at, text);
        }
        if self.written != Written::Point {
            self.comma.others.see(at, text);
        }
    }

    /// A number by one of the marks, if it is one by any.
    #[inline]
    fn see_figures(&mut self, at: u64, text: &[u8]) {
        let by_point = if self.written == Written::Comma { None } else { Shape::of(text) };
        let by_comma = match self.written {
            Written::Point => None,
            _ => with_point(text).and_then(|number| Shape::of(&number)),
        };
        if by_point.is_none() && by_comma.is_none() {
            return self.see_string(at, text);
        }
        if self.written != Written::Comma {
            self.point.see(at, text, by_point.as_ref());
        }
        if self.written != Written::Point {
            self.comma.see(at, text, by_comma.as_ref());
        }
        match by_comma.map_or(Told::Nothing, |_| told(text)) {
            Told::Nothing => {}
            Told::Twofold => self.twofold.see(at, text),
            Told::Comma => self.decimal_comma = true,
        }
    }

    #[inline]
    fn see_moment(&mut self, at: u64, text: &[u8], moment: &Moment) {
        self.dates.see(at, text);
        let timed = moment.time.is_some();
        let zoned = moment.offset.is_some();
        let new = Moments { layouts: moment.layouts, timed, zoned, naive: timed && !zoned };
        self.moments = Some(self.moments.map_or(new, |old| old.and(&new)));
    }

    /// Facts of both parts together; `before` records stand before the other one.
    pub fn merge(&mut self, other: &Self, before: u64) {
        self.nulls += other.nulls;
        self.quoted_nulls += other.quoted_nulls;
        self.bools.merge(&other.bools, before);
        self.specials.merge(&other.specials, before);
        self.dates.merge(&other.dates, before);
        self.twofold.merge(&other.twofold, before);
        self.point.merge(&other.point, before);
        self.comma.merge(&other.comma, before);
        self.decimal_comma |= other.decimal_comma;
        self.moments = either(self.moments, other.moments, |a, b| a.and(&b));
    }

    /// The same with each row's place turned into its record's.
    pub fn placed(mut self, record_of: impl Fn(u64) -> u64) -> Self {
        let numerals = [&mut self.point, &mut self.comma].into_iter();
        let tallies = numerals.flat_map(|numerals| [&mut numerals.numbers, &mut numerals.others]);
        let own = [&mut self.bools, &mut self.specials, &mut self.dates, &mut self.twofold];
        tallies.chain(own).for_each(|tally| tally.place(&record_of));
        self
    }

    pub(super) fn by(&self, mark: DecimalMark) -> &Numerals {
        match mark {
            DecimalMark::Point => &self.point,
            DecimalMark::Comma => &self.comma,
        }
    }

    /// Whether both marks were tried.
    pub fn is_either(&self) -> bool {
        self.written == Written::Either
    }

    /// Only numbers, read by this mark.
    fn is_numbers(&self, mark: DecimalMark) -> bool {
        let numerals = self.by(mark);
        let numbers = numerals.numbers.count() > 0 && numerals.others.count() == 0;
        numbers && self.bools.count() == 0 && self.moments.is_none()
    }

    /// Only numbers, and one of them has a decimal comma.
    pub fn needs_comma(&self) -> bool {
        self.decimal_comma && self.is_numbers(DecimalMark::Comma)
    }

    /// Only numbers by the decimal point, but not by the comma.
    pub fn needs_point(&self) -> bool {
        self.is_numbers(DecimalMark::Point) && self.comma.others.count() > 0
    }

    /// Only numbers that have a value by each mark, and nothing among them tells which is meant.
    pub fn is_twofold(&self) -> bool {
        self.is_either()
            && self.twofold.count() > 0
            && !self.decimal_comma
            && self.is_numbers(DecimalMark::Comma)
    }

    /// Numbers so far, of a type that a number of two readings would fit in silence.
    pub fn may_be_twofold(&self) -> bool {
        let numbers = self.is_either() && !self.decimal_comma && self.is_numbers(DecimalMark::Comma);
        let is_double = || self.reading(Found::default()).of == Type::Double;
        numbers && (self.twofold.count() > 0 || is_double())
    }

    /// The type of the column: the narrowest that loses nothing of any value.
    pub fn reading(&self, found: Found) -> Reading {
        let text = Reading::of(Type::Text);
        if found.doubt && self.is_twofold() {
            return text;
        }
        let numerals = self.by(found.mark);
        let (bools, specials) = (self.bools.count() > 0, self.specials.count() > 0);
        match (bools, numerals.reading(specials), self.moments) {
            _ if numerals.others.count() > 0 => text,
            (false, None, None) => Reading { empty: !specials, ..text },
            (true, None, None) if !specials => Reading::of(Type::Boolean),
            (false, Some(numbers), None) => Reading { comma: found.mark == DecimalMark::Comma, ..numbers },
            (false, None, Some(moments)) if !specials => moments.reading().unwrap_or(text),
            _ => text,
        }
    }

    /// How a column of a given type is read. Errors: a date that can be read day-first and month-first alike; numbers that can be read by
    /// both decimal marks alike.
    pub fn reading_as(&self, of: Type, found: Found) -> Result<Reading, &'static str> {
        let given = Reading { given: true, comma: found.mark == DecimalMark::Comma, ..Reading::of(of) };
        let number = matches!(of, Type::Bigint | Type::Double | Type::Decimal { .. });
        if number && found.doubt && self.is_twofold() {
            return Err("its numbers can be read with a decimal point and with a decimal comma alike; \
                        send `decimal` as `point` or `comma`");
        }
        let (Type::Date | Type::Timestamp, Some(moments)) = (of, self.moments) else { return Ok(given) };
        match moments.layouts.single() {
            Some(layout) => Ok(Reading { layout: Some(layout), ..given }),
            None if moments.layouts.is_empty() => Ok(given),
            None => Err("its dates can be read day-first and month-first alike; write them as YYYY-MM-DD"),
        }
    }

    /// Whether more values must be seen: day-first or month-first is still open, or only words like `NaN` stand there.
    pub fn is_undecided(&self, found: Found) -> bool {
        let open = |moments: Moments| !moments.layouts.is_empty() && moments.layouts.single().is_none();
        let numerals = self.by(found.mark);
        let only_specials = self.specials.count() > 0 && numerals.numbers.count() == 0;
        numerals.others.count() == 0 && (only_specials || self.moments.is_some_and(open))
    }

    /// Why dates alone make no date column.
    pub(super) fn unclear_dates(&self) -> Option<&'static str> {
        let moments = self.moments?;
        match moments.layouts.single() {
            None if moments.layouts.is_empty() => Some("its dates are not all written in one way"),
            None => Some("its dates can be read day-first and month-first alike"),
            Some(_) if moments.zoned && moments.naive => {
                Some("some of its times have an offset and some have none")
            }
            Some(_) => None,
        }
    }
}

impl Moments {
    fn and(&self, other: &Self) -> Self {
        Self {
            layouts: self.layouts.and(other.layouts),
            timed: self.timed | other.timed,
            zoned: self.zoned | other.zoned,
            naive: self.naive | other.naive,
        }
    }

    /// Date or timestamp where one layout reads all; none where the layout is open, or times with and without offset are mixed.
    fn reading(&self) -> Option<Reading> {
        let layout = self.layouts.single()?;
        let of = if self.timed { Type::Timestamp } else { Type::Date };
        let clear = !(self.zoned && self.naive);
        clear.then(|| Reading { layout: Some(layout), zoned: self.zoned, ..Reading::of(of) })
    }
}

/// `true` or `false` in any case.
#[inline]
pub fn is_bool(text: &[u8]) -> bool {
    matches!(text.len(), 4 | 5) && (text.eq_ignore_ascii_case(b"true") || text.eq_ignore_ascii_case(b"false"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(written: Written, values: &[&str]) -> Facts {
        let mut facts = Facts::new(written);
        (0..).zip(values).for_each(|(at, value)| facts.see(at, Kind::Plain, value.as_bytes()));
        facts
    }

    fn reading(values: &[&str]) -> Reading {
        facts(Written::Point, values).reading(Found::default())
    }

    fn of(values: &[&str]) -> String {
        reading(values).of.to_string()
    }

    #[test]
    fn one_leading_zero_keeps_the_column_text() {
        assert_eq!(of(&["1", "2", "007"]), "text");
        assert_eq!(of(&["0", "1", "10"]), "bigint");
        assert_eq!(of(&["0.5", "00.5"]), "text");
        assert_eq!(of(&["-1", "-02"]), "text");
    }

    #[test]
    fn numbers_keep_all_their_digits() {
        assert_eq!(of(&["1", "-2", "9223372036854775807"]), "bigint");
        assert_eq!(of(&["1", "9223372036854775808"]), "decimal(19,0)");
        assert_eq!(of(&["1", "2.5"]), "double");
        assert_eq!(of(&["1e5", "2"]), "double");
        assert_eq!(of(&["12345678901234567.25", "1.50"]), "decimal(19,2)");
        assert_eq!(of(&["0.1234567890123456", "0.12345678901234567"]), "double");
        assert_eq!(of(&["9007199254740993", "1.5"]), "decimal(17,1)");
        assert_eq!(of(&["123456789012345678901234567890123456789"]), "text");
        assert_eq!(of(&["1.5", "NaN", "inf"]), "double");
        assert_eq!(of(&["NaN"]), "text");
        assert_eq!(of(&["1.5", "-0"]), "double");
    }

    #[test]
    fn nulls_say_nothing_about_the_type() {
        assert_eq!(of(&["NA", "1", "", "null", "N/A", "NULL"]), "bigint");
        assert!(reading(&["", "NA"]).empty);
        assert_eq!(of(&["", "NA"]), "text");
    }

    #[test]
    fn mixed_kinds_are_text() {
        for values in
            [&["1", "true"][..], &["1", "2026-01-01"], &["true", "x"], &["2026-01-01", "NaN"], &["1", "abc"]]
        {
            assert_eq!(of(values), "text", "{values:?}");
        }
        assert_eq!(of(&["TRUE", "false"]), "boolean");
        assert_eq!(of(&["0", "1"]), "bigint");
    }

    #[test]
    fn day_first_and_month_first_are_told_apart_over_the_whole_column_or_not_at_all() {
        assert_eq!(of(&["03/04/2026", "13/04/2026"]), "date");
        assert_eq!(of(&["03/04/2026", "04/13/2026"]), "date");
        assert_eq!(of(&["03/04/2026", "05/06/2026"]), "text");
        assert_eq!(of(&["13/04/2026", "04/13/2026"]), "text");
        assert_eq!(of(&["2026-01-02", "2026-01-02T10:00:00"]), "timestamp");
        assert_eq!(of(&["2026-01-02T10:00:00Z", "2026-01-02T10:00:00"]), "text");
    }

    #[test]
    fn facts_of_parts_are_facts_of_the_whole() {
        let values = [
            "1",
            "2.25",
            "NA",
            "-0",
            "1e3",
            "99999999999999999999",
            "true",
            "03/04/2026",
            "x",
            "1,5",
            "1.234",
        ];
        for split in 0..values.len() {
            let mut left = facts(Written::Either, &values[..split]);
            left.merge(&facts(Written::Either, &values[split..]), split as u64);
            assert_eq!(left, facts(Written::Either, &values));
        }
    }

    fn by(mark: DecimalMark, doubt: bool, values: &[&str]) -> String {
        facts(Written::Either, values).reading(Found { mark, doubt }).of.to_string()
    }

    #[test]
    fn a_decimal_comma_keeps_the_rules_of_types() {
        use DecimalMark::Comma;
        assert_eq!(by(Comma, false, &["12,5", "1.234,56", "3"]), "double");
        assert_eq!(by(Comma, false, &["1.234", "12.345.678", "5"]), "bigint");
        assert_eq!(by(Comma, false, &["12.345.678.901.234.567,25", "1,50"]), "decimal(19,2)");
        assert_eq!(by(Comma, false, &["12,5", "12.5"]), "text");
        assert_eq!(by(Comma, false, &["12,5", "x"]), "text");
    }

    #[test]
    fn what_could_be_read_by_both_marks_is_text_while_in_doubt() {
        use DecimalMark::Point;
        for values in [&["1.234"][..], &["1.234", "500"], &["12.345.678"], &["1.234", "-2.000", ""]] {
            assert_eq!(by(Point, true, values), "text", "{values:?}");
            let asked =
                facts(Written::Either, values).reading_as(Type::Double, Found { mark: Point, doubt: true });
            assert!(asked.is_err(), "{values:?}");
        }
        for values in [&["1.234", "1.5"][..], &["0.123", "1.234"], &["1234.567"], &["1.234e3"]] {
            assert_eq!(by(Point, true, values), "double", "{values:?}");
        }
        assert_eq!(by(Point, false, &["1.234"]), "double");
    }
}
