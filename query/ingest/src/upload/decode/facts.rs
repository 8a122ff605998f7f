//! What the values of one column have in common, over the whole file; and the type that follows.
//!
//! Facts of pieces are merged, so pieces can be looked at side by side. No sample decides anything: a type found on a first piece is
//! only tried (see `build`), and one value that contradicts it sends the whole file through here.

use super::cells::{Cell, Kind, is_null_word, trimmed};
use super::dates::{Layout, Layouts, Moment};
use super::number::{self, Shape};
use super::types::{DECIMAL_DIGITS, Type};

/// Significant digits that every double keeps.
const DOUBLE_DIGITS: u16 = 15;
/// Significant digits beyond which no program prints a double.
const PRINTED_DIGITS: u16 = 17;

/// Facts of one column.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    pub nulls: u64,
    /// `"NA"` in quotes: null unless the column is text.
    pub quoted_nulls: u64,
    text: bool,
    bools: bool,
    numbers: Option<Numbers>,
    specials: bool,
    moments: Option<Moments>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    whole_digits: u16,
    min_scale: u16,
    max_scale: u16,
    significant: u16,
    exponent: bool,
    /// A point, or `-0`.
    fraction: bool,
    beyond_bigint: bool,
    rounded_whole: bool,
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
}

impl Reading {
    pub fn of(of: Type) -> Self {
        Self { of, layout: None, digits: u16::MAX, zoned: false, empty: false, given: false }
    }
}

impl Facts {
    /// Facts of a column that is null in `rows` rows.
    pub fn of_nulls(rows: u64) -> Self {
        Self { nulls: rows, ..Self::default() }
    }

    /// Facts of the cells of one column over `text`.
    pub fn of(cells: impl Iterator<Item = Cell>, text: &[u8]) -> Self {
        let mut facts = Self::default();
        for cell in cells {
            facts.see(cell.kind(), cell.text(text));
        }
        facts
    }

    #[inline]
    pub fn see(&mut self, kind: Kind, text: &[u8]) {
        match kind {
            Kind::Null => self.nulls += 1,
            Kind::Plain => {
                let text = trimmed(text);
                if is_null_word(text) { self.nulls += 1 } else { self.see_value(text) }
            }
            Kind::Quoted if text.is_empty() => self.nulls += 1,
            Kind::Quoted if is_null_word(text) => self.quoted_nulls += 1,
            Kind::Quoted | Kind::Number => self.see_value(text),
            Kind::Bool => self.bools = true,
            Kind::Nested => self.text = true,
            Kind::String => self.see_string(text),
        }
    }

    #[inline]
    fn see_value(&mut self, text: &[u8]) {
        if self.text {
            return;
        }
        match text[0] {
            b'0'..=b'9' | b'-' | b'.' => match Shape::of(text) {
                Some(shape) => self.see_number(&shape),
                None => self.see_string(text),
            },
            _ if is_bool(text) => self.bools = true,
            _ if number::special(text).is_some() => self.specials = true,
            _ => self.see_string(text),
        }
    }

    /// A text that is no number: a moment, or just text.
    #[inline]
    fn see_string(&mut self, text: &[u8]) {
        if self.text {
            return;
        }
        match Moment::of(text) {
            Some(moment) => self.see_moment(&moment),
            None if text.starts_with(b"-") && number::special(text).is_some() => self.specials = true,
            None => self.text = true,
        }
    }

    #[inline]
    fn see_number(&mut self, shape: &Shape) {
        let new = Numbers {
            whole_digits: shape.whole_digits,
            min_scale: shape.scale,
            max_scale: shape.scale,
            significant: shape.significant,
            exponent: shape.exponent,
            fraction: shape.point || shape.is_negative_zero(),
            beyond_bigint: shape.is_whole() && shape.bigint().is_none(),
            rounded_whole: shape.is_rounded_by_double(),
        };
        self.numbers = Some(self.numbers.map_or(new, |old| old.and(&new)));
    }

    #[inline]
    fn see_moment(&mut self, moment: &Moment) {
        let timed = moment.time.is_some();
        let zoned = moment.offset.is_some();
        let new = Moments { layouts: moment.layouts, timed, zoned, naive: timed && !zoned };
        self.moments = Some(self.moments.map_or(new, |old| old.and(&new)));
    }

    /// Facts of both parts together.
    pub fn merge(&mut self, other: &Self) {
        self.nulls += other.nulls;
        self.quoted_nulls += other.quoted_nulls;
        self.text |= other.text;
        self.bools |= other.bools;
        self.specials |= other.specials;
        self.numbers = either(self.numbers, other.numbers, |a, b| a.and(&b));
        self.moments = either(self.moments, other.moments, |a, b| a.and(&b));
    }

    /// The type of the column: the narrowest that loses nothing of any value.
    pub fn reading(&self) -> Reading {
        let text = Reading::of(Type::Text);
        let kinds = (self.bools, self.numbers, self.moments);
        match kinds {
            _ if self.text => text,
            (false, None, None) => Reading { empty: !self.specials, ..text },
            (true, None, None) if !self.specials => Reading::of(Type::Boolean),
            (false, Some(numbers), None) => numbers.reading(self.specials),
            (false, None, Some(moments)) if !self.specials => moments.reading().unwrap_or(text),
            _ => text,
        }
    }

    /// How a column of a given type is read. Errors: a date that can be read day-first and month-first alike.
    pub fn reading_as(&self, of: Type) -> Result<Reading, &'static str> {
        let given = Reading { given: true, ..Reading::of(of) };
        let (Type::Date | Type::Timestamp, Some(moments)) = (of, self.moments) else { return Ok(given) };
        match moments.layouts.single() {
            Some(layout) => Ok(Reading { layout: Some(layout), ..given }),
            None if moments.layouts.is_empty() => Ok(given),
            None => Err("its dates can be read day-first and month-first alike; write them as YYYY-MM-DD"),
        }
    }

    /// Whether more values must be seen: day-first or month-first is still open, or only words like `NaN` stand there.
    pub fn is_undecided(&self) -> bool {
        let open = |moments: Moments| !moments.layouts.is_empty() && moments.layouts.single().is_none();
        let only_specials = self.specials && self.numbers.is_none();
        !self.text && (only_specials || self.moments.is_some_and(open))
    }
}

fn either<T: Copy>(a: Option<T>, b: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

impl Numbers {
    #[inline]
    fn and(&self, other: &Self) -> Self {
        Self {
            whole_digits: self.whole_digits.max(other.whole_digits),
            min_scale: self.min_scale.min(other.min_scale),
            max_scale: self.max_scale.max(other.max_scale),
            significant: self.significant.max(other.significant),
            exponent: self.exponent | other.exponent,
            fraction: self.fraction | other.fraction,
            beyond_bigint: self.beyond_bigint | other.beyond_bigint,
            rounded_whole: self.rounded_whole | other.rounded_whole,
        }
    }

    /// Bigint where all are whole and fit; decimal where a double would lose digits and the scale is fixed or too long to have been
    /// printed from a double; else double.
    fn reading(&self, specials: bool) -> Reading {
        let double = Reading::of(Type::Double);
        if self.exponent || specials {
            return double;
        }
        let digits = self.whole_digits + self.max_scale;
        let fits_decimal = digits <= u16::from(DECIMAL_DIGITS);
        let decimal = Reading::of(Type::Decimal {
            precision: digits.clamp(1, 38) as u8,
            scale: self.max_scale.min(38) as u8,
        });
        match self.fraction {
            false if !self.beyond_bigint => Reading::of(Type::Bigint),
            false if fits_decimal => decimal,
            false => Reading::of(Type::Text),
            true if self.significant <= DOUBLE_DIGITS => Reading { digits: DOUBLE_DIGITS, ..double },
            true if self.min_scale == self.max_scale && self.max_scale > 0 && fits_decimal => decimal,
            true if (self.rounded_whole || self.significant > PRINTED_DIGITS) && fits_decimal => decimal,
            true if self.rounded_whole || self.significant > PRINTED_DIGITS => double,
            true => Reading { digits: PRINTED_DIGITS, ..double },
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

    fn reading(values: &[&str]) -> Reading {
        let mut facts = Facts::default();
        for value in values {
            facts.see(Kind::Plain, value.as_bytes());
        }
        facts.reading()
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
        let values = ["1", "2.25", "NA", "-0", "1e3", "99999999999999999999", "true", "03/04/2026", "x"];
        for split in 0..values.len() {
            let see = |values: &[&str]| {
                let mut facts = Facts::default();
                values.iter().for_each(|value| facts.see(Kind::Plain, value.as_bytes()));
                facts
            };
            let (mut left, right) = (see(&values[..split]), see(&values[split..]));
            left.merge(&right);
            assert_eq!(left, see(&values));
        }
    }
}
