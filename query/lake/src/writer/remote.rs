//! Writes a table's files straight into the store.

use std::collections::HashMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use object_store::ObjectStore;

use super::WriterOptions;
use super::core::{Core, Step};
use crate::store::Upload;
use crate::{DataFile, Error, Location, failpoint};

/// Uploads Parquet files under new names; they belong to nothing until a commit adds them.
///
/// Dropped before [`FileWriter::finish`], finished files stay behind as orphans: prefer [`FileWriter::abort`].
pub struct FileWriter {
    core: Core,
    store: Arc<dyn ObjectStore>,
    location: Location,
    part_bytes: usize,
    uploads: HashMap<String, Upload>,
    done: Vec<DataFile>,
}

impl FileWriter {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        part_bytes: usize,
        location: Location,
        schema: &Schema,
        options: WriterOptions,
    ) -> Result<Self, Error> {
        let core = Core::new(schema, options)?;
        Ok(Self { core, store, location, part_bytes, uploads: HashMap::new(), done: Vec::new() })
    }

    /// The schema that is stored: normalised, partition columns included.
    pub fn schema(&self) -> &SchemaRef {
        self.core.schema()
    }

    /// Adds rows. Columns must have the table's names, in its order; types are normalised.
    /// Errors: [`Error::Unsupported`] for other columns, [`Error::StorageFull`], [`Error::Unavailable`].
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<(), Error> {
        let steps = self.core.push(batch)?;
        self.take(steps).await
    }

    /// Completes all files. No rows, no files. Call it before the commit that names them.
    pub async fn finish(mut self) -> Result<Vec<DataFile>, Error> {
        let steps = self.core.finish()?;
        self.take(steps).await?;
        Ok(std::mem::take(&mut self.done))
    }

    /// Removes what was uploaded so far.
    pub async fn abort(mut self) -> Result<(), Error> {
        for upload in std::mem::take(&mut self.uploads).into_values() {
            upload.abort().await;
        }
        for file in &self.done {
            crate::store::delete(self.store.as_ref(), &self.location.file(&file.path)).await?;
        }
        Ok(())
    }

    async fn take(&mut self, steps: Vec<Step>) -> Result<(), Error> {
        for step in steps {
            match step {
                Step::Bytes(name, bytes) => self.upload(&name).write(bytes).await?,
                Step::Done(last, file) => {
                    let mut upload =
                        self.uploads.remove(&file.path).unwrap_or_else(|| self.begin(&file.path));
                    upload.write(last).await?;
                    failpoint("lake.before-file");
                    upload.finish().await?;
                    failpoint("lake.after-file");
                    self.done.push(file);
                }
            }
        }
        Ok(())
    }

    fn upload(&mut self, name: &str) -> &mut Upload {
        let (store, path) = (&self.store, self.location.file(name));
        let new = || Upload::new(Arc::clone(store), path, self.part_bytes);
        self.uploads.entry(name.to_owned()).or_insert_with(new)
    }

    fn begin(&self, name: &str) -> Upload {
        Upload::new(Arc::clone(&self.store), self.location.file(name), self.part_bytes)
    }
}
