//! JSON records into cells: one object a record, one column a key, nested values kept as JSON text.
//!
//! Pieces of newline-delimited JSON and of one big array are read by the same parser. Strings are unescaped in place: what they mean is
//! never longer than how they are written.

use std::collections::HashMap;

use bytes::Bytes;

use super::cells::{Bad, Cell, Grid, Kind};
use super::number::{self, Shape};
use super::request::DecodeCaps;

/// The keys of a file in the order they were first seen, each a column.
#[derive(Clone, Debug, Default)]
pub struct Keys {
    pub names: Vec<String>,
    places: HashMap<String, u32>,
}

impl Keys {
    pub fn place(&self, key: &str) -> Option<u32> {
        self.places.get(key).copied()
    }

    /// The column of `key`, a new one if need be.
    pub fn add(&mut self, key: &str) -> u32 {
        if let Some(place) = self.place(key) {
            return place;
        }
        let place = self.names.len() as u32;
        self.names.push(key.to_owned());
        self.places.insert(key.to_owned(), place);
        place
    }
}

/// A piece's values, row by row; absent keys have no entry.
#[derive(Debug, Default)]
pub struct Sparse {
    pub text: Bytes,
    pub cells: Vec<(u32, u32, Cell)>,
    pub rows: u32,
    /// Line breaks before each row.
    pub above: Vec<u32>,
    pub bad: Vec<Bad>,
    pub keys: Keys,
}

/// Cells of one dense grid.
const GRID_CELLS: usize = 2 << 20;

impl Sparse {
    /// The rows as grids of `width` columns, each small enough to be held; at least one.
    pub fn into_grids(self, width: usize) -> Vec<Grid> {
        let rows_each = (GRID_CELLS / width.max(1)).max(1);
        let mut grids = Vec::new();
        let mut cells = self.cells.into_iter().peekable();
        let mut from = 0;
        while from < self.rows as usize || grids.is_empty() {
            let rows = rows_each.min(self.rows as usize - from);
            let mut dense = vec![Cell::NULL; rows * width];
            while let Some((row, column, cell)) = cells.next_if(|(row, ..)| (*row as usize) < from + rows) {
                dense[(row as usize - from) * width + column as usize] = cell;
            }
            let (text, bad) = (self.text.clone(), self.bad.clone());
            let above = self.above[from..from + rows].to_vec();
            grids.push(Grid { text, cells: dense, width, first_row: from, bad, above });
            from += rows;
        }
        grids
    }
}

/// How elements are separated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Separator {
    Line,
    Comma,
}

/// The records of a piece. Keys not in `known` are added after them.
pub fn records(text: Vec<u8>, separator: Separator, known: &Keys, caps: &DecodeCaps) -> Sparse {
    let sparse = Sparse { keys: known.clone(), ..Sparse::default() };
    let lines = Lines::of(&text);
    let mut parser =
        Parser { text, at: 0, lines, separator, caps: *caps, sparse, records: 0, row: Vec::new() };
    parser.run();
    let Parser { text, mut sparse, .. } = parser;
    sparse.text = text.into();
    sparse
}

/// Where lines end, found before strings are unescaped in place.
struct Lines {
    ends: Vec<u32>,
    passed: usize,
}

impl Lines {
    fn of(text: &[u8]) -> Self {
        Self { ends: memchr::memchr_iter(b'\n', text).map(|at| at as u32).collect(), passed: 0 }
    }

    /// Line breaks before `at`, which never goes back.
    fn before(&mut self, at: usize) -> u32 {
        while self.ends.get(self.passed).is_some_and(|end| (*end as usize) < at) {
            self.passed += 1;
        }
        self.passed as u32
    }

    /// Where the line after the one last asked for begins.
    fn next(&self) -> Option<usize> {
        self.ends.get(self.passed).map(|end| *end as usize + 1)
    }
}

struct Parser {
    text: Vec<u8>,
    at: usize,
    lines: Lines,
    separator: Separator,
    caps: DecodeCaps,
    sparse: Sparse,
    records: u64,
    /// Cells of the record in hand.
    row: Vec<(u32, Cell)>,
}

/// What is wrong with a record: column, value, reason.
type Wrong = (Option<u32>, std::ops::Range<usize>, String);

impl Parser {
    fn run(&mut self) {
        while self.skip_to_record() {
            let start = self.at;
            let above = self.lines.before(start);
            self.row.clear();
            match self.record() {
                Ok(()) => self.keep(above),
                Err(wrong) => {
                    self.note(wrong, above);
                    self.recover();
                }
            }
            self.records += 1;
        }
    }

    /// Moves to the next record; `false` at the end of the piece.
    fn skip_to_record(&mut self) -> bool {
        self.blanks();
        self.at < self.text.len()
    }

    fn record(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        self.object()?;
        self.blanks_of_line();
        match (self.separator, self.text.get(self.at)) {
            (_, None) => Ok(()),
            (Separator::Line, Some(b'\n')) | (Separator::Comma, Some(b',')) => {
                self.at += 1;
                Ok(())
            }
            _ => Err(self.wrong(start, "is followed by text on the same line")),
        }
    }

    fn object(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        if self.text.get(self.at) != Some(&b'{') {
            return Err(self.wrong(start, "is no JSON object"));
        }
        self.at += 1;
        self.blanks();
        if self.eat(b'}') {
            return Ok(());
        }
        loop {
            self.member()?;
            self.blanks();
            if self.eat(b'}') {
                return Ok(());
            }
            if !self.eat(b',') {
                return Err(self.wrong(start, "is no valid JSON: a comma or a closing bracket is missing"));
            }
            self.blanks();
        }
    }

    fn member(&mut self) -> Result<(), Wrong> {
        let start = self.at;
        let (from, to) = self.string()?;
        let place = self.place(from, to)?;
        self.blanks();
        if !self.eat(b':') {
            return Err(self.wrong(start, "is no valid JSON: a colon is missing"));
        }
        self.blanks();
        let cell = self.value().map_err(|(_, range, reason)| (Some(place), range, reason))?;
        if cell.len() > self.caps.cell_bytes {
            let reason = format!("is longer than {} bytes", self.caps.cell_bytes);
            return Err((Some(place), start..self.at, reason));
        }
        if self.row.iter().any(|(other, _)| *other == place) {
            return Err((Some(place), start..self.at, "stands twice in one record".to_owned()));
        }
        self.row.push((place, cell));
        Ok(())
    }

    /// The column of the key between `from` and `to`.
    fn place(&mut self, from: usize, to: usize) -> Result<u32, Wrong> {
        let key = std::str::from_utf8(&self.text[from..to]).unwrap_or_default();
        // Records mostly repeat the keys of the one before in the same order.
        let guess = self.row.len();
        if self.sparse.keys.names.get(guess).is_some_and(|name| name == key) {
            return Ok(guess as u32);
        }
        if let Some(place) = self.sparse.keys.place(key) {
            return Ok(place);
        }
        if self.sparse.keys.names.len() >= self.caps.columns {
            return Err((
                None,
                from..to,
                format!("has more keys than the {} columns a table may have", self.caps.columns),
            ));
        }
        Ok(self.sparse.keys.add(key))
    }

    fn value(&mut self) -> Result<Cell, Wrong> {
        let start = self.at;
        match self.text.get(self.at) {
            Some(b'"') => self.string().map(|(from, to)| Cell::new(from, to, Kind::String)),
            Some(b'{' | b'[') => self.nested(),
            Some(_) => self.word(start),
            None => Err(self.wrong(start, "is cut off")),
        }
    }

    /// `true`, `false`, `null` or a number.
    fn word(&mut self, start: usize) -> Result<Cell, Wrong> {
        let ends = |byte: &u8| matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n');
        let length = self.text[start..].iter().position(ends).unwrap_or(self.text.len() - start);
        self.at = start + length;
        let kind = match &self.text[start..self.at] {
            b"null" => return Ok(Cell::NULL),
            b"true" | b"false" => Kind::Bool,
            word if Shape::of(word).is_some() || number::special(word).is_some() => Kind::Number,
            _ => return Err(self.wrong(start, "is no JSON value")),
        };
        Ok(Cell::new(start, self.at, kind))
    }

    /// A string at the current place, unescaped in place: where its text now is.
    fn string(&mut self) -> Result<(usize, usize), Wrong> {
        let start = self.at;
        if !self.eat(b'"') {
            return Err(self.wrong(start, "is no valid JSON: a string was expected"));
        }
        let from = self.at;
        let mut escaped = false;
        loop {
            let Some(at) = memchr::memchr2(b'"', b'\\', &self.text[self.at..]) else {
                self.at = self.text.len();
                return Err(self.wrong(start, "is a string that is never closed"));
            };
            self.at += at;
            if self.text[self.at] == b'"' {
                break;
            }
            escaped = true;
            self.at = (self.at + 2).min(self.text.len());
        }
        let to = self.at;
        self.at += 1;
        if self.text[from..to].iter().any(|byte| *byte < 0x20) {
            return Err(self.wrong(start, "holds a control character"));
        }
        let to = if escaped {
            self.unescape(from, to).ok_or_else(|| self.wrong(start, "holds an escape that means nothing"))?
        } else {
            to
        };
        Ok((from, to))
    }

    fn unescape(&mut self, from: usize, to: usize) -> Option<usize> {
        // The quotes around it belong to what the JSON reader wants to see.
        let plain: String = serde_json::from_slice(&self.text[from - 1..=to]).ok()?;
        if plain.contains('\0') {
            return None;
        }
        self.text[from..from + plain.len()].copy_from_slice(plain.as_bytes());
        Some(from + plain.len())
    }

    /// An object or array as a whole, checked and kept as its own text.
    fn nested(&mut self) -> Result<Cell, Wrong> {
        let start = self.at;
        let mut level = 0;
        loop {
            match self.text.get(self.at) {
                None => return Err(self.wrong(start, "is not closed")),
                Some(b'"') => self.skip_string(start)?,
                Some(b'{' | b'[') => {
                    level += 1;
                    if level >= self.caps.depth {
                        return Err(self.wrong(start, &format!("is nested deeper than {}", self.caps.depth)));
                    }
                }
                Some(b'}' | b']') => level -= 1,
                Some(_) => {}
            }
            self.at += 1;
            if level == 0 {
                break;
            }
        }
        match serde_json::from_slice::<serde::de::IgnoredAny>(&self.text[start..self.at]) {
            Ok(_) => Ok(Cell::new(start, self.at, Kind::Nested)),
            Err(_) => Err(self.wrong(start, "is no valid JSON")),
        }
    }

    /// Leaves `at` on the closing quote.
    fn skip_string(&mut self, start: usize) -> Result<(), Wrong> {
        self.at += 1;
        loop {
            let Some(at) = memchr::memchr2(b'"', b'\\', self.text.get(self.at..).unwrap_or_default()) else {
                self.at = self.text.len();
                return Err(self.wrong(start, "holds a string that is never closed"));
            };
            self.at += at;
            if self.text[self.at] == b'"' {
                return Ok(());
            }
            self.at += 2;
        }
    }

    #[inline]
    fn eat(&mut self, byte: u8) -> bool {
        let there = self.text.get(self.at) == Some(&byte);
        self.at += usize::from(there);
        there
    }

    #[inline]
    fn blanks(&mut self) {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r' | b'\n')) {
            self.at += 1;
        }
    }

    /// Blanks that do not end a record.
    fn blanks_of_line(&mut self) {
        match self.separator {
            Separator::Comma => self.blanks(),
            Separator::Line => {
                while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\r')) {
                    self.at += 1;
                }
            }
        }
    }

    fn wrong(&self, start: usize, reason: &str) -> Wrong {
        (None, start..self.text.len().min(start + super::cells::SHOWN_BYTES), reason.to_owned())
    }

    fn keep(&mut self, above: u32) {
        let row = self.sparse.rows;
        self.sparse.above.push(above);
        self.sparse.cells.extend(self.row.drain(..).map(|(column, cell)| (row, column, cell)));
        self.sparse.rows += 1;
    }

    fn note(&mut self, (column, range, reason): Wrong, above: u32) {
        let value = &self.text[range];
        let value = value.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let bad = Bad::new(self.records, column.map(|column| column as usize), value, reason);
        self.sparse.bad.push(Bad { lines: Some(above.into()), ..bad });
    }

    /// After a bad line the next line is tried; inside an array nothing after it can be trusted.
    fn recover(&mut self) {
        self.at = match self.separator {
            Separator::Comma => self.text.len(),
            Separator::Line => self.lines.next().unwrap_or(self.text.len()),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, separator: Separator) -> Sparse {
        records(text.as_bytes().to_vec(), separator, &Keys::default(), &DecodeCaps::default())
    }

    fn cells(sparse: &Sparse) -> Vec<(u32, String, String)> {
        let show = |(row, column, cell): &(u32, u32, Cell)| {
            let text = String::from_utf8_lossy(cell.text(&sparse.text)).into_owned();
            (*row, sparse.keys.names[*column as usize].clone(), text)
        };
        sparse.cells.iter().map(show).collect()
    }

    #[test]
    fn lines_and_arrays_give_the_same_cells() {
        let lines =
            parse("{\"a\":1,\"b\":\"x\"}\n\n{\"b\":\"y\", \"c\":[1, {\"d\":2}]}\r\n", Separator::Line);
        let array =
            parse("  {\"a\":1,\"b\":\"x\"},\n{\"b\":\"y\", \"c\":[1, {\"d\":2}]}  ", Separator::Comma);
        assert_eq!((lines.rows, lines.bad.len(), array.bad.len()), (2, 0, 0));
        assert_eq!(cells(&lines), cells(&array));
        assert_eq!(cells(&lines)[3], (1, "c".into(), "[1, {\"d\":2}]".into()));
    }

    #[test]
    fn strings_mean_what_json_says() {
        let sparse = parse(
            "{\"a\":\"q\\\"\\u00e9\\n\\ud83d\\ude00/\",\"k\\u0065y\":true,\"n\":null}\n",
            Separator::Line,
        );
        assert_eq!(
            cells(&sparse)[..2],
            [(0, "a".into(), "q\"é\n😀/".into()), (0, "key".into(), "true".into())]
        );
        assert_eq!(sparse.cells[2].2.kind(), Kind::Null);
    }

    #[test]
    fn each_bad_line_is_named_and_the_next_is_read() {
        let text = "{\"a\":1}\n{\"a\":}\n{\"a\":1,\"a\":2}\n[1]\n{\"a\":\"x\n{\"a\":007}\n{\"a\":\"\\u0000\"}\n{\"a\":1} {\"a\":2}\n{\"a\":3}\n";
        let sparse = parse(text, Separator::Line);
        let records: Vec<_> = sparse.bad.iter().map(|bad| bad.record).collect();
        assert_eq!(records[..3], [1, 2, 3], "{:?}", sparse.bad);
        assert!(sparse.bad.iter().any(|bad| bad.reason.contains("twice")));
        assert!(cells(&sparse).iter().any(|(_, _, value)| value == "3"), "{:?}", sparse.bad);
    }

    #[test]
    fn each_record_knows_how_many_lines_are_above_it() {
        let lines = parse("{\"a\":\"x\\ny\\n\"}\n\n{\"a\":1\n}\n{\"a\":}\n{\"a\":2}\n", Separator::Line);
        assert_eq!(lines.above, [0, 2, 5]);
        assert_eq!(lines.bad.iter().map(|bad| bad.lines).collect::<Vec<_>>(), [Some(4)]);
        let array = parse(" \n{\"a\":\"\\n\"},\n\n{\"a\":[1,\n2]}, {\"a\":x}", Separator::Comma);
        assert_eq!((array.above.as_slice(), array.bad[0].lines), (&[1, 3][..], Some(4)));
        let broken = parse("{\"a\":\"x\\ny\", \"b\":}\n{\"a\":1}\n", Separator::Line);
        assert_eq!((broken.bad.len(), broken.above.as_slice()), (1, &[1][..]), "{:?}", broken.bad);
        assert_eq!(array.into_grids(1)[0].lines_before(&[0, 1]), [1, 3]);
    }

    #[test]
    fn depth_is_capped() {
        let deep = |levels: usize| format!("{{\"a\":{}{}}}\n", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(parse(&deep(63), Separator::Line).bad, []);
        assert!(parse(&deep(64), Separator::Line).bad[0].reason.contains("nested"));
        assert!(parse(&deep(10_000), Separator::Line).bad[0].reason.contains("nested"));
    }

    #[test]
    fn grids_are_dense_and_bounded() {
        let sparse = parse("{\"a\":1}\n{\"b\":2}\n", Separator::Line);
        let grids = sparse.into_grids(2);
        assert_eq!((grids.len(), grids[0].rows()), (1, 2));
        assert_eq!(grids[0].column(0).map(Cell::kind).collect::<Vec<_>>(), [Kind::Number, Kind::Null]);
        assert_eq!(parse("", Separator::Line).into_grids(3).len(), 1);
    }
}
