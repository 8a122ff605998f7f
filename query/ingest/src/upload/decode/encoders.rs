//! Parquet files of consecutive rows, encoded side by side: encoding costs more than all the rest of a conversion.
//!
//! ```text
//! batches in the file's order ─▶ segment 1 ─▶ thread ─▶ file 1 ┐
//!                             ─▶ segment 2 ─▶ thread ─▶ file 2 ┴─▶ files in the order of their rows
//! ```

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{Builder, JoinHandle};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use lake::{DataFile, LocalWriter, WriterOptions};

use super::fault::Stop;
use super::output::of_lake;

/// Bytes of rows in memory after which the next file begins.
const SEGMENT_BYTES: usize = 64 << 20;
/// Batches that wait for an encoder; a segment has fewer.
const WAITING: usize = 256;

type Files = Result<Vec<DataFile>, lake::Error>;

/// Encoders of one conversion.
pub struct Encoders {
    folder: PathBuf,
    schema: SchemaRef,
    most: usize,
    open: Option<(SyncSender<RecordBatch>, JoinHandle<Files>)>,
    /// Bytes given to the open segment.
    given: usize,
    ending: VecDeque<JoinHandle<Files>>,
    files: Vec<DataFile>,
}

impl Encoders {
    /// At most `most` threads write files of `schema` into `folder`.
    pub fn new(folder: PathBuf, schema: SchemaRef, most: usize) -> Self {
        Self {
            folder,
            schema,
            most: most.max(1),
            open: None,
            given: 0,
            ending: VecDeque::new(),
            files: Vec::new(),
        }
    }

    /// Takes rows; they come out in this order. Errors: what an encoder says, perhaps of rows before.
    pub fn write(&mut self, batch: RecordBatch) -> Result<(), Stop> {
        if self.given >= SEGMENT_BYTES {
            self.close()?;
        }
        self.given += batch.get_array_memory_size();
        let sender = match &self.open {
            Some((sender, _)) => sender,
            None => &self.open.insert(self.begin()?).0,
        };
        // An encoder that no longer listens has failed: its error is told when it is joined.
        if sender.send(batch).is_err() {
            self.close()?;
        }
        Ok(())
    }

    /// All files, in the order of their rows.
    pub fn finish(&mut self) -> Result<Vec<DataFile>, Stop> {
        self.close()?;
        while let Some(encoder) = self.ending.pop_front() {
            self.join(encoder)?;
        }
        Ok(std::mem::take(&mut self.files))
    }

    fn begin(&self) -> Result<(SyncSender<RecordBatch>, JoinHandle<Files>), Stop> {
        let (sender, batches) = sync_channel(WAITING);
        let (folder, schema) = (self.folder.clone(), Arc::clone(&self.schema));
        let thread =
            Builder::new().name("encode".to_owned()).spawn(move || encode(folder, &schema, &batches))?;
        Ok((sender, thread))
    }

    fn close(&mut self) -> Result<(), Stop> {
        self.given = 0;
        if let Some((_, encoder)) = self.open.take() {
            self.ending.push_back(encoder);
        }
        while self.ending.len() >= self.most {
            let Some(first) = self.ending.pop_front() else { break };
            self.join(first)?;
        }
        Ok(())
    }

    fn join(&mut self, encoder: JoinHandle<Files>) -> Result<(), Stop> {
        let files = encoder.join().map_err(|_| Stop::Io(std::io::Error::other("an encoder panicked")))?;
        self.files.extend(files.map_err(of_lake)?);
        Ok(())
    }
}

impl Drop for Encoders {
    /// Nobody writes into the folder any more when this is over.
    fn drop(&mut self) {
        let open = self.open.take().map(|(_, encoder)| encoder);
        for encoder in self.ending.drain(..).chain(open) {
            let _ = encoder.join();
        }
    }
}

fn encode(folder: PathBuf, schema: &SchemaRef, batches: &Receiver<RecordBatch>) -> Files {
    let mut writer = LocalWriter::create(&folder, schema, WriterOptions::default())?;
    for batch in batches {
        writer.write(&batch)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array};

    fn batch(from: i64) -> RecordBatch {
        RecordBatch::try_from_iter([(
            "n",
            Arc::new(Int64Array::from_iter_values(from..from + 1_000_000)) as ArrayRef,
        )])
        .unwrap()
    }

    #[test]
    fn files_come_in_the_order_of_their_rows() {
        let folder = tempfile::tempdir().unwrap();
        let mut encoders = Encoders::new(folder.path().to_owned(), batch(0).schema(), 2);
        (0..30).for_each(|n| encoders.write(batch(n * 1_000_000)).unwrap());
        let files = encoders.finish().unwrap();
        let starts: Vec<_> = files.iter().map(|file| file.min["n"].as_i64().unwrap()).collect();
        assert!(starts.len() > 2 && starts.is_sorted(), "{starts:?}");
        assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 30_000_000);
    }

    #[test]
    fn a_failed_encoder_is_told_and_the_others_end() {
        let mut encoders = Encoders::new("/nonexistent/folder".into(), batch(0).schema(), 2);
        let written: Result<(), Stop> = (0..300).try_for_each(|n| encoders.write(batch(n)));
        assert!(written.is_err() || encoders.finish().is_err());
    }
}
