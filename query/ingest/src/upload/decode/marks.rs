//! Decimal marks: numbers with a decimal comma, and which mark a file's numbers have.
//!
//! Grammar with a comma: that of `number` with `,` for `.`, and before the comma either plain digits or groups of three with points
//! between (`1.234.567,89`). What could be read by both marks (`1.234`, `1,234`) is evidence of neither.

use std::borrow::Cow;

use super::facts::Facts;
use crate::upload::DecimalMark;

/// By which marks a file's numbers are read while its columns are looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Written {
    #[default]
    Point,
    Comma,
    /// By both, until the whole file tells.
    Either,
}

impl Written {
    /// What the caller says; else both, unless commas part the values.
    pub fn of(asked: Option<DecimalMark>, delimiter: u8) -> Self {
        match asked {
            Some(DecimalMark::Point) => Self::Point,
            Some(DecimalMark::Comma) => Self::Comma,
            None if delimiter == b',' => Self::Point,
            None => Self::Either,
        }
    }
}

/// The mark by which a file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Found {
    pub mark: DecimalMark,
    /// Numbers that could be read by both marks stay text: no column tells the mark, or two columns contradict each other.
    pub doubt: bool,
}

impl Found {
    /// The mark that the columns tell. A comma in one column of only numbers counts for all; without any, points are taken as decimal
    /// points, but in doubt where semicolons part the values, as they do where the comma is the decimal mark.
    pub fn of(written: Written, facts: &[Facts], delimiter: u8) -> Self {
        let sure = |mark| Self { mark, doubt: false };
        match written {
            Written::Point => sure(DecimalMark::Point),
            Written::Comma => sure(DecimalMark::Comma),
            Written::Either if has_comma(facts) => {
                Self { mark: DecimalMark::Comma, doubt: facts.iter().any(Facts::needs_point) }
            }
            Written::Either => Self { mark: DecimalMark::Point, doubt: delimiter == b';' },
        }
    }
}

fn has_comma(facts: &[Facts]) -> bool {
    facts.iter().any(Facts::needs_comma)
}

/// Whether columns of a part of the file leave open what its rest may decide without contradicting a type.
pub fn is_open(facts: &[Facts]) -> bool {
    match has_comma(facts) {
        true => facts.iter().any(Facts::needs_point),
        false => facts.iter().any(Facts::may_be_twofold),
    }
}

/// What a number says about the decimal mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    Nothing,
    /// Another value by each mark.
    Twofold,
    Comma,
}

/// A number with a decimal comma as it is written with a decimal point; `None` where its points part no groups of three.
#[inline]
pub fn with_point(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if memchr::memchr2(b'.', b',', text).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let comma = memchr::memchr(b',', text).unwrap_or(text.len());
    let (whole, fraction) = (&text[..comma], text.get(comma + 1..));
    if fraction.is_some_and(|digits| memchr::memchr2(b'.', b',', digits).is_some()) {
        return None;
    }
    let grouped = memchr::memchr(b'.', whole).is_some();
    let plain = fraction.is_none_or(|digits| digits.iter().all(u8::is_ascii_digit));
    if grouped && !(plain && is_grouped(unsigned(whole), b'.')) {
        return None;
    }
    let mut number = Vec::with_capacity(text.len());
    number.extend(whole.iter().filter(|byte| **byte != b'.'));
    if let Some(fraction) = fraction {
        number.push(b'.');
        number.extend_from_slice(fraction);
    }
    Some(Cow::Owned(number))
}

/// What a number that can be read with a decimal comma tells.
#[inline]
pub fn told(text: &[u8]) -> Told {
    let Some(comma) = memchr::memchr(b',', text) else {
        return if memchr::memchr(b'.', text).is_some() { Told::Twofold } else { Told::Nothing };
    };
    let ends = comma + 1 == text.len();
    if ends || is_grouped(unsigned(text), b',') { Told::Twofold } else { Told::Comma }
}

fn unsigned(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"-").unwrap_or(text)
}

/// One to three digits without a leading zero, then groups of three after `mark`.
fn is_grouped(digits: &[u8], mark: u8) -> bool {
    let mut groups = digits.split(|byte| *byte == mark);
    let first = groups.next().unwrap_or_default();
    let all_digits = |group: &[u8]| group.iter().all(u8::is_ascii_digit);
    matches!(first.len(), 1..=3)
        && first[0] != b'0'
        && all_digits(first)
        && groups.all(|group| group.len() == 3 && all_digits(group))
}

#[cfg(test)]
mod tests {
    use super::super::build::array;
    use super::super::cells::{Cell, Grid, Kind};
    use super::*;

    fn plain(text: &str) -> Option<String> {
        with_point(text.as_bytes()).map(|plain| String::from_utf8(plain.into_owned()).unwrap())
    }

    #[test]
    fn a_decimal_comma_becomes_a_point_and_groups_of_three_close_up() {
        for (text, number) in [
            ("12,5", "12.5"),
            ("1.234,56", "1234.56"),
            ("-1.234.567", "-1234567"),
            ("1.234", "1234"),
            (",5", ".5"),
            ("1,5e3", "1.5e3"),
            ("1500,25", "1500.25"),
            ("12", "12"),
        ] {
            assert_eq!(plain(text).as_deref(), Some(number), "{text}");
        }
        for text in [
            "12.5",
            "0.123",
            "1.23,4",
            "1234.567",
            "1.2345",
            "1,234,567",
            "1,2.3",
            ".5",
            "1.234e5",
            "1.234,5e3",
        ] {
            assert_eq!(plain(text), None, "{text}");
        }
    }

    #[test]
    fn what_could_be_read_by_both_marks_is_evidence_of_neither() {
        for text in ["1.234", "12.345.678", "-1.234", "1,234", "123,456", "5,"] {
            assert_eq!(told(text.as_bytes()), Told::Twofold, "{text}");
        }
        for text in ["12,5", "0,125", "1.234,567", "1234,567", "12,50", "-0,5"] {
            assert_eq!(told(text.as_bytes()), Told::Comma, "{text}");
        }
        assert_eq!(told(b"1234"), Told::Nothing);
    }

    fn found(columns: &[&[&str]], delimiter: u8) -> Found {
        let written = Written::of(None, delimiter);
        let facts = columns.iter().map(|values| {
            let mut facts = Facts::new(written);
            (0..).zip(*values).for_each(|(row, value)| facts.see(row, Kind::Plain, value.as_bytes()));
            facts
        });
        Found::of(written, &facts.collect::<Vec<_>>(), delimiter)
    }

    #[test]
    fn a_column_of_only_numbers_tells_the_mark_of_the_file() {
        let comma = Found { mark: DecimalMark::Comma, doubt: false };
        assert_eq!(found(&[&["x"], &["1.234"], &["12,5", "", "3"]], b';'), comma);
        assert_eq!(found(&[&["1.234,56"]], b'\t'), comma);
        let point = |doubt| Found { mark: DecimalMark::Point, doubt };
        assert_eq!(found(&[&["12,5", "x"], &["12,5 %"]], b';'), point(true));
        assert_eq!(found(&[&["1,234"]], b';'), point(true));
        assert_eq!(found(&[&["1,234"]], b'|'), point(false));
        assert_eq!(found(&[&["12,5"]], b','), point(false));
        assert_eq!(found(&[&["12,5"], &["12.5"]], b';'), Found { mark: DecimalMark::Comma, doubt: true });
    }

    fn grid(value: &str) -> Grid {
        let cells = vec![Cell::new(0, value.len(), Kind::Plain)];
        Grid { text: value.to_owned().into(), cells, width: 1, ..Grid::default() }
    }

    type Row = [&'static str; 3];

    fn facts(written: Written, rows: &[Row]) -> [Facts; 3] {
        [0, 1, 2].map(|column| {
            let mut facts = Facts::new(written);
            (0..).zip(rows).for_each(|(at, row)| facts.see(at, Kind::Plain, row[column].as_bytes()));
            facts
        })
    }

    /// No part of a file decides for all of it: what its first rows leave undoubted and no later row contradicts is what all rows tell.
    #[test]
    fn columns_tell_at_their_start_what_they_tell_as_a_whole_or_nothing() {
        const VALUES: [&str; 8] = ["", "5", "-0", "x", "1.5", "1,5", "1.234", "1,234"];
        let rows: Vec<Row> = (0..512).map(|n| [VALUES[n / 64], VALUES[n / 8 % 8], VALUES[n % 8]]).collect();
        let grids = VALUES.map(grid);
        for (first, delimiter) in rows.iter().flat_map(|row| [(row, b';'), (row, b'\t')]) {
            let written = Written::of(None, delimiter);
            let start = facts(written, &[*first]);
            let tried = Found::of(written, &start, delimiter);
            if is_open(&start) || start.iter().any(|facts| facts.is_undecided(tried)) {
                continue;
            }
            let readings = start.each_ref().map(|facts| facts.reading(tried));
            let kept = |at: usize, grid: &Grid| array(grid, 0, &readings[at], &mut Vec::new()).is_ok();
            let keeps = [0, 1, 2].map(|at| grids.each_ref().map(|grid| kept(at, grid)));
            for (n, second) in rows.iter().enumerate() {
                if !(keeps[0][n / 64] && keeps[1][n / 8 % 8] && keeps[2][n % 8]) {
                    continue;
                }
                let whole = facts(written, &[*first, *second]);
                let found = Found::of(written, &whole, delimiter);
                for at in 0..3 {
                    let (tried, found) = (readings[at], whole[at].reading(found));
                    let marked = [first[at], second[at]].concat().contains(['.', ',']);
                    let same = tried.of == found.of && (!marked || tried.comma == found.comma);
                    assert!(same, "{first:?} then {second:?}: {tried:?}, {found:?}");
                }
            }
        }
    }
}
