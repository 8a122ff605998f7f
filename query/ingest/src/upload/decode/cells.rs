//! A piece of a file as a grid of text cells: what every text format is split into before types are known or applied.

use bytes::Bytes;

/// How a cell was written; it decides what its text may mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Kind {
    /// CSV without quotes: may be anything, also null.
    Plain = 0,
    /// CSV in quotes: may be anything, but `"NA"` in a text column is a text.
    Quoted = 1,
    /// JSON number, boolean, string, nested value, null or absent key.
    Number = 2,
    Bool = 3,
    String = 4,
    Nested = 5,
    Null = 6,
}

const KINDS: [Kind; 7] =
    [Kind::Plain, Kind::Quoted, Kind::Number, Kind::Bool, Kind::String, Kind::Nested, Kind::Null];
const KIND_SHIFT: u32 = 29;

/// A place in the text of a [`Grid`]: 8 bytes, so that a piece of 4 MiB costs no more than its cells.
#[derive(Clone, Copy, Debug)]
pub struct Cell {
    start: u32,
    length_and_kind: u32,
}

impl Cell {
    pub const NULL: Self = Self { start: 0, length_and_kind: (Kind::Null as u32) << KIND_SHIFT };

    /// The text from `start` to `end`; pieces are far below 4 GiB and cells below 512 MiB.
    #[inline]
    pub fn new(start: usize, end: usize, kind: Kind) -> Self {
        Self { start: start as u32, length_and_kind: (end - start) as u32 | (kind as u32) << KIND_SHIFT }
    }

    #[inline]
    pub fn kind(self) -> Kind {
        KINDS[(self.length_and_kind >> KIND_SHIFT) as usize % KINDS.len()]
    }

    #[inline]
    pub fn start(self) -> usize {
        self.start as usize
    }

    #[inline]
    pub fn len(self) -> usize {
        (self.length_and_kind & ((1 << KIND_SHIFT) - 1)) as usize
    }

    #[inline]
    pub fn text(self, of: &[u8]) -> &[u8] {
        let start = self.start as usize;
        &of[start..start + self.len()]
    }
}

/// Rows by columns of cells over one text.
#[derive(Clone, Debug, Default)]
pub struct Grid {
    pub text: Bytes,
    pub cells: Vec<Cell>,
    pub width: usize,
    /// Rows of the piece that are in grids before this one.
    pub first_row: usize,
    /// Records of the piece that are in no grid, in order.
    pub bad: Vec<Bad>,
    /// Line breaks of the piece before each row, where they cannot be counted in `text`: it may have lost or gained some.
    pub above: Vec<u32>,
}

/// A record that cannot be a row, or a value that does not fit its column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bad {
    /// Position among the records of its piece, from 0.
    pub record: u64,
    pub column: Option<usize>,
    pub value: Vec<u8>,
    pub reason: String,
    /// Line breaks before the record, where they were counted: in its piece, then in the file.
    pub lines: Option<u64>,
}

/// Bytes of a value that an error message repeats.
pub const SHOWN_BYTES: usize = 200;

impl Bad {
    pub fn new(record: u64, column: Option<usize>, value: &[u8], reason: impl Into<String>) -> Self {
        let value = value[..value.len().min(SHOWN_BYTES)].to_vec();
        Self { record, column, value, reason: reason.into(), lines: None }
    }

    /// The same in a file that has `lines` line breaks before this piece.
    #[must_use]
    pub fn below(self, lines: u64) -> Self {
        Self { lines: self.lines.map(|own| own + lines), ..self }
    }
}

impl Grid {
    pub fn rows(&self) -> usize {
        self.cells.len().checked_div(self.width).unwrap_or(0)
    }

    /// The cells of one column from top to bottom.
    #[inline]
    pub fn column(&self, column: usize) -> impl ExactSizeIterator<Item = Cell> {
        self.cells[column.min(self.cells.len())..].iter().step_by(self.width.max(1)).copied()
    }

    /// Line breaks before each of these rows, in their order.
    pub fn lines_before(&self, rows: &[usize]) -> Vec<u64> {
        if !self.above.is_empty() {
            return rows.iter().map(|row| self.above.get(*row).copied().unwrap_or_default().into()).collect();
        }
        let (mut at, mut lines) = (0, 0);
        let before = rows.iter().map(|row| {
            let start = self.cells.get(row * self.width).map_or(at, |cell| cell.start()).max(at);
            lines += memchr::memchr_iter(b'\n', &self.text[at..start]).count() as u64;
            at = start;
            lines
        });
        before.collect()
    }

    /// Position among the piece's records of the row `row` of this grid.
    pub fn record_of(&self, row: usize) -> u64 {
        let mut record = (self.first_row + row) as u64;
        for bad in &self.bad {
            if bad.record > record {
                break;
            }
            record += 1;
        }
        record
    }
}

/// What is a null wherever it stands without quotes: nothing, `NA`, `N/A`, `null`, `NULL`.
#[inline]
pub fn is_null_word(text: &[u8]) -> bool {
    match text.len() {
        0 => true,
        2 => text == b"NA",
        3 => text == b"N/A",
        4 => text == b"null" || text == b"NULL",
        _ => false,
    }
}

/// `text` without the blanks around it.
#[inline]
pub fn trimmed(text: &[u8]) -> &[u8] {
    match (text.first(), text.last()) {
        (Some(b' ' | b'\t'), _) | (_, Some(b' ' | b'\t')) => text.trim_ascii(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_keeps_its_place_and_kind() {
        let cell = Cell::new(3, 8, Kind::Nested);
        assert_eq!((cell.text(b"abcdefghij"), cell.kind()), (&b"defgh"[..], Kind::Nested));
        assert_eq!(Cell::NULL.kind(), Kind::Null);
    }

    #[test]
    fn rows_after_bad_records_keep_their_number() {
        let bad = |record| Bad::new(record, None, b"", "");
        let grid = Grid { bad: vec![bad(0), bad(2), bad(3)], ..Grid::default() };
        assert_eq!((0..3).map(|row| grid.record_of(row)).collect::<Vec<_>>(), [1, 4, 5]);
    }

    #[test]
    fn only_the_listed_words_are_null() {
        for word in ["", "NA", "N/A", "null", "NULL"] {
            assert!(is_null_word(word.as_bytes()), "{word}");
        }
        for word in ["na", "NaN", "None", "-", "Null", " "] {
            assert!(!is_null_word(word.as_bytes()), "{word}");
        }
    }
}
