//! Sources that come as files: A, B, and the market's history (query/ingest/src/sources/files).
//!
//! ```text
//! folder ─┐
//! store  ─┼─▶ new or changed ─▶ raw/<source>/day=… ─▶ worker: CSV, NDJSON, JSON, Parquet, ─▶ rows of the table:
//! HTTP   ─┤   and settled         as they came          gzip and zstd of them                 dated, in its units
//! FTP    ─┘   (Origin, Known)                           (Workers)                             (rows)
//! ```
//! The rows of a file are dated by a column of their own, else by the date in the file's name, else by the day it
//! came, less the source's lag. A file of a known content comes once, whatever its name. One that does not fit its table
//! is kept in the raw area, and the source's `drift` says what then. Foreign bytes are read by a worker process, never by
//! this one. Absent on purpose: archives of several files.

mod folder;
mod ftp;
mod http;
mod known;
mod listing;
mod nested;
mod origin;
mod rows;
mod store;
mod template;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;
use catalog::{SourceFile, SourceFiles};
use chrono::{DateTime, TimeDelta, Utc};
use identity::TableName;
use serde_json::{Value, json};
use tokio::sync::Mutex;

pub use folder::Folder;
pub use ftp::Ftp;
pub use http::Http;
pub use origin::{Names, Origin};
pub use store::Store;
pub use template::Template;

use known::{At, Known, State};
use origin::{Found, Opened, Stamp, date_in};
use rows::{Dating, Fitting};

use super::raw::{RawObject, RawStore, Stored};
use super::weather::Conversion;
use super::workers::{Unfit, Workers};
use super::{Batch, Source, SourceError, Spellings, Touched};
use crate::lakefile::{Drift, FilesSpec, JsonPath, TableSpec};
use crate::publish::{Mode, Split};

/// Files of one look that may fail before the look ends.
const FAILURES: usize = 3;

/// One place of files as a source.
pub struct Files {
    name: String,
    spec: FilesSpec,
    table: TableSpec,
    units: BTreeMap<String, Conversion>,
    paths: BTreeMap<String, JsonPath>,
    origin: Box<dyn Origin>,
    raw: RawStore,
    workers: Workers,
    catalog: SourceFiles,
    spellings: Spellings,
    known: Mutex<Known>,
    /// The file at which the source has stopped, in the state it had, and why.
    stopped: parking_lot::Mutex<Option<(Found, String)>>,
    set_aside: AtomicU64,
}

/// What a source of files is made with.
pub struct FilesParts {
    pub name: String,
    pub spec: FilesSpec,
    pub table: TableSpec,
    pub origin: Box<dyn Origin>,
    pub raw: RawStore,
    pub workers: Workers,
    pub catalog: SourceFiles,
    pub spellings: Spellings,
}

/// What became of a file that may be new.
enum Fetched {
    Stored(RawObject, Stamp),
    /// It is not there, not ready, or nothing new.
    Nothing,
}

#[async_trait]
impl Source for Files {
    fn name(&self) -> &str {
        &self.name
    }

    fn table(&self) -> &TableName {
        &self.table.name
    }

    fn mode(&self) -> (Mode, Option<Split>) {
        (Mode::Upsert { key: self.table.key.clone(), unique: false }, None)
    }

    async fn next(
        &self,
        n: i64,
        after: Option<&Value>,
        now: DateTime<Utc>,
    ) -> Result<Option<Batch>, SourceError> {
        let mut known = self.known.lock().await;
        known.update(&self.name, n, after, &self.catalog).await?;
        known.look(self.origin.as_ref(), now).await?;
        let mut failed: Vec<SourceError> = Vec::new();
        while let Some(found) = known.next(now) {
            self.go_on_after(&found)?;
            match self.fetch(n, &found, &mut known, now).await {
                Ok(Fetched::Stored(object, stamp)) => {
                    let batch = self.take(object, stamp, &found).await;
                    return batch.inspect_err(|_| known.put_back(found)).map(Some);
                }
                Ok(Fetched::Nothing) => {}
                // A file that cannot be had does not hold up those behind it, but a server that is down is not asked for all.
                Err(error) => failed.push(error),
            }
            if failed.iter().filter(|e| e.is_transient()).count() >= FAILURES {
                break;
            }
        }
        failed.into_iter().next().map_or(Ok(None), Err)
    }

    async fn replay(&self, at: Value, objects: Value) -> Result<Batch, SourceError> {
        let object = super::weather::stored(objects)?.into_iter().next();
        let object = object.ok_or_else(|| SourceError::refused("a batch without objects"))?;
        self.raw.check(&object).await?;
        // A batch that was set aside has no rows, whatever could be made of its bytes by now.
        if super::position::<At>(&at).is_ok_and(|at| at.state.refused.is_some()) {
            return Ok(empty(at, &object));
        }
        match self.rows(&object, true).await {
            Ok((rows, touched)) => Ok(Batch { position: at, objects: json!([object]), rows, touched }),
            Err(Unfit::Source(error)) => Err(error),
            Err(Unfit::File(_)) => Ok(empty(at, &object)),
        }
    }

    fn widens(&self) -> bool {
        self.spec.drift == Drift::Widen
    }

    fn set_aside(&self) -> u64 {
        self.set_aside.load(Ordering::Relaxed)
    }
}

impl Files {
    /// A source of files. Errors: [`SourceError::Refused`] for units that the lake's declaration should not have had.
    pub fn new(parts: FilesParts) -> Result<Self, SourceError> {
        let FilesParts { name, spec, table, origin, raw, workers, catalog, spellings } = parts;
        let units = spec.conversions(&table).map_err(SourceError::refused)?;
        let paths = spec.paths(&table).map_err(SourceError::refused)?;
        let (known, stopped, set_aside) =
            (Mutex::default(), parking_lot::Mutex::default(), AtomicU64::new(0));
        Ok(Self {
            name,
            spec,
            table,
            units,
            paths,
            origin,
            raw,
            workers,
            catalog,
            spellings,
            known,
            stopped,
            set_aside,
        })
    }

    /// Errors: the source has stopped at this very file.
    fn go_on_after(&self, found: &Found) -> Result<(), SourceError> {
        let mut stopped = self.stopped.lock();
        match stopped.take() {
            Some((file, reason)) if file == *found && found.stamp.is_known() => {
                let error = SourceError::refused(reason.clone());
                *stopped = Some((file, reason));
                Err(error)
            }
            _ => Ok(()),
        }
    }

    /// Brings a file into the raw area, unless its content is known or still moving.
    async fn fetch(
        &self,
        n: i64,
        found: &Found,
        known: &mut Known,
        now: DateTime<Utc>,
    ) -> Result<Fetched, SourceError> {
        let before = known.file(&found.name).map(known::stamp);
        let content = match self.origin.open(found, before.as_ref()).await? {
            Opened::Content(content) => content,
            Opened::Unchanged | Opened::Absent => return Ok(Fetched::Nothing),
        };
        let about = json!({ "file": found.name });
        let limit = self.spec.file_limit_bytes;
        let place = self.raw.place(&self.name, n, now, &found.name);
        let object = match self.raw.pour(place, content.bytes, limit, &found.origin, about).await? {
            Stored::Whole(object) => object,
            Stored::TooLong => return self.too_long(n, found, known, now).await,
        };
        let moved = content.stamp.size.is_some_and(|size| u64::try_from(size) != Ok(object.size));
        if moved || known.has(&found.name, &object.sha256) {
            self.raw.discard(&object).await?;
            if !moved {
                self.same(n, found, content.stamp, &object, known).await?;
            }
            return Ok(Fetched::Nothing);
        }
        self.raw.sign(&self.name, n, now, std::slice::from_ref(&object)).await?;
        Ok(Fetched::Stored(object, content.stamp))
    }

    /// A content that came before: nothing lands, but the file need not be asked for again.
    async fn same(
        &self,
        n: i64,
        found: &Found,
        stamp: Stamp,
        object: &RawObject,
        known: &mut Known,
    ) -> Result<(), SourceError> {
        tracing::debug!(source = self.name, file = found.name, "the file has come before");
        let refused = known.file(&found.name).and_then(|f| f.refused.clone());
        let came_at = known.file(&found.name).map_or(object.at, |f| f.came_at);
        let state = State { refused, came_at, ..state(stamp, object, None) };
        known.note(&self.name, known::file(found.name.clone(), state, n - 1), &self.catalog).await
    }

    /// A file over the limit is not kept, only known: it would be longer every time.
    async fn too_long(
        &self,
        n: i64,
        found: &Found,
        known: &mut Known,
        now: DateTime<Utc>,
    ) -> Result<Fetched, SourceError> {
        let reason = format!("the file is longer than {} bytes", self.spec.file_limit_bytes);
        self.judge(&found.name, &reason)?;
        let Stamp { size, modified_ms, tag } = found.stamp.clone();
        let (name, sha256, refused) = (found.name.clone(), String::new(), Some(reason));
        let file = SourceFile { name, size, modified_ms, tag, sha256, refused, n: n - 1, came_at: now };
        known.note(&self.name, file, &self.catalog).await?;
        Ok(Fetched::Nothing)
    }

    /// The batch of a file in the raw area.
    /// - Errors: [`SourceError::Refused`] where the source stops at a file that does not fit.
    async fn take(&self, object: RawObject, stamp: Stamp, found: &Found) -> Result<Batch, SourceError> {
        let (rows, touched, refused) = match self.rows(&object, false).await {
            Ok((rows, touched)) => (rows, touched, None),
            Err(Unfit::Source(error)) => return Err(error),
            Err(Unfit::File(reason)) => {
                let judged = self.judge(&found.name, &reason);
                judged.inspect_err(|e| *self.stopped.lock() = Some((found.clone(), told(e))))?;
                (Vec::new(), Touched::default(), Some(reason))
            }
        };
        let at = At { file: found.name.clone(), state: state(stamp, &object, refused) };
        Ok(Batch { position: json!(at), objects: json!([object]), rows, touched })
    }

    /// Sets a file aside, or stops the source at it.
    fn judge(&self, name: &str, reason: &str) -> Result<(), SourceError> {
        if self.spec.drift == Drift::Refuse {
            return Err(SourceError::refused(format!("the file `{name}` does not fit: {reason}")));
        }
        tracing::error!(source = self.name, file = name, reason, "a file is set aside");
        metrics::counter!("lakefront_source_set_aside_total", "source" => self.name.clone()).increment(1);
        self.set_aside.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// `again`: the file was taken before, so that no region of it is refused.
    async fn rows(&self, object: &RawObject, again: bool) -> Result<rows::Rows, Unfit> {
        let atlas = self.spellings.now().await.map_err(Unfit::Source)?;
        let name = object.about["file"].as_str().unwrap_or_default();
        let fitting = Fitting {
            table: &self.table,
            units: &self.units,
            dating: self.dating(name, object.at),
            paths: &self.paths,
            widens: self.spec.drift == Drift::Widen,
            came: object.at,
            atlas: &atlas,
            again,
        };
        let request = fitting.request(name);
        let decoded = self.workers.decode(&self.raw, object, request).await?;
        fitting.rows(&self.name, name, decoded).await
    }

    /// How rows without a date of their own are dated.
    fn dating(&self, name: &str, came: DateTime<Utc>) -> Dating {
        let day = date_in(name).unwrap_or(came.date_naive());
        Dating { column: self.spec.dated.clone(), day: day - TimeDelta::days(self.spec.lag_days) }
    }
}

fn state(stamp: Stamp, object: &RawObject, refused: Option<String>) -> State {
    let Stamp { size, modified_ms, tag } = stamp;
    State { size, modified_ms, tag, sha256: object.sha256.clone(), refused, came_at: object.at }
}

fn empty(position: Value, object: &RawObject) -> Batch {
    Batch { position, objects: json!([object]), rows: Vec::new(), touched: Touched::default() }
}

/// The reason alone, without the words that the error puts before it.
fn told(error: &SourceError) -> String {
    match error {
        SourceError::Refused { reason } => reason.clone(),
        other => other.to_string(),
    }
}
