//! Small files become larger ones with the same rows.
//!
//! Files are taken by tiers of size, so that a byte is rewritten a few times in its life and not at every round.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow::array::RecordBatch;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::physical_plan::SendableRecordBatchStream;
use datafusion::prelude::{DataFrame, SessionConfig, SessionContext, ident};
use futures::StreamExt as _;
use identity::IntentId;

use crate::snapshot::Snapshot;
use crate::{
    Commit, CommitError, DataFile, Error, FileWriter, Lake, Location, Remove, Version, WriterOptions,
    failpoint, months,
};

/// Bytes of the smallest tier; each further tier holds files eight times as large.
const FIRST_TIER_BYTES: u64 = 64 << 10;
const TIER_FACTOR: u64 = 8;
/// Bytes rewritten in one call at most.
const CALL_BYTES: u64 = 1 << 30;
/// Memory for sorting; beyond it goes to disk.
const SORT_BYTES: usize = 256 << 20;

/// What is worth a rewrite.
#[derive(Clone, Debug)]
pub struct CompactOptions {
    /// Files of half this size and more are left alone; new ones are cut there.
    pub target_bytes: u64,
    /// Files of one tier that make a rewrite worth it.
    pub min_files: usize,
    /// The order of the new files.
    pub sort: Vec<String>,
    /// The date or instant by whose month rows stay apart: no new file holds two of them. Absent: they need not.
    pub months: Option<String>,
}

impl Default for CompactOptions {
    fn default() -> Self {
        Self { target_bytes: 128 << 20, min_files: 8, sort: Vec::new(), months: None }
    }
}

/// What a compaction did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compacted {
    pub version: Version,
    /// Files that went, and that came instead.
    pub files_before: usize,
    pub files_after: usize,
    /// Bytes of the new files.
    pub bytes: u64,
}

type Partition = BTreeMap<String, Option<String>>;

impl Lake {
    /// Rewrites what is worth it in one commit that changes no rows; `None` if nothing is.
    /// Errors: [`CommitError::Conflict`] if somebody changed those files meanwhile: nothing happened, try later.
    pub async fn compact(
        &self,
        at: &Location,
        options: &CompactOptions,
        intent: IntentId,
    ) -> Result<Option<Compacted>, CommitError> {
        let Some(snapshot) = self.newest(at).await? else { return Ok(None) };
        let heaps = heaps(&snapshot, options);
        if heaps.is_empty() {
            return Ok(None);
        }
        let mut add = Vec::new();
        for heap in &heaps {
            add.extend(self.rewrite(&snapshot, heap.clone(), options, intent).await?);
        }
        failpoint("compact.before-commit");
        let removed: Vec<_> = heaps.iter().flatten().map(|file| file.path.clone()).collect();
        let (files_before, files_after, bytes) =
            (removed.len(), add.len(), add.iter().map(|file| file.size).sum());
        let commit = Commit {
            add: add.clone(),
            remove: Remove::Files(removed),
            changes_data: false,
            ..Commit::new(intent, "OPTIMIZE")
        };
        match self.commit(at, commit).await {
            Ok(done) => Ok(Some(Compacted { version: done.version, files_before, files_after, bytes })),
            Err(error) => {
                self.give_up(at, &add, &error).await;
                Err(error)
            }
        }
    }

    /// Takes the new files away again, unless they may have become part of the table.
    async fn give_up(&self, at: &Location, files: &[DataFile], error: &CommitError) {
        if matches!(error, CommitError::Unknown(_)) {
            return;
        }
        for file in files {
            if let Err(error) = self.objects().delete(at.file(&file.path).as_ref()).await {
                tracing::warn!(%error, "a file of an abandoned compaction stays until vacuum");
            }
        }
    }

    async fn rewrite(
        &self,
        snapshot: &Arc<Snapshot>,
        files: Vec<Arc<DataFile>>,
        options: &CompactOptions,
        intent: IntentId,
    ) -> Result<Vec<DataFile>, Error> {
        let rows: u64 = files.iter().map(|file| file.rows).sum();
        let mut stream = self.rows_of(snapshot, files, &options.sort).await?;
        let writing = WriterOptions {
            partition_by: snapshot.partition_columns().to_vec(),
            sort: options.sort.clone(),
            target_bytes: options.target_bytes,
            prefix: intent.to_string(),
        };
        let mut writers: BTreeMap<Option<i64>, FileWriter> = BTreeMap::new();
        while let Some(batch) = stream.next().await {
            for (month, rows) in apart(batch?, options.months.as_deref())? {
                let writer = match writers.entry(month) {
                    Entry::Occupied(writer) => writer.into_mut(),
                    Entry::Vacant(place) => {
                        let (at, schema) = (snapshot.location(), Arc::clone(snapshot.schema()));
                        place.insert(self.writer(at, schema, writing.clone())?)
                    }
                };
                writer.write(&rows).await?;
            }
        }
        let mut written = Vec::new();
        for writer in writers.into_values() {
            written.extend(writer.finish().await?);
        }
        // the one thing that must hold, whatever went wrong above
        if written.iter().map(|file| file.rows).sum::<u64>() != rows {
            return Err(Error::internal("a compaction lost or made rows"));
        }
        Ok(written)
    }

    async fn rows_of(
        &self,
        snapshot: &Arc<Snapshot>,
        files: Vec<Arc<DataFile>>,
        sort: &[String],
    ) -> Result<SendableRecordBatchStream, Error> {
        let runtime = RuntimeEnvBuilder::new().with_memory_limit(SORT_BYTES, 1.0).build_arc()?;
        let config = SessionConfig::new().with_target_partitions(1);
        let context = SessionContext::new_with_config_rt(config, runtime);
        let table = self.files_provider(snapshot, files, sort);
        let columns: Vec<_> = snapshot.schema().fields().iter().map(|field| ident(field.name())).collect();
        let rows: DataFrame = context.read_table(table)?.select(columns)?;
        let rows = if sort.is_empty() {
            rows
        } else {
            rows.sort(sort.iter().map(|name| ident(name).sort(true, false)).collect())?
        };
        Ok(rows.execute_stream().await?)
    }
}

/// A batch by the months of a column; as one without it.
fn apart(batch: RecordBatch, months: Option<&str>) -> Result<BTreeMap<Option<i64>, RecordBatch>, Error> {
    match months {
        Some(column) => months::of_rows(&batch, column),
        None => Ok(BTreeMap::from([(None, batch)])),
    }
}

/// Heaps of files that are worth becoming one, within the bytes of one call.
fn heaps(snapshot: &Snapshot, options: &CompactOptions) -> Vec<Vec<Arc<DataFile>>> {
    let mut tiers: BTreeMap<(u32, Partition, Option<i64>), Vec<Arc<DataFile>>> = BTreeMap::new();
    for file in snapshot.files().iter().filter(|file| file.size < options.target_bytes / 2) {
        let month = options.months.as_ref().and_then(|by| months::of_file(file, by, snapshot.schema()));
        tiers.entry((tier(file.size), file.partition.clone(), month)).or_default().push(Arc::clone(file));
    }
    let mut left = CALL_BYTES;
    let worth = tiers.into_values().filter(|files| files.len() >= options.min_files.max(2));
    let mut fits = |files: &Vec<Arc<DataFile>>| {
        let bytes = files.iter().map(|file| file.size).sum();
        let fits = bytes <= left;
        left = left.saturating_sub(bytes);
        fits
    };
    worth.map(|files| within(files, CALL_BYTES)).take_while(|files| fits(files)).collect()
}

/// The first files that together have no more than `most` bytes.
fn within(files: Vec<Arc<DataFile>>, most: u64) -> Vec<Arc<DataFile>> {
    let mut bytes = 0;
    let count = files.iter().take_while(|file| {
        bytes += file.size;
        bytes <= most
    });
    let count = count.count();
    files.into_iter().take(count).collect()
}

fn tier(size: u64) -> u32 {
    (size / FIRST_TIER_BYTES).checked_ilog(TIER_FACTOR).map_or(0, |tier| tier + 1)
}
