//! How a CSV file is written, told by its first records: delimiter, quote, header.

use super::cells::{Grid, Kind};
use super::csv_split::{Caps, Dialect, grid, last_end};
use super::facts::Facts;
use super::fault::{Fault, Stop};
use super::pieces::Ends;
use super::types::Type;

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
}

const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];
/// Records that are looked at for the delimiter.
const LOOKED_AT: usize = 200;
/// Records that are looked at for the header.
const COMPARED: usize = 1_000;
const EXCEL_HINT: &[u8] = b"sep=";

impl Csv {
    /// Tells the dialect from the first text of a file. Errors: an empty file, a NUL byte in the header, more columns than `most`.
    pub fn of(head: &[u8], most: usize, cell_bytes: usize) -> Result<Self, Stop> {
        let returns = memchr::memchr(b'\n', head).is_none() && memchr::memchr(b'\r', head).is_some();
        let text = match returns {
            true => head.iter().map(|byte| if *byte == b'\r' { b'\n' } else { *byte }).collect(),
            false => head.to_vec(),
        };
        let (hinted, mut skip) = excel_hint(&text);
        skip += text[skip..].iter().take_while(|byte| matches!(byte, b'\n' | b'\r')).count();
        let text = &text[skip..];
        if text.trim_ascii().is_empty() {
            return Err(Fault::malformed("the file is empty").into());
        }
        let quote = quote_of(text);
        let dialect = Dialect { delimiter: hinted.unwrap_or_else(|| delimiter_of(text, quote)), quote };
        let first = first_record(text, dialect);
        let headers = header_cells(&text[..first], dialect, most, cell_bytes)?;
        let width = headers.len();
        match is_header(&headers, &text[first..], dialect, cell_bytes) {
            true => Ok(Self { dialect, returns, headers, width, skip: skip + first }),
            false => Ok(Self { dialect, returns, headers: Vec::new(), width, skip }),
        }
    }

    pub fn ends(&self) -> Ends {
        match self.returns {
            true => Ends::CsvOfReturns(self.dialect),
            false => Ends::Csv(self.dialect),
        }
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

/// The delimiter that cuts the most records into as many values as the first one has; more values win.
fn delimiter_of(text: &[u8], quote: u8) -> u8 {
    let score = |delimiter: &u8| {
        let widths = widths(text, Dialect { delimiter: *delimiter, quote });
        let first = widths.first().copied().unwrap_or(1);
        let same = widths.iter().filter(|width| **width == first).count();
        let share = same * 100 / widths.len().max(1);
        if first < 2 { (0, 0) } else { (share / 10, first) }
    };
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
    let cells = grid(record.to_vec(), dialect, width, Caps { cell_bytes });
    if let Some(bad) = cells.bad.first() {
        return Err(Fault::malformed(format!("the header {}", bad.reason)).into());
    }
    let text = |cell: &super::cells::Cell| String::from_utf8_lossy(cell.text(&cells.text)).trim().to_owned();
    Ok(cells.cells.iter().map(text).collect())
}

/// Whether the first record names the columns: it does unless its values are of the types that the records after it have.
fn is_header(first: &[String], rest: &[u8], dialect: Dialect, cell_bytes: usize) -> bool {
    let rest = first_lines(rest, dialect);
    let rows = grid(rest.to_vec(), dialect, first.len(), Caps { cell_bytes });
    let typed = |column: usize| -> Option<bool> {
        let of = column_type(&rows, column)?;
        let mut facts = Facts::default();
        facts.see(Kind::Plain, first[column].as_bytes());
        let alone = facts.reading();
        (!alone.empty).then(|| fits(alone.of, of))
    };
    let votes: Vec<bool> =
        if rows.rows() == 0 { lone(first) } else { (0..first.len()).filter_map(typed).collect() };
    votes.is_empty() || votes.contains(&false) || are_years(first)
}

/// A file of one record: numbers and dates in it are data.
fn lone(first: &[String]) -> Vec<bool> {
    let kind = |value: &String| {
        let mut facts = Facts::default();
        facts.see(Kind::Plain, value.as_bytes());
        (facts.reading().of != Type::Text).then_some(true)
    };
    first.iter().filter_map(kind).collect()
}

fn first_lines(text: &[u8], dialect: Dialect) -> &[u8] {
    let end = memchr::memchr_iter(b'\n', text).nth(COMPARED).map_or(text.len(), |at| at + 1);
    let text = &text[..end];
    last_end(text, dialect).0.map_or(text, |end| &text[..end])
}

fn column_type(rows: &Grid, column: usize) -> Option<Type> {
    let of = Facts::of(rows.column(column), &rows.text).reading().of;
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
        Csv::of(text.as_bytes(), 2_000, 1 << 20).unwrap()
    }

    #[test]
    fn delimiters_are_told_apart() {
        for (text, delimiter) in [
            ("a,b\n1,2\n", b','),
            ("a;b\n1,5;2,5\n3,5;4,5\n", b';'),
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
        assert_eq!(of("country,2019,2020\nDE,1,2\nFR,3,4\n").headers, ["country", "2019", "2020"]);
        assert_eq!(of("\"multi\nline\",b\n1,2\n").headers, ["multi\nline", "b"]);
        assert_eq!(of("a,b\n").headers, ["a", "b"]);
        assert_eq!(of("\n\na,,c\n1,2,3\n").headers, ["a", "", "c"]);
    }

    #[test]
    fn what_cannot_be_a_table_is_refused() {
        assert!(Csv::of(b"", 10, 100).is_err() && Csv::of(b" \n\n", 10, 100).is_err());
        let wide = format!("{}\n", vec!["c"; 10_000].join(","));
        assert!(
            matches!(Csv::of(wide.as_bytes(), 2_000, 1 << 20), Err(Stop::Fault(fault)) if fault.detail.contains("10000 columns"))
        );
        assert!(Csv::of(b"a\0b,c\n1,2\n", 10, 100).is_err());
    }

    #[test]
    fn the_header_is_skipped_by_its_bytes() {
        let csv = of("sep=;\r\na;b\r\n1;2\r\n");
        assert_eq!(csv.skip, 12);
        assert!(of("a\rb\r").returns);
    }
}
