//! What one commit adds and removes: the rows of a write against the newest version of its table.

use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use arrow::record_batch::RecordBatch;
use lake::{DataFile, Lake, Remove, Snapshot};

use super::conform::{conform, retypes, widened};
use super::incoming::Incoming;
use super::rewrite::{Going, Rewrite, read_file, rewrite};
use super::split::split;
use super::terms::{Attempt, Terms, options};
use super::widen::joined;
use super::{Error, Mode};

/// What a commit adds and removes.
pub(super) struct Change {
    pub add: Vec<DataFile>,
    pub remove: Remove,
    pub schema: Option<SchemaRef>,
    pub read_version: Option<i64>,
}

/// A write with its rows at hand.
pub(super) struct Changing<'a> {
    pub lake: &'a Lake,
    pub attempt: &'a Attempt<'a>,
    pub incoming: &'a Incoming,
    pub write: &'a Terms,
}

impl Changing<'_> {
    /// The change that the newest version of the table asks for; its new files are stored.
    pub async fn change(&self) -> Result<Change, Error> {
        let snapshot = self.attempt.newest(self.lake, self.incoming).await?;
        let replaces = matches!(self.write.mode, Mode::Overwrite);
        let schema = match (replaces, self.write.widen) {
            (true, _) => Arc::clone(self.incoming.schema()),
            (false, false) => widened(snapshot.schema(), self.incoming.schema()),
            (false, true) => joined(&snapshot, self.incoming)?,
        };
        let rewrite = match self.going(&schema)? {
            Some(going) => rewrite(self.lake, &snapshot, &schema, &going).await?,
            None => Rewrite::default(),
        };
        if retypes(snapshot.schema(), &schema) && !replaces {
            return self.retype(rewrite, &snapshot, schema).await;
        }
        let (remove, read_version) = match &self.write.mode {
            Mode::Append => (Remove::None, None),
            Mode::Overwrite => (Remove::All, None),
            Mode::ReplaceFiles { remove, read_version } => {
                (Remove::Files(remove.clone()), Some(*read_version))
            }
            _ => (Remove::Files(rewrite.removed), Some(snapshot.version())),
        };
        let add = self.store(rewrite.kept, &schema).await?;
        let schema = (schema != *snapshot.schema()).then_some(schema);
        Ok(Change { add, remove, schema, read_version })
    }

    /// Which rows of the table go before the new ones come.
    fn going(&self, schema: &SchemaRef) -> Result<Option<Going>, Error> {
        let shaped = |rows: &[RecordBatch]| {
            rows.iter().map(|batch| conform(batch, schema)).collect::<Result<Vec<_>, _>>()
        };
        match (&self.write.mode, self.incoming) {
            (Mode::Upsert { key, .. }, Incoming::Memory(_, rows)) => {
                Going::keys(schema, key, &shaped(rows)?).map(Some)
            }
            (Mode::Upsert { .. }, Incoming::Stored(..)) => {
                Err(Error::Schema("an upsert of finished files names the files it replaces".to_owned()))
            }
            (Mode::ReplaceKeys { key, keys }, _) => Going::keys(schema, key, &shaped(keys)?).map(Some),
            (Mode::ReplaceWindow { column, windows }, _) => {
                Ok(Some(Going::Windows { column: column.clone(), windows: windows.clone() }))
            }
            (Mode::Append | Mode::Overwrite | Mode::ReplaceFiles { .. }, _) => Ok(None),
        }
    }

    /// A change after which columns that were there are of wider types: every file is written anew, one after the other.
    async fn retype(
        &self,
        rewrite: Rewrite,
        snapshot: &Snapshot,
        schema: SchemaRef,
    ) -> Result<Change, Error> {
        let mut add = Vec::new();
        for file in snapshot.files().iter().filter(|file| !rewrite.removed.contains(&file.path)) {
            let rows = read_file(self.lake, snapshot.location(), file, &schema).await?;
            add.extend(self.files(&rows, &schema).await?);
        }
        add.extend(self.store(rewrite.kept, &schema).await?);
        let read_version = Some(snapshot.version());
        Ok(Change { add, remove: Remove::All, schema: Some(schema), read_version })
    }

    /// The commit's files: those that are stored already, and new ones of what is in memory.
    async fn store(&self, mut rows: Vec<RecordBatch>, schema: &SchemaRef) -> Result<Vec<DataFile>, Error> {
        let mut files = Vec::new();
        match self.incoming {
            Incoming::Stored(_, stored) => files.extend(stored.iter().cloned()),
            Incoming::Memory(_, batches) => {
                for batch in batches {
                    rows.push(conform(batch, schema)?);
                }
            }
        }
        for part in split(rows, self.write.split.as_ref())?.into_values() {
            files.extend(self.files(&part, schema).await?);
        }
        Ok(files)
    }

    async fn files(&self, rows: &[RecordBatch], schema: &SchemaRef) -> Result<Vec<DataFile>, Error> {
        let mut writer = self.lake.writer(&self.attempt.at, Arc::clone(schema), options(self.attempt))?;
        for batch in rows {
            writer.write(batch).await?;
        }
        Ok(writer.finish().await?)
    }
}
