//! The same writer into a local folder: a worker's scratch, from which the gateway adopts the files.

use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};

use super::WriterOptions;
use super::core::{Core, Step};
use crate::{DataFile, Error};

/// Writes files into a folder; blocking, made for a worker's own thread.
pub struct LocalWriter {
    core: Core,
    folder: PathBuf,
    files: HashMap<String, File>,
    done: Vec<DataFile>,
}

impl LocalWriter {
    /// `folder` exists. Errors: [`Error::Unsupported`] for a schema that cannot be stored.
    pub fn create(folder: &Path, schema: &Schema, options: WriterOptions) -> Result<Self, Error> {
        let core = Core::new(schema, options)?;
        Ok(Self { core, folder: folder.to_owned(), files: HashMap::new(), done: Vec::new() })
    }

    /// The schema that is stored: normalised, partition columns included.
    pub fn schema(&self) -> &SchemaRef {
        self.core.schema()
    }

    /// Adds rows; columns have the given schema's names, in its order.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let steps = self.core.push(batch)?;
        self.take(steps)
    }

    /// Completes all files; [`DataFile::path`] is the name inside the folder.
    pub fn finish(mut self) -> Result<Vec<DataFile>, Error> {
        let steps = self.core.finish()?;
        self.take(steps)?;
        Ok(self.done)
    }

    fn take(&mut self, steps: Vec<Step>) -> Result<(), Error> {
        for step in steps {
            match step {
                Step::Bytes(name, bytes) => self.open(&name)?.write_all(&bytes)?,
                Step::Done(last, file) => {
                    self.open(&file.path)?.write_all(&last)?;
                    self.files.remove(&file.path);
                    self.done.push(file);
                }
            }
        }
        Ok(())
    }

    fn open(&mut self, name: &str) -> Result<&mut File, Error> {
        if !self.files.contains_key(name) {
            let file = OpenOptions::new().write(true).create_new(true).open(self.folder.join(name))?;
            self.files.insert(name.to_owned(), file);
        }
        self.files.get_mut(name).ok_or(Error::NotFound)
    }
}
