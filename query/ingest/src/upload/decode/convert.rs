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
use super::facts::Facts;
use super::fault::{Fault, Stop};
use super::json_cells::Keys;
use super::layout::{Reader, Seen, facts_of};
use super::notes::note;
use super::output::{Outcome, Output, without};
use super::pieces::{Record, pass};
use super::plan::{Plan, Planned};
use super::sniff::Packing;
use super::text::Encoding;
use super::types::Type;
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
    let again = !whole && reader.is_undecided(&tried);
    let seen = if again { look_at_all(&reader)? } else { tried };
    match build(&reader, &seen, whole || again, format) {
        Err(Stop::Misfit) => build(&reader, &look_at_all(&reader)?, true, format),
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
        Err(Record::Bad(bad)) => Err(Fault::of_bad(&[(1, bad.below(reader.lines()))], &[], 1).into()),
    }
}

fn look_at_all(reader: &Reader<'_>) -> Result<Seen, Stop> {
    let mut all = Seen::default();
    pass(
        reader.pieces()?,
        reader.work.threads,
        |piece| reader.see(piece),
        |seen| {
            let above = reader.lines() + all.lines;
            let seen = seen.map_err(|bad| Fault::of_bad(&[(all.records + 1, bad.below(above))], &[], 1))?;
            all.merge(&seen);
            reader.work.source.caps.check_rows(all.records)?;
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
    lines: u64,
    /// Of text columns, where the file is not known as a whole; one a column of the plan.
    facts: Vec<Facts>,
}

/// Builds the dataset of types that were found in the `whole` file, or tries those of its first piece.
fn build(reader: &Reader<'_>, seen: &Seen, whole: bool, format: Format) -> Result<Outcome, Stop> {
    let work = reader.work;
    let found = reader.found(seen);
    let plan = Plan::new(&work.request, &reader.names(seen), &seen.facts, found)?;
    if plan.columns.is_empty() {
        let none = || Fault::malformed("the file has no columns");
        return Err(seen
            .bad
            .as_ref()
            .map_or_else(none, |bad| {
                Fault::of_bad(&[(bad.record + 1, bad.clone().below(reader.lines()))], &[], 1)
            })
            .into());
    }
    let mut output = Output::new(&plan, format, work)?.under(reader.lines());
    let fatal = reader.is_fatal();
    let mut facts = match whole {
        true => of_plan(&plan, seen),
        false => vec![Facts::new(reader.written()); plan.columns.len()],
    };
    pass(
        reader.pieces()?,
        work.threads,
        |piece| build_piece(reader, &plan, &seen.keys, whole, piece),
        |built| {
            let built = match built {
                Ok(built) => built,
                // Nothing after a record without end can be read, whatever the caller says of bad rows.
                Err(bad) => return output.take(Vec::new(), vec![bad], (1, 0), true),
            };
            let before = output.records();
            facts.iter_mut().zip(&built.facts).for_each(|(all, piece)| all.merge(piece, before));
            output.take(built.batches, built.bad, (built.records, built.lines), fatal)?;
            tell(work, output.rows());
            Ok(())
        },
    )?;
    let mut outcome = output.finish()?;
    for ((column, planned), facts) in outcome.decoded.columns.iter_mut().zip(&plan.columns).zip(&facts) {
        column.note = if is_found_text(planned) { note(facts, found) } else { None };
    }
    Ok(outcome)
}

/// Facts of the file's columns in the plan's order.
fn of_plan(plan: &Plan, seen: &Seen) -> Vec<Facts> {
    let facts = |column: &Planned| column.source.and_then(|source| seen.facts.get(source)).cloned();
    plan.columns.iter().map(|column| facts(column).unwrap_or_default()).collect()
}

/// Text because its values are, not because somebody wants it so.
fn is_found_text(column: &Planned) -> bool {
    column.source.is_some() && column.reading.of == Type::Text && !column.reading.given
}

fn build_piece(
    reader: &Reader<'_>,
    plan: &Plan,
    keys: &Keys,
    whole: bool,
    piece: Vec<u8>,
) -> Result<Built, Stop> {
    let split = reader.split(piece, keys)?;
    let (batches, facts) = (Vec::with_capacity(split.grids.len()), Vec::new());
    let mut built = Built { batches, bad: split.bad, records: split.records, lines: split.lines, facts };
    for grid in &split.grids {
        let (batch, mut bad) = build_grid(plan, grid)?;
        count_lines(grid, &mut bad);
        built.batches.push(batch);
        built.bad.extend(bad);
        if !whole {
            add_facts(reader, plan, grid, &mut built.facts);
        }
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

/// Facts of the text columns of one more grid of a piece.
fn add_facts(reader: &Reader<'_>, plan: &Plan, grid: &Grid, all: &mut Vec<Facts>) {
    all.resize_with(plan.columns.len(), || Facts::new(reader.written()));
    for (facts, column) in all.iter_mut().zip(&plan.columns) {
        if let Some(source) = column.source.filter(|_| is_found_text(column)) {
            facts.merge(&facts_of(reader.written(), grid, source), 0);
        }
    }
}

/// Says of each bad value which line of the piece its row begins on.
fn count_lines(grid: &Grid, bad: &mut [Bad]) {
    bad.sort_by_key(|bad| bad.record);
    let rows: Vec<usize> = bad.iter().map(|bad| row_of(grid, bad.record)).collect();
    let lines = grid.lines_before(&rows);
    bad.iter_mut().zip(lines).for_each(|(bad, lines)| bad.lines = Some(lines));
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
