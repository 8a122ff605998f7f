//! CSV text into records and cells, by the rules of RFC 4180 with any one-byte delimiter and quote.
//!
//! Two readers of one grammar: [`Bounds`] finds where records end (in order, one thread, as fast as quotes can be counted), [`grid`] cuts a
//! piece of whole records into cells (any thread). A quote opens a value only at its start; after a closing quote only a delimiter or the
//! end of the record may follow.

use super::cells::{Bad, Cell, Grid, Kind};

/// How a CSV file is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    pub delimiter: u8,
    pub quote: u8,
}

/// What one record and one cell may hold.
#[derive(Clone, Copy, Debug)]
pub struct Caps<'a> {
    pub cell_bytes: usize,
    /// How many values a record has, and where from, in words.
    pub expected: &'a str,
}

/// Where the last whole record of `text` ends (after its line break), and whether a quote is open at the end of `text`. `text` begins at
/// the start of a record.
pub fn last_end(text: &[u8], dialect: Dialect) -> (Option<usize>, bool) {
    let Some(first_quote) = memchr::memchr(dialect.quote, text) else {
        return (memchr::memrchr(b'\n', text).map(|at| at + 1), false);
    };
    // Outside of quotes between two quotes, any line break ends a record.
    let mut end = None;
    let (mut outside_from, mut at) = (0, first_quote);
    loop {
        if !opens(text, at, dialect) {
            match memchr::memchr(dialect.quote, &text[at + 1..]) {
                Some(next) => at += 1 + next,
                None => break,
            }
            continue;
        }
        end = last_break(text, outside_from, at).or(end);
        match closing(text, at + 1, dialect.quote) {
            Some(close) => outside_from = close + 1,
            None => return (end, true),
        }
        match memchr::memchr(dialect.quote, &text[outside_from..]) {
            Some(next) => at = outside_from + next,
            None => break,
        }
    }
    (last_break(text, outside_from, text.len()).or(end), false)
}

fn last_break(text: &[u8], from: usize, to: usize) -> Option<usize> {
    memchr::memrchr(b'\n', &text[from..to]).map(|at| from + at + 1)
}

/// Whether the quote at `at` stands at the start of a value.
#[inline]
fn opens(text: &[u8], at: usize, dialect: Dialect) -> bool {
    at == 0 || text[at - 1] == dialect.delimiter || text[at - 1] == b'\n'
}

/// The quote that closes a value whose text begins at `from`; doubled quotes are skipped.
#[inline]
fn closing(text: &[u8], mut from: usize, quote: u8) -> Option<usize> {
    loop {
        let at = from + memchr::memchr(quote, text.get(from..)?)?;
        if text.get(at + 1) != Some(&quote) {
            return Some(at);
        }
        from = at + 2;
    }
}

/// A piece of whole records as a grid of `width` columns. Records of another length, with a NUL byte, with a cell over the cap, or with
/// text after a closing quote are in `bad`; empty lines are no records.
pub fn grid(text: Vec<u8>, dialect: Dialect, width: usize, caps: Caps<'_>) -> Grid {
    let estimate = text.len() / 8;
    let quoted = memchr::memchr(dialect.quote, &text).is_some();
    let nul = memchr::memchr(0, &text).is_some();
    let cells = Vec::with_capacity(estimate);
    let mut splitter =
        Splitter { text, cells, width, bad: Vec::new(), dialect, caps, records: 0, counted: (0, 0) };
    let mut at = 0;
    while at < splitter.text.len() {
        at = if quoted { splitter.quoted_record(at, nul) } else { splitter.bare_record(at, nul) };
    }
    Grid { text: splitter.text.into(), cells: splitter.cells, width, bad: splitter.bad, ..Grid::default() }
}

struct Splitter<'a> {
    text: Vec<u8>,
    cells: Vec<Cell>,
    width: usize,
    bad: Vec<Bad>,
    dialect: Dialect,
    caps: Caps<'a>,
    records: u64,
    /// A place in the text, and the line breaks before it.
    counted: (usize, u64),
}

impl Splitter<'_> {
    /// One record of a piece without any quote; gives the start of the next.
    #[inline]
    fn bare_record(&mut self, start: usize, nul: bool) -> usize {
        let text = &self.text;
        let first_cell = self.cells.len();
        let mut cell_start = start;
        let mut end = text.len();
        let mut next = text.len();
        for at in Marks::new(text, start, self.dialect.delimiter) {
            if text[at] == b'\n' {
                (end, next) = (at, at + 1);
                break;
            }
            self.cells.push(Cell::new(cell_start, at, Kind::Plain));
            cell_start = at + 1;
        }
        let line_end = if end > cell_start && text[end - 1] == b'\r' { end - 1 } else { end };
        self.cells.push(Cell::new(cell_start, line_end, Kind::Plain));
        self.end_record(first_cell, start, line_end, None, nul);
        next
    }

    /// One record, some of whose cells may be quoted; gives the start of the next.
    fn quoted_record(&mut self, start: usize, nul: bool) -> usize {
        let first_cell = self.cells.len();
        let mut at = start;
        let mut fault = None;
        loop {
            let (cell, after) = match self.text.get(at) == Some(&self.dialect.quote) {
                true => self.quoted_cell(at, &mut fault),
                false => self.bare_cell(at),
            };
            self.cells.push(cell);
            match self.text.get(after) {
                Some(byte) if *byte == self.dialect.delimiter => at = after + 1,
                ended => {
                    let next = after + usize::from(ended.is_some());
                    self.end_record(first_cell, start, after, fault, nul);
                    return next;
                }
            }
        }
    }

    fn bare_cell(&self, start: usize) -> (Cell, usize) {
        let text = &self.text;
        let end = memchr::memchr2(self.dialect.delimiter, b'\n', &text[start..])
            .map_or(text.len(), |at| start + at);
        let at_break = text.get(end) != Some(&self.dialect.delimiter);
        let shown = if at_break && end > start && text[end - 1] == b'\r' { end - 1 } else { end };
        (Cell::new(start, shown, Kind::Plain), end)
    }

    fn quoted_cell(&mut self, start: usize, fault: &mut Option<&'static str>) -> (Cell, usize) {
        let quote = self.dialect.quote;
        let Some(close) = closing(&self.text, start + 1, quote) else {
            *fault = Some("opens a quote that is never closed");
            return (Cell::new(start, self.text.len(), Kind::Quoted), self.text.len());
        };
        let end = self.unescape(start + 1, close);
        let cell = Cell::new(start + 1, end, Kind::Quoted);
        let text = &self.text;
        match text.get(close + 1) {
            None | Some(b'\n') => (cell, close + 1),
            Some(byte) if *byte == self.dialect.delimiter => (cell, close + 1),
            Some(b'\r') if matches!(text.get(close + 2), None | Some(b'\n')) => (cell, close + 2),
            Some(_) => {
                *fault =
                    Some("has text after a closing quote; a quote inside a quoted value is written twice");
                let (_, after) = self.bare_cell(close + 1);
                (cell, after)
            }
        }
    }

    /// Halves doubled quotes between `start` and `end` in place; gives the new end.
    fn unescape(&mut self, start: usize, end: usize) -> usize {
        let quote = self.dialect.quote;
        let Some(first) = memchr::memchr(quote, &self.text[start..end]) else { return end };
        let text = &mut self.text;
        let (mut write, mut read) = (start + first, start + first);
        while read < end {
            let byte = text[read];
            text[write] = byte;
            write += 1;
            read += if byte == quote { 2 } else { 1 };
        }
        // What is left over belongs to no value, and must not be counted as a line.
        text[write..end].fill(b' ');
        write
    }

    /// Keeps the cells from `first_cell` on as a row, or lists their record as bad.
    #[inline]
    fn end_record(&mut self, first_cell: usize, start: usize, end: usize, fault: Option<&str>, nul: bool) {
        let count = self.cells.len() - first_cell;
        let fits = count == self.width && fault.is_none() && !nul && end - start <= self.caps.cell_bytes;
        if !fits && !self.check(first_cell, start, end, fault) {
            self.cells.truncate(first_cell);
            return;
        }
        self.records += 1;
    }

    /// The slow look at a record that is not plainly right: `true` where it is a row after all. An empty line is neither row nor bad.
    #[cold]
    fn check(&mut self, first_cell: usize, start: usize, end: usize, fault: Option<&str>) -> bool {
        let cells = &self.cells[first_cell..];
        let blank = start == end && cells.len() == 1;
        if blank {
            return false;
        }
        let text = &self.text;
        let record = &text[start..end];
        let long = cells.iter().position(|cell| cell.len() > self.caps.cell_bytes);
        let nul = cells.iter().position(|cell| memchr::memchr(0, cell.text(text)).is_some());
        let (column, value, reason) = if let Some(fault) = fault {
            (None, record, fault.to_owned())
        } else if cells.len() != self.width {
            let values = if cells.len() == 1 { "value" } else { "values" };
            (None, record, format!("has {} {values} where {}", cells.len(), self.caps.expected))
        } else if let Some(column) = nul {
            (Some(column), cells[column].text(text), "holds a NUL byte".to_owned())
        } else if let Some(column) = long {
            (Some(column), cells[column].text(text), format!("is longer than {} bytes", self.caps.cell_bytes))
        } else {
            return true;
        };
        let bad = Bad::new(self.records, column, value, reason);
        let (at, lines) = self.counted;
        let lines = lines + memchr::memchr_iter(b'\n', &self.text[at..start]).count() as u64;
        self.counted = (start, lines);
        self.bad.push(Bad { lines: Some(lines), ..bad });
        self.records += 1;
        false
    }
}

/// Places of the delimiter and of line breaks, eight bytes at a look.
struct Marks<'a> {
    text: &'a [u8],
    /// Where the current word of eight bytes begins.
    base: usize,
    /// A bit (the top one of each byte) for each mark left in the current word.
    found: u64,
    delimiter: u64,
}

const LOW: u64 = 0x0101_0101_0101_0101;
const SEVEN: u64 = 0x7f7f_7f7f_7f7f_7f7f;

impl<'a> Marks<'a> {
    #[inline]
    fn new(text: &'a [u8], start: usize, delimiter: u8) -> Self {
        let mut marks = Self { text, base: start, found: 0, delimiter: LOW * u64::from(delimiter) };
        marks.look();
        marks
    }

    #[inline]
    fn look(&mut self) {
        let word = match self.text.get(self.base..self.base + 8) {
            Some(bytes) => bytes.try_into().map_or(0, u64::from_le_bytes),
            None => tail(self.text.get(self.base..).unwrap_or_default()),
        };
        self.found = zero_bytes(word ^ self.delimiter) | zero_bytes(word ^ (LOW * u64::from(b'\n')));
    }
}

/// The last bytes of a text, filled up with a byte that is never a mark.
#[cold]
fn tail(rest: &[u8]) -> u64 {
    let mut bytes = [0xff; 8];
    bytes[..rest.len()].copy_from_slice(rest);
    u64::from_le_bytes(bytes)
}

/// The top bit of each byte of `word` that is zero.
#[inline]
fn zero_bytes(word: u64) -> u64 {
    !(((word & SEVEN) + SEVEN) | word | SEVEN)
}

impl Iterator for Marks<'_> {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        while self.found == 0 {
            self.base += 8;
            if self.base >= self.text.len() {
                return None;
            }
            self.look();
        }
        let at = self.base + (self.found.trailing_zeros() / 8) as usize;
        self.found &= self.found - 1;
        Some(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COMMA: Dialect = Dialect { delimiter: b',', quote: b'"' };
    const CAPS: Caps<'_> = Caps { cell_bytes: 1 << 20, expected: "the header has 2 (`a`, `b`)" };

    fn rows(text: &str, width: usize) -> (Vec<Vec<String>>, Vec<(u64, String)>) {
        let grid = grid(text.as_bytes().to_vec(), COMMA, width, CAPS);
        let cell = |cell: &Cell| String::from_utf8_lossy(cell.text(&grid.text)).into_owned();
        let rows = grid.cells.chunks(width).map(|row| row.iter().map(cell).collect()).collect();
        (rows, grid.bad.iter().map(|bad| (bad.record, bad.reason.clone())).collect())
    }

    #[test]
    fn rows_with_and_without_quotes_are_cut_alike() {
        for text in
            ["a,b\n1,2\n", "a,b\r\n1,2\r\n", "a,b\n\n1,2", "\"a\",b\n1,\"2\"\n", "\"a\",\"b\"\r\n\"1\",2\r\n"]
        {
            assert_eq!(
                rows(text, 2),
                (vec![vec!["a".into(), "b".into()], vec!["1".into(), "2".into()]], vec![]),
                "{text:?}"
            );
        }
    }

    #[test]
    fn long_lines_cross_the_words_they_are_looked_at_in() {
        for length in 0..40 {
            let text = format!(
                "{},{}\n{},x\n",
                "a".repeat(length),
                "b".repeat(40 - length),
                "\u{e9}".repeat(length)
            );
            let (rows, bad) = rows(&text, 2);
            assert_eq!((rows.len(), bad.len()), (2, 0));
            assert_eq!(
                (rows[0][0].len(), rows[0][1].len(), rows[1][0].len()),
                (length, 40 - length, 2 * length)
            );
        }
    }

    #[test]
    fn quoted_values_hold_breaks_delimiters_and_quotes() {
        let (rows, bad) = rows("\"a,b\",\"line\nbreak\"\n\"say \"\"hi\"\"\",5\" pipe\n\"\",\"\"\"\"\n", 2);
        assert_eq!(bad, []);
        assert_eq!(rows, [["a,b", "line\nbreak"], ["say \"hi\"", "5\" pipe"], ["", "\""]]);
    }

    #[test]
    fn what_is_wrong_is_named_with_its_record() {
        let (rows, bad) = rows("1,2\n3\n4,5,6\n7,8\n\"x\"y,1\n9,\0\n\"open,1\n", 2);
        assert_eq!(rows, [["1", "2"], ["7", "8"]]);
        let records: Vec<_> = bad.iter().map(|(record, _)| *record).collect();
        assert_eq!(records, [1, 2, 4, 5, 6]);
        assert_eq!(bad[0].1, "has 1 value where the header has 2 (`a`, `b`)");
        assert!(
            bad[2].1.contains("closing quote")
                && bad[3].1.contains("NUL")
                && bad[4].1.contains("never closed"),
            "{bad:?}"
        );
    }

    #[test]
    fn an_over_long_cell_is_bad() {
        let text = format!("1,{}\n", "x".repeat((1 << 20) + 1));
        assert!(rows(&text, 2).1[0].1.contains("longer than"));
        let text = format!("{},{}\n", "y".repeat(1 << 19), "x".repeat(1 << 20));
        assert_eq!(rows(&text, 2).1, []);
    }

    #[test]
    fn records_end_where_the_splitter_ends_them() {
        let texts = [
            "a,b\nc,d\ne",
            "a,\"x\ny\"\nc,\"open\n",
            "\"a\"\"\n\",b\nc",
            "5\" pipe,x\n7\" pipe\n",
            "\"a\"b\"c\n,\"d\ne\"\n",
            "",
            "\n",
            "\"",
            "a\"\n\"b\nc\"\n",
        ];
        for text in texts {
            for cut in 0..=text.len() {
                let (end, _) = last_end(&text.as_bytes()[..cut], COMMA);
                let Some(end) = end else { continue };
                let whole = grid(text.as_bytes().to_vec(), COMMA, 1, CAPS);
                let (head, rest) = (
                    grid(text.as_bytes()[..end].to_vec(), COMMA, 1, CAPS),
                    grid(text.as_bytes()[end..].to_vec(), COMMA, 1, CAPS),
                );
                assert_eq!(head.rows() + rest.rows(), whole.rows(), "{text:?} cut at {cut}, end {end}");
                assert_eq!(
                    head.bad.len() + rest.bad.len(),
                    whole.bad.len(),
                    "{text:?} cut at {cut}, end {end}"
                );
            }
        }
    }

    #[test]
    fn lines_are_those_of_the_file() {
        let text = "1,2\n\n\"a\"\"\n\"\"\n\",2\n3\n\"x\ny\",4\n5\n";
        let grid = grid(text.as_bytes().to_vec(), COMMA, 2, CAPS);
        assert_eq!(grid.bad.iter().map(|bad| bad.lines).collect::<Vec<_>>(), [Some(5), Some(8)]);
        assert_eq!(grid.lines_before(&[0, 1, 2]), [0, 2, 6]);
    }
}
