//! A text file's records, whatever its format: pieces, names, grids.

use super::Work;
use super::cells::{Bad, Cell, Grid};
use super::csv_split::{Caps, grid};
use super::dialect::Csv;
use super::facts::Facts;
use super::fault::{Fault, Stop};
use super::json_cells::{Keys, Separator, Sparse, records};
use super::marks::{self, Found, Written};
use super::names::{Named, name_columns};
use super::pieces::{Ends, PIECE_BYTES, Pieces};
use super::request::DecodeCaps;
use super::sniff::Packing;
use super::text::{Encoding, Text};
use crate::upload::Format;

/// How the file's text is laid out.
pub enum Layout {
    Csv(Csv),
    Json(Separator),
}

/// A piece cut into cells.
pub struct Split {
    pub grids: Vec<Grid>,
    pub bad: Vec<Bad>,
    /// Records in the piece, bad ones too.
    pub records: u64,
    /// Lines in the piece.
    pub lines: u64,
}

/// Facts of a piece or of the whole file: one entry a column of the file.
#[derive(Default)]
pub struct Seen {
    pub keys: Keys,
    pub facts: Vec<Facts>,
    pub rows: u64,
    /// Rows and bad records.
    pub records: u64,
    pub lines: u64,
    /// The first record that cannot be read, for a file without any other.
    pub bad: Option<Bad>,
}

/// A file that can be read in passes.
pub struct Reader<'a> {
    pub work: &'a Work,
    pub packing: Packing,
    pub encoding: Encoding,
    pub layout: Layout,
}

impl<'a> Reader<'a> {
    /// Tells the layout of the file by its first text.
    pub fn open(work: &'a Work, packing: Packing, encoding: Encoding, format: Format) -> Result<Self, Stop> {
        let layout = match format {
            Format::Ndjson => Layout::Json(Separator::Line),
            Format::Json => Layout::Json(Separator::Comma),
            Format::Csv | Format::Parquet => {
                let mut head = Vec::new();
                let caps = work.source.caps;
                Text::new(work.source.unpacked(packing)?, encoding).fill(&mut head, PIECE_BYTES)?;
                Layout::Csv(Csv::of(&head, caps.columns, caps.cell_bytes, work.request.decimal)?)
            }
        };
        Ok(Self { work, packing, encoding, layout })
    }

    fn caps(&self) -> &DecodeCaps {
        &self.work.source.caps
    }

    /// The file's records from the start.
    pub fn pieces(&self) -> Result<Pieces, Stop> {
        let text = Text::new(self.work.source.unpacked(self.packing)?, self.encoding);
        let pieces = |ends| Pieces::new(text, ends, self.caps().record_bytes, self.caps().depth);
        Ok(match &self.layout {
            Layout::Csv(csv) => {
                pieces(csv.ends()).skipping(csv.skip).without_tail(csv.dialect.delimiter, csv.width)
            }
            Layout::Json(Separator::Line) => pieces(Ends::Lines),
            Layout::Json(Separator::Comma) => pieces(Ends::Array),
        })
    }

    /// Lines above the first record.
    pub fn lines(&self) -> u64 {
        match &self.layout {
            Layout::Csv(csv) => csv.lines,
            Layout::Json(_) => 0,
        }
    }

    /// How numbers are written, as far as it is known before they are read.
    pub fn written(&self) -> Written {
        match &self.layout {
            Layout::Csv(csv) => csv.written,
            Layout::Json(_) => Written::Point,
        }
    }

    /// The decimal mark that these columns tell.
    pub fn found(&self, seen: &Seen) -> Found {
        match &self.layout {
            Layout::Csv(csv) => Found::of(csv.written, &seen.facts, csv.dialect.delimiter),
            Layout::Json(_) => Found::default(),
        }
    }

    /// Whether what was seen of a part of the file may mean something else in the whole of it, with no value to contradict it.
    pub fn is_undecided(&self, seen: &Seen) -> bool {
        let found = self.found(seen);
        // A given type hides what contradicts it: its bad values may be those that tell the decimal mark.
        let given = self.work.request.table.is_some() || !self.work.request.types.is_empty();
        let open = self.written() == Written::Either && (given || marks::is_open(&seen.facts));
        open || seen.facts.iter().any(|facts| facts.is_undecided(found))
    }

    /// Labels and SQL names of the file's columns.
    pub fn names(&self, seen: &Seen) -> Vec<Named> {
        match &self.layout {
            Layout::Csv(csv) if csv.headers.is_empty() => name_columns((0..csv.width).map(|_| "")),
            Layout::Csv(csv) => name_columns(csv.headers.iter().map(String::as_str)),
            Layout::Json(_) => name_columns(seen.keys.names.iter().map(String::as_str)),
        }
    }

    /// What a piece's columns have in common.
    pub fn see(&self, piece: Vec<u8>) -> Result<Seen, Stop> {
        match &self.layout {
            Layout::Csv(csv) => {
                let lines = lines_of(&piece);
                let grid = grid(piece, csv.dialect, csv.width, cell_caps(csv, self.caps()));
                let facts = (0..csv.width).map(|column| facts_of(csv.written, &grid, column)).collect();
                Ok(Seen {
                    facts,
                    keys: Keys::default(),
                    rows: grid.rows() as u64,
                    records: (grid.rows() + grid.bad.len()) as u64,
                    lines,
                    bad: grid.bad.into_iter().next(),
                })
            }
            Layout::Json(separator) => {
                let lines = lines_of(&piece);
                let sparse = records(piece, *separator, &Keys::default(), self.caps());
                check_keys(&sparse, self.caps())?;
                Ok(see_sparse(sparse, lines))
            }
        }
    }

    /// A piece as grids whose columns are the file's, in the order of `keys` for JSON. Errors: [`Stop::Misfit`] for a key not in `keys`;
    /// a fault in an array, behind which nothing can be read.
    pub fn split(&self, piece: Vec<u8>, keys: &Keys) -> Result<Split, Stop> {
        match &self.layout {
            Layout::Csv(csv) => {
                let lines = lines_of(&piece);
                let grid = grid(piece, csv.dialect, csv.width, cell_caps(csv, self.caps()));
                let (bad, records) = (grid.bad.clone(), (grid.rows() + grid.bad.len()) as u64);
                Ok(Split { grids: vec![grid], bad, records, lines })
            }
            Layout::Json(separator) => {
                let lines = lines_of(&piece);
                let sparse = records(piece, *separator, keys, self.caps());
                check_keys(&sparse, self.caps())?;
                if sparse.keys.names.len() > keys.names.len() {
                    return Err(Stop::Misfit);
                }
                let (bad, records) = (sparse.bad.clone(), u64::from(sparse.rows) + sparse.bad.len() as u64);
                Ok(Split { grids: sparse.into_grids(keys.names.len()), bad, records, lines })
            }
        }
    }

    /// Whether nothing after a bad record can be trusted.
    pub fn is_fatal(&self) -> bool {
        matches!(self.layout, Layout::Json(Separator::Comma))
    }
}

fn cell_caps<'a>(csv: &'a Csv, caps: &DecodeCaps) -> Caps<'a> {
    Caps { cell_bytes: caps.cell_bytes, expected: &csv.expected }
}

fn lines_of(piece: &[u8]) -> u64 {
    memchr::memchr_iter(b'\n', piece).count() as u64
}

/// Facts of one column of a grid, each first value with its record's place in the piece.
pub fn facts_of(written: Written, grid: &Grid, column: usize) -> Facts {
    Facts::of(written, grid.column(column), &grid.text).placed(|row| grid.record_of(row as usize))
}

fn check_keys(sparse: &Sparse, caps: &DecodeCaps) -> Result<(), Stop> {
    match sparse.keys.names.len() > caps.columns {
        true => Err(Fault::malformed(format!(
            "the records have more keys than the {} columns a table may have",
            caps.columns
        ))
        .into()),
        false => Ok(()),
    }
}

fn see_sparse(sparse: Sparse, lines: u64) -> Seen {
    let mut facts = vec![Facts::default(); sparse.keys.names.len()];
    let mut present = vec![0u64; facts.len()];
    for (row, column, cell) in &sparse.cells {
        let cell: &Cell = cell;
        facts[*column as usize].see(u64::from(*row), cell.kind(), cell.text(&sparse.text));
        present[*column as usize] += 1;
    }
    let rows = u64::from(sparse.rows);
    for (facts, present) in facts.iter_mut().zip(present) {
        facts.nulls += rows - present;
    }
    let records = rows + sparse.bad.len() as u64;
    // Only to count the bad records before a row.
    let grid = Grid { bad: sparse.bad, ..Grid::default() };
    let facts = facts.into_iter().map(|facts| facts.placed(|row| grid.record_of(row as usize))).collect();
    Seen { keys: sparse.keys, facts, rows, records, lines, bad: grid.bad.into_iter().next() }
}

impl Seen {
    /// The facts of both; keys that only one of them has are null in the other.
    pub fn merge(&mut self, other: &Self) {
        let by_key = !self.keys.names.is_empty() || !other.keys.names.is_empty();
        if !by_key {
            if self.facts.is_empty() {
                self.facts.clone_from(&other.facts);
            } else {
                self.join(&other.facts);
            }
            self.count(other);
            return;
        }
        let absent = Facts::of_nulls;
        let mut theirs = vec![absent(other.rows); self.keys.names.len()];
        for (name, facts) in other.keys.names.iter().zip(&other.facts) {
            let at = self.keys.add(name) as usize;
            if at == theirs.len() {
                theirs.push(facts.clone());
                self.facts.push(absent(self.rows));
            } else {
                theirs[at] = facts.clone();
            }
        }
        self.join(&theirs);
        self.count(other);
    }

    fn join(&mut self, theirs: &[Facts]) {
        let before = self.records;
        self.facts.iter_mut().zip(theirs).for_each(|(mine, theirs)| mine.merge(theirs, before));
    }

    fn count(&mut self, other: &Self) {
        self.rows += other.rows;
        self.records += other.records;
        self.lines += other.lines;
    }
}
