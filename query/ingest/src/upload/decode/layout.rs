//! A text file's records, whatever its format: pieces, names, grids.

use super::Work;
use super::cells::{Bad, Cell, Grid};
use super::csv_split::{Caps, grid};
use super::dialect::Csv;
use super::facts::Facts;
use super::fault::{Fault, Stop};
use super::json_cells::{Keys, Separator, Sparse, records};
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
}

/// Facts of a piece or of the whole file: one entry a column of the file.
#[derive(Default)]
pub struct Seen {
    pub keys: Keys,
    pub facts: Vec<Facts>,
    pub rows: u64,
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
                Layout::Csv(Csv::of(&head, caps.columns, caps.cell_bytes)?)
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
        let (ends, skip) = match &self.layout {
            Layout::Csv(csv) => (csv.ends(), csv.skip),
            Layout::Json(Separator::Line) => (Ends::Lines, 0),
            Layout::Json(Separator::Comma) => (Ends::Array, 0),
        };
        Ok(Pieces::new(text, ends, self.caps().record_bytes, self.caps().depth).skipping(skip))
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
                let grid = grid(piece, csv.dialect, csv.width, self.cell_caps());
                let facts = (0..csv.width).map(|column| Facts::of(grid.column(column), &grid.text)).collect();
                Ok(Seen {
                    facts,
                    keys: Keys::default(),
                    rows: grid.rows() as u64,
                    bad: grid.bad.into_iter().next(),
                })
            }
            Layout::Json(separator) => {
                let sparse = records(piece, *separator, &Keys::default(), self.caps());
                check_keys(&sparse, self.caps())?;
                Ok(see_sparse(sparse))
            }
        }
    }

    /// A piece as grids whose columns are the file's, in the order of `keys` for JSON. Errors: [`Stop::Misfit`] for a key not in `keys`;
    /// a fault in an array, behind which nothing can be read.
    pub fn split(&self, piece: Vec<u8>, keys: &Keys) -> Result<Split, Stop> {
        match &self.layout {
            Layout::Csv(csv) => {
                let grid = grid(piece, csv.dialect, csv.width, self.cell_caps());
                let (bad, records) = (grid.bad.clone(), (grid.rows() + grid.bad.len()) as u64);
                Ok(Split { grids: vec![grid], bad, records })
            }
            Layout::Json(separator) => {
                let sparse = records(piece, *separator, keys, self.caps());
                check_keys(&sparse, self.caps())?;
                if sparse.keys.names.len() > keys.names.len() {
                    return Err(Stop::Misfit);
                }
                let (bad, records) = (sparse.bad.clone(), u64::from(sparse.rows) + sparse.bad.len() as u64);
                Ok(Split { grids: sparse.into_grids(keys.names.len()), bad, records })
            }
        }
    }

    /// Whether nothing after a bad record can be trusted.
    pub fn is_fatal(&self) -> bool {
        matches!(self.layout, Layout::Json(Separator::Comma))
    }

    fn cell_caps(&self) -> Caps {
        Caps { cell_bytes: self.caps().cell_bytes }
    }
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

fn see_sparse(sparse: Sparse) -> Seen {
    let mut facts = vec![Facts::default(); sparse.keys.names.len()];
    let mut present = vec![0u64; facts.len()];
    for (_, column, cell) in &sparse.cells {
        let cell: &Cell = cell;
        facts[*column as usize].see(cell.kind(), cell.text(&sparse.text));
        present[*column as usize] += 1;
    }
    let rows = u64::from(sparse.rows);
    for (facts, present) in facts.iter_mut().zip(present) {
        facts.nulls += rows - present;
    }
    Seen { keys: sparse.keys, facts, rows, bad: sparse.bad.into_iter().next() }
}

impl Seen {
    /// The facts of both; keys that only one of them has are null in the other.
    pub fn merge(&mut self, other: &Self) {
        let by_key = !self.keys.names.is_empty() || !other.keys.names.is_empty();
        if !by_key {
            if self.facts.is_empty() {
                self.facts.clone_from(&other.facts);
            } else {
                self.facts.iter_mut().zip(&other.facts).for_each(|(mine, theirs)| mine.merge(theirs));
            }
            self.rows += other.rows;
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
        self.facts.iter_mut().zip(&theirs).for_each(|(mine, theirs)| mine.merge(theirs));
        self.rows += other.rows;
    }

    /// Whether a column's dates can be read in two ways so far.
    pub fn is_undecided(&self) -> bool {
        self.facts.iter().any(Facts::is_undecided)
    }
}
