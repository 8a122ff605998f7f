//! Text formats: types of the whole file, then arrays of those types.
//!
//! ```text
//! first piece ─▶ facts ─▶ tried types ─▶ build all ─ no misfit ─▶ done            (one pass)
//!                                            └─ misfit ─▶ facts of all ─▶ build all (three)
//! ```

use arrow::array::{Array, ArrayRef, RecordBatch, new_null_array};
use serde_json::json;

use super::Work;
use super::build::array;
use super::cells::{Bad, Grid};
use super::fault::{Fault, Stop};
use super::json_cells::Keys;
use super::layout::{Reader, Seen};
use super::output::{Outcome, Output, without};
use super::pieces::{Record, pass};
use super::plan::Plan;
use super::sniff::Packing;
use super::text::Encoding;
use crate::upload::{Format, OnBadRows};

/// Converts a text file; `head` is its first unpacked bytes.
pub fn convert(work: &Work, packing: Packing, format: Format, head: &[u8]) -> Result<Outcome, Stop> {
    match read(work, packing, format, Encoding::of_mark(head)) {
        Err(Stop::OtherEncoding) => read(work, packing, format, Encoding::Windows1252),
        done => done,
    }
}

fn read(work: &Work, packing: Packing, format: Format, encoding: Encoding) -> Result<Outcome, Stop> {
    let reader = Reader::open(work, packing, encoding, format)?;
    let (tried, whole) = first_look(&reader)?;
    let seen = if !whole && tried.is_undecided() { look_at_all(&reader)? } else { tried };
    match build(&reader, &seen, format) {
        Err(Stop::Misfit) => build(&reader, &look_at_all(&reader)?, format),
        done => done,
    }
}

/// Facts of the first piece, and whether that is all.
fn first_look(reader: &Reader<'_>) -> Result<(Seen, bool), Stop> {
    let mut pieces = reader.pieces()?;
    match pieces.next() {
        Ok(Some(piece)) => {
            let whole = pieces.is_at_end();
            Ok((reader.see(piece)?, whole))
        }
        Ok(None) => Ok((reader.see(Vec::new())?, true)),
        Err(Record::Stop(stop)) => Err(stop),
        Err(Record::Bad(bad)) => Err(Fault::of_bad(&[(1, bad)], &[], 1).into()),
    }
}

fn look_at_all(reader: &Reader<'_>) -> Result<Seen, Stop> {
    let mut all = Seen::default();
    let mut records = 0;
    pass(
        reader.pieces()?,
        reader.work.threads,
        |piece| reader.see(piece),
        |seen| {
            let seen = seen.map_err(|bad| Fault::of_bad(&[(records + 1, bad)], &[], 1))?;
            records += seen.rows;
            all.merge(&seen);
            check_width(&all, reader)
        },
    )?;
    Ok(all)
}

fn check_width(seen: &Seen, reader: &Reader<'_>) -> Result<(), Stop> {
    let most = reader.work.source.caps.columns;
    match seen.facts.len() > most {
        true => Err(Fault::malformed(format!(
            "the records have more keys than the {most} columns a table may have"
        ))
        .into()),
        false => Ok(()),
    }
}

/// One piece in arrays.
struct Built {
    batches: Vec<RecordBatch>,
    bad: Vec<Bad>,
    records: u64,
}

fn build(reader: &Reader<'_>, seen: &Seen, format: Format) -> Result<Outcome, Stop> {
    let work = reader.work;
    let plan = Plan::new(&work.request, &reader.names(seen), &seen.facts)?;
    if plan.columns.is_empty() {
        let none = || Fault::malformed("the file has no columns");
        return Err(seen
            .bad
            .as_ref()
            .map_or_else(none, |bad| Fault::of_bad(&[(bad.record + 1, bad.clone())], &[], 1))
            .into());
    }
    let mut output = Output::new(&plan, format, work)?;
    let fatal = reader.is_fatal();
    let done = pass(
        reader.pieces()?,
        work.threads,
        |piece| build_piece(reader, &plan, &seen.keys, piece),
        |built| {
            let built = match built {
                Ok(built) => built,
                // Nothing after a record without end can be read, whatever the caller says of bad rows.
                Err(bad) => return output.take(Vec::new(), vec![bad], 1, true),
            };
            output.take(built.batches, built.bad, built.records, fatal)?;
            tell(work, output.rows());
            Ok(())
        },
    );
    match done {
        Ok(()) => output.finish(),
        Err(stop) => Err(stop),
    }
}

fn build_piece(reader: &Reader<'_>, plan: &Plan, keys: &Keys, piece: Vec<u8>) -> Result<Built, Stop> {
    let split = reader.split(piece, keys)?;
    let mut built =
        Built { batches: Vec::with_capacity(split.grids.len()), bad: split.bad, records: split.records };
    for grid in &split.grids {
        let (batch, bad) = build_grid(plan, grid)?;
        built.batches.push(batch);
        built.bad.extend(bad);
    }
    if reader.work.request.on_bad_rows == OnBadRows::Fail && !built.bad.is_empty() {
        built.batches.clear();
    }
    Ok(built)
}

fn build_grid(plan: &Plan, grid: &Grid) -> Result<(RecordBatch, Vec<Bad>), Stop> {
    let mut bad = Vec::new();
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(plan.columns.len());
    for (at, column) in plan.columns.iter().enumerate() {
        let from = bad.len();
        columns.push(match column.source {
            Some(source) => array(grid, source, &column.reading, &mut bad)?,
            None => new_null_array(&column.reading.of.arrow(), grid.rows()),
        });
        bad[from..].iter_mut().for_each(|bad| bad.column = Some(at));
    }
    let mut marked: Vec<usize> = bad.iter().map(|bad| row_of(grid, bad.record)).collect();
    for at in &plan.key {
        for row in (0..grid.rows()).filter(|row| columns[*at].is_null(*row)) {
            bad.push(Bad::new(grid.record_of(row), Some(*at), b"", "is null, but it is part of the key"));
            marked.push(row);
        }
    }
    let batch = RecordBatch::try_new(plan.schema(), columns)
        .map_err(|error| Stop::Io(std::io::Error::other(error)))?;
    Ok((without(&batch, &marked)?, bad))
}

/// The row of a grid that a record of its piece is.
fn row_of(grid: &Grid, record: u64) -> usize {
    let before = grid.bad.iter().filter(|bad| bad.record < record).count();
    record as usize - before - grid.first_row
}

fn tell(work: &Work, rows: u64) {
    let percent = (work.source.taken() * 100).checked_div(work.source.size).unwrap_or(0).min(100);
    let told = json!({ "rows": rows, "percent": percent });
    let files = work.files.clone();
    work.handle.spawn(async move { files.progress(told).await });
}
