//! How a CSV file is written, told by its first records: delimiter, quote, header.

use super::cells::{Grid, Kind};
use super::csv_split::{Caps, Dialect, grid, last_end};
use super::facts::Facts;
use super::fault::{Fault, Stop, shown};
use super::marks::{Found, Written};
use super::pieces::Ends;
use super::types::Type;
use crate::upload::DecimalMark;

/// A CSV file's way of writing, and its header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Csv {
    pub dialect: Dialect,
    /// Lines end in a bare carriage return.
    pub returns: bool,
    /// One a column; empty where the file has no header.
    pub headers: Vec<String>,
    pub width: usize,
    /// Bytes of text before the first data record.
    pub skip: usize,
    /// Lines in them.
    pub lines: u64,
    /// How its numbers are written, as far as it is known before they are read.
    pub written: Written,
    /// How many values a record has, and where from, in words.
    pub expected: String,
}

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records that are looked at for the delimiter.
const LOOKED_AT: usize = 200;
/// Records that are looked at for the header.
const COMPARED: usize = 1_000;
const EXCEL_HINT: &[u8] = b"sep=";
/// Names of the header that a message repeats, and the characters of each.
const NAMED: usize = 5;
const NAME_CHARS: usize = 40;

impl Csv {
    /// Tells the dialect from the first text of a file; the caller may know the decimal mark.
    /// Errors: an empty file, a NUL byte in the header, more columns than `most`.
    pub fn of(
        head: &[u8],
        most: usize,
        cell_bytes: usize,
        decimal: Option<DecimalMark>,
    ) -> Result<Self, Stop> {
        let returns = memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', head).is_some();
        let text = match returns {
            true => head.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect(),
            false => head.to_vec(),
        };
        let whole = text;
        let (hinted, mut skip) = excel_hint(&whole);
        skip += whole[skip..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let text = &whole[skip..];
        if text.trim_ascii().is_empty() {
            return Err(Fault::malformed("the file is empty").into());
        }
        let quote = quote_of(text);
        let dialect = Dialect { delimiter: hinted.unwrap_or_else(|| delimiter_of(text, quote)), quote };
        let first = first_record(text, dialect);
        let headers = header_cells(&text[..first], dialect, most, cell_bytes)?;
        let width = headers.len();
        let written = Written::of(decimal, dialect.delimiter);
        let named = is_header(&headers, &text[first..], dialect, cell_bytes, written);
        let (headers, skip) = if named { (headers, skip + first) } else { (Vec::new(), skip) };
        let lines = memchr::memchr_iter(b'\n', &whole[..skip]).count() as u64;
        let expected = expected(&headers, width);
        Ok(Self { dialect, returns, headers, width, skip, lines, written, expected })
    }

    pub fn ends(&self) -> Ends {
        match self.returns {
            true => Ends::CsvOfReturns(self.dialect),
            false => Ends::Csv(self.dialect),
        }
    }
}

/// `the header has 2 (`id`, `name`)`.
fn expected(headers: &[String], width: usize) -> String {
    let name = |name: &String| {
        let name: String = shown(name.as_bytes()).chars().take(NAME_CHARS).collect();
        format!("`{name}`")
    };
    let names = headers.iter().take(NAMED).map(name).collect::<Vec<_>>().join(", ");
    let more = if headers.len() > NAMED { ", \u{2026}" } else { "" };
    match headers.is_empty() {
        true => format!("the first record, which is no header, has {width}"),
        false => format!("the header has {width} ({names}{more})"),
    }
}

/// `sep=;`, the line by which Excel is told the delimiter: that byte, and the line's length.
fn excel_hint(text: &[u8]) -> (Option<u8>, usize) {
    match text.strip_prefix(EXCEL_HINT) {
        Some([delimiter, b'\n', ..]) => (Some(*delimiter), 6),
        Some([delimiter, b'\r', b'\n', ..]) => (Some(*delimiter), 7),
        _ => (None, 0),
    }
}

/// The double quote, unless only single ones stand around whole values.
fn quote_of(text: &[u8]) -> u8 {
    let double = memchr::memchr(b'"', text).is_some();
    let is_edge = |byte: Option<&u8>| {
        byte.is_none_or(|byte| DELIMITERS.contains(byte) || matches!(byte, b'\n' | b'\r'))
    };
    let mut opened = 0;
    let mut closed = 0;
    for at in memchr::memchr_iter(b'\'', text) {
        opened += usize::from(is_edge(at.checked_sub(1).and_then(|before| text.get(before))));
        closed += usize::from(is_edge(text.get(at + 1)));
    }
    if !double && opened >= 2 && opened == closed { b'\'' } else { b'"' }
}

/// The delimiter that cuts the most records into as many values as the first one has; more values win. But where semicolons cut all
/// records evenly, commas are decimal marks or stand in names.
fn delimiter_of(text: &[u8], quote: u8) -> u8 {
    let score = |delimiter: &u8| {
        let widths = widths(text, Dialect { delimiter: *delimiter, quote });
        let first = widths.first().copied().unwrap_or(1);
        let same = widths.iter().filter(|width| **width == first).count();
        let share = same * 100 / widths.len().max(1);
        if first < 2 { (0, 0) } else { (share / 10, first) }
    };
    if score(&b';').0 == 10 {
        let others = DELIMITERS.iter().rev().filter(|delimiter| **delimiter != b',');
        return others.max_by_key(|delimiter| score(delimiter)).copied().unwrap_or(b';');
    }
    let best = DELIMITERS.iter().rev().max_by_key(|delimiter| score(delimiter));
    best.copied().filter(|delimiter| score(delimiter).1 > 1).unwrap_or(b',')
}

/// Values in each of the first records. The last one may be cut off and does not count, unless it is the only one.
fn widths(text: &[u8], dialect: Dialect) -> Vec<usize> {
    let (mut widths, mut width) = (Vec::new(), 1);
    let (mut quoted, mut fresh) = (false, true);
    for byte in text {
        if quoted {
            quoted = *byte != dialect.quote;
            continue;
        }
        match *byte {
            byte if byte == dialect.quote && fresh => quoted = true,
            byte if byte == dialect.delimiter => width += 1,
            b'\n' => {
                widths.push(width);
                width = 1;
            }
            _ => {}
        }
        // A doubled quote closes and opens again, which comes to the same.
        fresh = *byte == dialect.delimiter || *byte == b'\n' || *byte == dialect.quote;
        if widths.len() == LOOKED_AT {
            break;
        }
    }
    if widths.is_empty() {
        widths.push(width);
    }
    widths
}

/// Length of the first record with its line break.
fn first_record(text: &[u8], dialect: Dialect) -> usize {
    let mut at = 0;
    while let Some(line) = memchr::memchr(b'\n', &text[at..]) {
        at += line + 1;
        if last_end(&text[..at], dialect).0.is_some() {
            return at;
        }
    }
    text.len()
}

fn header_cells(
    record: &[u8],
    dialect: Dialect,
    most: usize,
    cell_bytes: usize,
) -> Result<Vec<String>, Stop> {
    let width = widths(record, dialect).first().copied().unwrap_or(1);
    if width > most {
        return Err(Fault::malformed(format!("the file has {width} columns; a table may have {most}")).into());
    }
    let cells = grid(record.to_vec(), dialect, width, Caps { cell_bytes, expected: "" });
    if let Some(bad) = cells.bad.first() {
        return Err(Fault::malformed(format!("the header {}", bad.reason)).into());
    }
    let text = |cell: &super::cells::Cell| String::from_utf8_lossy(cell.text(&cells.text)).trim().to_owned();
    Ok(cells.cells.iter().map(text).collect())
}

/// Whether the first record names the columns: it does unless its values are of the types that the records after it have.
fn is_header(first: &[String], rest: &[u8], dialect: Dialect, cell_bytes: usize, written: Written) -> bool {
    let rest = first_lines(rest, dialect);
    let rows = grid(rest.to_vec(), dialect, first.len(), Caps { cell_bytes, expected: "" });
    let typed = |column: usize| -> Option<bool> {
        let of = column_type(&rows, column, written)?;
        value_type(&first[column], written).map(|alone| fits(alone, of))
    };
    let votes: Vec<bool> =
        if rows.rows() == 0 { lone(first, written) } else { (0..first.len()).filter_map(typed).collect() };
    votes.is_empty() || votes.contains(&false) || are_years(first)
}

/// A file of one record: numbers and dates in it are data.
fn lone(first: &[String], written: Written) -> Vec<bool> {
    let kind = |value: &String| value_type(value, written).filter(|of| *of != Type::Text).map(|_| true);
    first.iter().filter_map(kind).collect()
}

/// The type of one value; none where it is null.
fn value_type(value: &str, written: Written) -> Option<Type> {
    let mut facts = Facts::new(written);
    facts.see(0, Kind::Plain, value.as_bytes());
    let empty = facts.reading(Found::default()).empty && facts.reading(BY_COMMA).empty;
    (!empty).then(|| type_of(&facts))
}

const BY_COMMA: Found = Found { mark: DecimalMark::Comma, doubt: false };

/// The type by whichever decimal mark gives one: to be a header, a value must be no number by both.
fn type_of(facts: &Facts) -> Type {
    let by = |found| facts.reading(found).of;
    if by(Found::default()) == Type::Text { by(BY_COMMA) } else { by(Found::default()) }
}

fn first_lines(text: &[u8], dialect: Dialect) -> &[u8] {
    let end = memchr::memchr_iter(b'\n', text).nth(COMPARED).map_or(text.len(), |at| at + 1);
    let text = &text[..end];
    last_end(text, dialect).0.map_or(text, |end| &text[..end])
}

fn column_type(rows: &Grid, column: usize, written: Written) -> Option<Type> {
    let of = type_of(&Facts::of(written, rows.column(column), &rows.text));
    (of != Type::Text).then_some(of)
}

fn fits(value: Type, column: Type) -> bool {
    let number = |of| matches!(of, Type::Bigint | Type::Double | Type::Decimal { .. });
    value == column || (number(value) && number(column)) || (value == Type::Date && column == Type::Timestamp)
}

/// `country,2019,2020`: years as column names, a name before them.
fn are_years(first: &[String]) -> bool {
    let year = |text: &String| {
        text.len() == 4
            && (text.starts_with("19") || text.starts_with("20"))
            && text.bytes().all(|b| b.is_ascii_digit())
    };
    let years: Vec<_> = first.iter().filter(|text| year(text)).collect();
    let rising = years.windows(2).all(|pair| pair[0] < pair[1]);
    let others = first.iter().filter(|text| !year(text));
    let mut named = others.map(|text| text.parse::<f64>().is_err() && !text.is_empty()).peekable();
    years.len() >= 2 && rising && named.peek().is_some() && named.all(|named| named)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Csv {
        Csv::of(text.as_bytes(), 2_000, 1 << 20, None).unwrap()
    }

    #[test]
    fn delimiters_are_told_apart() {
        for (text, delimiter) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n3,5;4,5\n", b';'),
            ("12,5;1,5\n3,5;4,5\n", b';'),
            ("price, net;n, sold\n12,5;3,5\n", b';'),
            ("a,b\n1,x;y\n2,z;w\n", b','),
            ("a\tb\n1 2\t3\n", b'\t'),
            ("a|b\n1|2\n", b'|'),
            ("name\nx\ny\n", b','),
            ("a;b\n\"x,y,z\";1\n\"p,q\";2\n", b';'),
            ("sep=|\na,b|c\n", b'|'),
            ("text,n\n\"a;b;c\",1\n\"d;e;f\",2\n", b','),
        ] {
            assert_eq!(of(text).dialect.delimiter, delimiter, "{text:?}");
        }
    }

    #[test]
    fn quotes_are_double_unless_only_single_ones_enclose() {
        assert_eq!(of("a,b\n'x,y',1\n'z',2\n").dialect.quote, b'\'');
        assert_eq!(of("a,b\nit's,1\nJohn's,2\n").dialect.quote, b'"');
        assert_eq!(of("a,b\n\"x,y\",'1'\n").dialect.quote, b'"');
    }

    #[test]
    fn headers_are_told_from_data() {
        assert_eq!(of("id,name\n1,x\n2,y\n").headers, ["id", "name"]);
        assert_eq!(of("first,last\nAda,Lovelace\n").headers, ["first", "last"]);
        assert!(of("1,x\n2,y\n").headers.is_empty());
        assert!(of("2026-01-01,5\n2026-01-02,6\n").headers.is_empty());
        assert!(of("1,5;x\n2,5;y\n3;z\n").headers.is_empty());
        assert_eq!(of("country,2019,2020\nDE,1,2\nFR,3,4\n").headers, ["country", "2019", "2020"]);
        assert_eq!(of("\"multi\nline\",b\n1,2\n").headers, ["multi\nline", "b"]);
        assert_eq!(of("a,b\n").headers, ["a", "b"]);
        assert_eq!(of("\n\na,,c\n1,2,3\n").headers, ["a", "", "c"]);
    }

    #[test]
    fn what_cannot_be_a_table_is_refused() {
        assert!(Csv::of(b"", 10, 100, None).is_err() && Csv::of(b" \n\n", 10, 100, None).is_err());
        let wide = format!("{}\n", vec!["c"; 10_000].join(","));
        assert!(
            matches!(Csv::of(wide.as_bytes(), 2_000, 1 << 20, None), Err(Stop::Fault(fault)) if fault.detail.contains("10000 columns"))
        );
        assert!(Csv::of(b"a\0b,c\n1,2\n", 10, 100, None).is_err());
    }

    #[test]
    fn the_header_is_skipped_by_its_bytes() {
        let csv = of("sep=;\r\na;b\r\n1;2\r\n");
        assert_eq!((csv.skip, csv.lines), (12, 2));
        assert!(of("a\rb\r").returns);
    }

    #[test]
    fn a_header_is_told_by_its_first_names() {
        assert_eq!(of("a,b\n1,2\n").expected, "the header has 2 (`a`, `b`)");
        let seven = of("a,b,c,d,e,f,g\n1,2,3,4,5,6,7\n").expected;
        assert_eq!(seven, "the header has 7 (`a`, `b`, `c`, `d`, `e`, \u{2026})");
        assert!(of("1,2\n3,4\n").expected.contains("no header"));
    }
}
