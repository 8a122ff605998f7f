//! What leaves the converter: Parquet files in scratch, counts, rows set aside.

use std::path::PathBuf;

use arrow::array::{BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use uuid::Uuid;

use super::Work;
use super::cells::Bad;
use super::encoders::Encoders;
use super::fault::{Fault, Stop, place};
use super::plan::Plan;
use super::request::{DecodeCaps, Decoded};
use crate::upload::{Format, OnBadRows};

/// A finished conversion.
pub struct Outcome {
    pub decoded: Decoded,
    /// First rows set aside, one JSON line each.
    pub reject_lines: Vec<u8>,
}

/// Takes batches in the file's order.
pub struct Output<'a> {
    plan: &'a Plan,
    names: Vec<String>,
    encoders: Option<Encoders>,
    folder: PathBuf,
    on_bad_rows: OnBadRows,
    caps: DecodeCaps,
    decoded: Decoded,
    reject_lines: Vec<u8>,
    /// Records before the current piece.
    records: u64,
    /// Lines before it.
    lines: u64,
}

impl<'a> Output<'a> {
    /// Writes into a fresh folder inside `scratch`.
    pub fn new(plan: &'a Plan, format: Format, work: &Work) -> Result<Self, Stop> {
        let (scratch, on_bad_rows, caps) = (&work.scratch, work.request.on_bad_rows, work.source.caps);
        let folder = scratch.join(Uuid::now_v7().simple().to_string());
        std::fs::create_dir(&folder)?;
        let encoders = Encoders::new(folder.clone(), plan.schema(), work.threads);
        let names = plan.names();
        let key = plan.key.iter().map(|at| names[*at].clone()).collect();
        let decoded = Decoded {
            format,
            columns: plan.decoded(),
            rows: 0,
            rejects: 0,
            files: Vec::new(),
            key,
            replaced: Vec::new(),
            beyond: plan.beyond.clone(),
        };
        Ok(Self {
            plan,
            names,
            encoders: Some(encoders),
            folder,
            on_bad_rows,
            caps,
            decoded,
            reject_lines: Vec::new(),
            records: 0,
            lines: 0,
        })
    }

    /// The first piece begins under this many lines.
    #[must_use]
    pub fn under(mut self, lines: u64) -> Self {
        self.lines = lines;
        self
    }

    /// Takes the rows of one piece and what is wrong with it; the piece has so many records and lines.
    /// Errors: the fault of the first bad row unless such rows are set aside; more rows than a file may have.
    pub fn take(
        &mut self,
        batches: Vec<RecordBatch>,
        mut bad: Vec<Bad>,
        (records, lines): (u64, u64),
        fatal: bool,
    ) -> Result<(), Stop> {
        bad.sort_by_key(|bad| bad.record);
        if !bad.is_empty() {
            self.judge(&bad, fatal)?;
        }
        self.records += records;
        self.lines += lines;
        self.caps.check_rows(self.records)?;
        for batch in batches.into_iter().filter(|batch| batch.num_rows() > 0) {
            self.count(&batch);
            if let Some(encoders) = &mut self.encoders {
                encoders.write(batch)?;
            }
        }
        Ok(())
    }

    pub fn rows(&self) -> u64 {
        self.decoded.rows
    }

    /// Records taken so far, bad ones too.
    pub fn records(&self) -> u64 {
        self.records
    }

    fn count(&mut self, batch: &RecordBatch) {
        self.decoded.rows += batch.num_rows() as u64;
        for (column, array) in self.decoded.columns.iter_mut().zip(batch.columns()) {
            column.nulls += array.null_count() as u64;
        }
    }

    fn judge(&mut self, bad: &[Bad], fatal: bool) -> Result<(), Stop> {
        let numbered: Vec<(u64, Bad)> =
            bad.iter().map(|bad| (self.records + bad.record + 1, bad.clone().below(self.lines))).collect();
        if fatal || self.on_bad_rows == OnBadRows::Fail {
            return Err(Fault::of_bad(&numbered, &self.names, self.caps.listed_faults).into());
        }
        let mut last = None;
        for (row, bad) in &numbered {
            // A row with two bad values is one row set aside, told by its first.
            if last.replace(*row) == Some(*row) {
                continue;
            }
            if self.decoded.rejects < self.caps.kept_rejects as u64 {
                self.reject_lines.extend_from_slice(place(*row, bad, &self.names).to_string().as_bytes());
                self.reject_lines.push(b'\n');
            }
            self.decoded.rejects += 1;
        }
        Ok(())
    }

    /// Closes the files. Errors: every row was set aside.
    pub fn finish(mut self) -> Result<Outcome, Stop> {
        if self.decoded.rows == 0 && self.decoded.rejects > 0 {
            return Err(Fault::malformed("no row of the file can be read").into());
        }
        let inside =
            self.folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if let Some(encoders) = &mut self.encoders {
            self.decoded.files = encoders.finish()?;
        }
        self.decoded.files.iter_mut().for_each(|file| file.path = format!("{inside}/{}", file.path));
        debug_assert_eq!(self.plan.columns.len(), self.decoded.columns.len());
        let decoded = Decoded { ..self.decoded.clone() };
        let reject_lines = std::mem::take(&mut self.reject_lines);
        self.folder = PathBuf::new();
        Ok(Outcome { decoded, reject_lines })
    }
}

impl Drop for Output<'_> {
    /// A conversion that ended early leaves no files: the next one needs the room.
    fn drop(&mut self) {
        self.encoders = None;
        if !self.folder.as_os_str().is_empty() {
            let _ = std::fs::remove_dir_all(&self.folder);
        }
    }
}

/// The rows of `batch` that are not marked. `marked` are rows, in any order.
pub fn without(batch: &RecordBatch, marked: &[usize]) -> Result<RecordBatch, Stop> {
    if marked.is_empty() {
        return Ok(batch.clone());
    }
    let mut keep = vec![true; batch.num_rows()];
    marked.iter().for_each(|row| keep[*row] = false);
    filter_record_batch(batch, &BooleanArray::from(keep))
        .map_err(|error| Stop::Io(std::io::Error::other(error)))
}

impl DecodeCaps {
    /// Errors: a file of so many rows is not taken.
    pub fn check_rows(&self, rows: u64) -> Result<(), Stop> {
        match rows > self.rows {
            true => Err(Fault::malformed(format!(
                "the file has more than the {} rows that one may have",
                self.rows
            ))
            .into()),
            false => Ok(()),
        }
    }
}

/// A full disk stays one; everything else is ours.
pub fn of_lake(error: lake::Error) -> Stop {
    match error {
        lake::Error::StorageFull => Stop::Io(std::io::ErrorKind::StorageFull.into()),
        error => Stop::Io(std::io::Error::other(error)),
    }
}
