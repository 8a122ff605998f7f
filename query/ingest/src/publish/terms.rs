//! What a write is made of on its way: its terms, its commit, its draft for the catalog.

use std::sync::Arc;

use catalog::{BatchMark, IntentKind, Kind, Publish, Table, Touched};
use chrono::{DateTime, Utc};
use identity::IntentId;
use lake::{Commit, Lake, Location, Snapshot, WriterOptions};
use serde_json::json;

use super::change::Change;
use super::incoming::Incoming;
use super::{Error, Mode, Regions, Rejects, Rows, SourceBatch, Split, Write};

/// A write without its rows, which can be read only once and by one thread.
pub(super) struct Terms {
    pub mode: Mode,
    pub split: Option<Split>,
    pub txn: Option<(String, i64)>,
    pub regions: Regions,
    pub days: Option<catalog::Days>,
    pub batch: Option<SourceBatch>,
    pub metadata: serde_json::Map<String, serde_json::Value>,
    pub widen: bool,
    pub columns: Option<Vec<catalog::Column>>,
    pub rejects: Option<Rejects>,
    pub job: Option<catalog::JobOutcome>,
    pub answer: Option<catalog::Answer>,
    pub at: DateTime<Utc>,
}

pub(super) fn terms(write: Write) -> (Rows, Terms) {
    let Write {
        rows,
        mode,
        split,
        txn,
        regions,
        days,
        batch,
        metadata,
        widen,
        columns,
        rejects,
        job,
        answer,
        at,
    } = write;
    let terms =
        Terms { mode, split, txn, regions, days, batch, metadata, widen, columns, rejects, job, answer, at };
    (rows, terms)
}

/// A write on its way.
pub(super) struct Attempt<'a> {
    pub table: &'a Table,
    pub at: Location,
    pub intent: IntentId,
}

impl Attempt<'_> {
    /// The table as it is in the log; made now if this is its first write.
    pub async fn newest(&self, lake: &Lake, incoming: &Incoming) -> Result<Arc<Snapshot>, Error> {
        let version = match lake.latest(&self.at).await? {
            Some(version) => version,
            None => lake.create(&self.at, Arc::clone(incoming.schema()), &[]).await?,
        };
        Ok(lake.snapshot(&self.at, version).await?)
    }
}

/// Nothing to write, and nothing that only a version could carry.
pub(super) fn is_void(table: &Table, rows: &Rows, write: &Terms) -> bool {
    let empty = match rows {
        Rows::Batches(_, batches) => batches.iter().all(|batch| batch.num_rows() == 0),
        Rows::Finished(_, files) => files.is_empty(),
        Rows::Stream(_) => false,
    };
    let adds = matches!(write.mode, Mode::Append | Mode::Upsert { .. });
    let carries =
        write.job.is_some() || write.answer.is_some() || write.rejects.is_some() || write.columns.is_some();
    empty && adds && !carries && table.version.is_some()
}

/// After a conflict, what was computed from an older version is computed again; files that came finished cannot be stored twice.
pub(super) fn may_redo(incoming: &Incoming, mode: &Mode) -> bool {
    matches!(incoming, Incoming::Memory(..)) && !matches!(mode, Mode::ReplaceFiles { .. })
}

pub(super) fn options(attempt: &Attempt<'_>) -> WriterOptions {
    WriterOptions {
        sort: attempt.table.sort.clone(),
        prefix: attempt.intent.to_string(),
        ..WriterOptions::default()
    }
}

pub(super) fn commit_of(attempt: &Attempt<'_>, write: &Terms, change: &Change) -> Commit {
    let mut commit = Commit::new(attempt.intent, operation(&write.mode));
    commit.txn = write.txn.clone();
    commit.add = change.add.clone();
    commit.remove = change.remove.clone();
    commit.schema = change.schema.clone();
    commit.read_version = change.read_version;
    commit.metadata = write.metadata.clone();
    commit
}

pub(super) fn draft(attempt: &Attempt<'_>, write: &Terms) -> Publish {
    let rejects = write.rejects.clone().unwrap_or_default();
    Publish {
        columns: write.columns.clone(),
        rejects: rejects.count,
        rejected: json!(rejects.rows),
        touched: match &write.regions {
            Regions::None | Regions::All => Touched::Everything,
            Regions::These(regions) => Touched::Regions(regions.iter().cloned().collect()),
        },
        days: write.days.clone(),
        batch: write.batch.as_ref().map(mark),
        job: write.job.clone(),
        answer: write.answer.clone(),
        operation: operation(&write.mode).to_lowercase(),
        ..Publish::new(attempt.intent, attempt.table.id, 0, write.at)
    }
}

pub(super) fn mark(batch: &SourceBatch) -> BatchMark {
    BatchMark { source: batch.source.clone(), n: batch.n, position: batch.position.clone() }
}

pub(super) fn operation(mode: &Mode) -> &'static str {
    match mode {
        Mode::Append => "APPEND",
        Mode::Overwrite => "OVERWRITE",
        Mode::Upsert { .. } | Mode::ReplaceFiles { .. } => "UPSERT",
        Mode::ReplaceKeys { .. } | Mode::ReplaceWindow { .. } => "REPLACE",
    }
}

pub(super) fn kind_of(table: &Table, mode: &Mode) -> IntentKind {
    match mode {
        _ if table.kind == Kind::Materialised => IntentKind::Materialise,
        _ if table.version.is_none() => IntentKind::Create,
        Mode::Overwrite => IntentKind::Replace,
        _ => IntentKind::Write,
    }
}
