//! The part of writing that does no I/O: batches in, bytes and finished descriptions out.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use bytes::Bytes;
use chrono::Utc;

use super::encoder::{Encoder, OpenFile};
use super::shape::{self, Partition, Run, Runs};
use super::{Schemas, WriterOptions};
use crate::Error;
use crate::file::DataFile;
use crate::types::conform;

/// Rows handed to the encoder at once, so that limits are looked at often.
const SLICE_ROWS: usize = 16 << 10;
/// Bytes waiting to be sorted, over all partitions.
const WAITING_BYTES: usize = 64 << 20;
/// Partitions with an open file.
const OPEN_FILES: usize = 64;

/// What is to be done with a file.
pub(crate) enum Step {
    /// Append to the file of this name, which may be new.
    Bytes(String, Bytes),
    /// Append the last bytes and close it.
    Done(Bytes, DataFile),
}

struct Lane {
    runs: Runs,
    open: Option<OpenFile>,
}

pub(crate) struct Core {
    schemas: Schemas,
    options: WriterOptions,
    lanes: BTreeMap<Partition, Lane>,
    /// Last schema that came in, known to fit.
    incoming: Option<SchemaRef>,
}

impl Core {
    pub fn new(schema: &Schema, options: WriterOptions) -> Result<Self, Error> {
        Ok(Self { schemas: Schemas::new(schema, &options)?, options, lanes: BTreeMap::new(), incoming: None })
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schemas.table
    }

    /// Takes rows in. Errors: [`Error::Unsupported`] for columns that are not the table's.
    pub fn push(&mut self, batch: &RecordBatch) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        if batch.num_rows() == 0 {
            return Ok(steps);
        }
        self.check(batch)?;
        let batch = conform(batch, &self.schemas.table)?;
        for (partition, rows) in shape::split(&batch, &self.options.partition_by, &self.schemas.file)? {
            let run = self.lane(&partition)?.runs.push(rows)?;
            self.write(&partition, run, &mut steps)?;
        }
        if self.lanes.values().map(|lane| lane.runs.waiting_bytes()).sum::<usize>() > WAITING_BYTES {
            self.drain(&mut steps)?;
        }
        if self.lanes.len() > OPEN_FILES {
            self.close_all(&mut steps)?;
        }
        Ok(steps)
    }

    /// Writes what waits and closes every file.
    pub fn finish(&mut self) -> Result<Vec<Step>, Error> {
        let mut steps = Vec::new();
        self.close_all(&mut steps)?;
        Ok(steps)
    }

    /// Columns go by position once their names are known to agree.
    fn check(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        if self.incoming.as_ref() == Some(batch.schema_ref()) {
            return Ok(());
        }
        let names =
            |schema: &Schema| schema.fields().iter().map(|field| field.name().clone()).collect::<Vec<_>>();
        if names(batch.schema_ref()) != names(&self.schemas.table) {
            return Err(Error::Unsupported("columns other than the table's".to_owned()));
        }
        self.incoming = Some(batch.schema());
        Ok(())
    }

    fn lane(&mut self, partition: &Partition) -> Result<&mut Lane, Error> {
        if !self.lanes.contains_key(partition) {
            let runs = Runs::new(&self.schemas.file, &self.options.sort)?;
            self.lanes.insert(partition.clone(), Lane { runs, open: None });
        }
        self.lanes.get_mut(partition).ok_or(Error::NotFound)
    }

    fn drain(&mut self, steps: &mut Vec<Step>) -> Result<(), Error> {
        let partitions: Vec<_> = self.lanes.keys().cloned().collect();
        for partition in partitions {
            let run = self.lane(&partition)?.runs.drain()?;
            self.write(&partition, run, steps)?;
        }
        Ok(())
    }

    fn close_all(&mut self, steps: &mut Vec<Step>) -> Result<(), Error> {
        self.drain(steps)?;
        for lane in mem::take(&mut self.lanes).into_values() {
            close(lane.open, steps)?;
        }
        Ok(())
    }

    fn write(&mut self, partition: &Partition, run: Option<Run>, steps: &mut Vec<Step>) -> Result<(), Error> {
        let Some(run) = run else { return Ok(()) };
        if !run.follows {
            let before = self.lane(partition)?.open.take();
            close(before, steps)?;
        }
        let mut from = 0;
        while from < run.rows.num_rows() {
            let length = SLICE_ROWS.min(run.rows.num_rows() - from);
            self.append(partition, &run.rows.slice(from, length), steps)?;
            from += length;
        }
        Ok(())
    }

    fn append(
        &mut self,
        partition: &Partition,
        rows: &RecordBatch,
        steps: &mut Vec<Step>,
    ) -> Result<(), Error> {
        let mut open = match self.lane(partition)?.open.take() {
            Some(open) => open,
            None => self.open(partition)?,
        };
        let ready = open.encoder.write(rows)?;
        if !ready.is_empty() {
            steps.push(Step::Bytes(open.name.clone(), ready));
        }
        if open.encoder.size() >= self.options.target_bytes {
            return close(Some(open), steps);
        }
        self.lane(partition)?.open = Some(open);
        Ok(())
    }

    fn open(&self, partition: &Partition) -> Result<OpenFile, Error> {
        let encoder = Encoder::new(Arc::clone(&self.schemas.file), &self.options.sort)?;
        Ok(OpenFile {
            encoder,
            name: self.options.name(),
            partition: partition.clone(),
            sort: self.options.sort.clone(),
        })
    }
}

fn close(open: Option<OpenFile>, steps: &mut Vec<Step>) -> Result<(), Error> {
    if let Some(open) = open {
        let (last, file) = open.finish(Utc::now())?;
        steps.push(Step::Done(last, file));
    }
    Ok(())
}
