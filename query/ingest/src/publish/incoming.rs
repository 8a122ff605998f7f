//! New rows on their way into a table: in memory, or already files of the lake.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use futures::TryStreamExt;
use lake::{DataFile, Lake};

use super::conform::{conform, widened};
use super::keys::KeyReader;
use super::terms::{Attempt, Terms, options};
use super::{Error, Finished, Mode, Rows};

/// New rows in hand, or already files of the lake.
pub(super) enum Incoming {
    Memory(SchemaRef, Vec<RecordBatch>),
    Stored(SchemaRef, Vec<DataFile>),
}

impl Incoming {
    /// Takes the rows of a write. Streams that need no second look go straight into files.
    pub async fn take(lake: &Lake, attempt: &Attempt<'_>, rows: Rows, write: &Terms) -> Result<Self, Error> {
        match rows {
            Rows::Finished(schema, files) => Self::adopt(lake, attempt, &schema, files).await,
            Rows::Batches(schema, batches) => Self::normal(&schema, batches),
            Rows::Stream(mut stream) if write.split.is_none() && matches!(write.mode, Mode::Overwrite) => {
                let schema = lake::normalise_schema(&stream.schema())?;
                let mut writer = lake.writer(&attempt.at, Arc::clone(&schema), options(attempt))?;
                while let Some(batch) = stream.try_next().await? {
                    writer.write(&batch).await?;
                }
                Ok(Self::Stored(schema, writer.finish().await?))
            }
            Rows::Stream(stream) => {
                let schema = stream.schema();
                Self::normal(&schema, stream.try_collect().await?)
            }
        }
    }

    async fn adopt(
        lake: &Lake,
        attempt: &Attempt<'_>,
        schema: &SchemaRef,
        files: Vec<Finished>,
    ) -> Result<Self, Error> {
        let prefix = attempt.intent.to_string();
        let mut adopted = Vec::with_capacity(files.len());
        for finished in files {
            adopted.push(lake.adopt(&attempt.at, &finished.local, finished.file, &prefix).await?);
        }
        Ok(Self::Stored(lake::normalise_schema(schema)?, adopted))
    }

    fn normal(schema: &SchemaRef, batches: Vec<RecordBatch>) -> Result<Self, Error> {
        let schema = lake::normalise_schema(schema)?;
        let batches = batches.iter().map(lake::normalise_batch).collect::<Result<_, _>>()?;
        Ok(Self::Memory(schema, batches))
    }

    pub fn schema(&self) -> &SchemaRef {
        match self {
            Self::Memory(schema, _) | Self::Stored(schema, _) => schema,
        }
    }

    /// In an upsert, each new key once; in columns of the types that they have in `table`.
    pub fn each_key_once(self, mode: &Mode, table: &SchemaRef) -> Result<Self, Error> {
        match (self, mode) {
            (Self::Memory(schema, batches), Mode::Upsert { key, unique }) if !batches.is_empty() => {
                let schema = widened(table, &schema);
                let shaped: Vec<_> =
                    batches.iter().map(|batch| conform(batch, &schema)).collect::<Result<_, _>>()?;
                let each = KeyReader::new(&schema, key)?.last_of_each(&schema, &shaped, *unique)?;
                Ok(Self::Memory(schema, vec![each]))
            }
            (incoming, _) => Ok(incoming),
        }
    }
}
