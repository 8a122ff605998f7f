//! Where the bytes of files are read: in a worker process, as customers' files are, because they are as foreign.
//!
//! The lake's own files are a workspace of their own to the pool, so no process ever sees a customer's file and one of these.

use std::io;
use std::ops::Range;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use identity::WorkspaceId;
use lake::Objects;
use tokio::runtime::Handle;
use worker::{Class, Lease, Pool, PoolConfig};

use super::raw::{RawObject, RawStore};
use super::{SourceError, SourceError::Unavailable};
use crate::upload::Error;
use crate::upload::decode::request::{DecodeRequest, Decoded};
use crate::upload::worker_task;

/// Time that a file waits for a worker, and that its conversion may take.
const QUEUE: Duration = Duration::from_secs(60);
const TASK: Duration = Duration::from_secs(600);

/// The worker processes of this program, started when they are first needed. Cheap to clone.
#[derive(Clone)]
pub struct Workers(Arc<Kind>);

enum Kind {
    Processes {
        config: Box<PoolConfig>,
        runtime: Handle,
        pool: parking_lot::Mutex<Option<Pool>>,
        lake: WorkspaceId,
    },
    /// The conversion in this process: for tests, which have no binary.
    #[cfg(test)]
    Here,
}

/// Why there are no rows.
pub enum Unfit {
    /// The file is wrong: the reason, in words for the operator.
    File(String),
    /// The file was not judged.
    Source(SourceError),
}

/// A converted file. Its Parquet files are there as long as the value is.
pub struct Decoding {
    pub decoded: Decoded,
    scratch: Scratch,
}

enum Scratch {
    Lease(Lease),
    #[cfg(test)]
    Folder(tempfile::TempDir),
}

impl Workers {
    /// Workers by these settings. To be called on the runtime that is to carry their sockets.
    pub fn new(config: PoolConfig) -> Self {
        let (config, runtime) = (Box::new(config), Handle::current());
        let (pool, lake) = (parking_lot::Mutex::default(), WorkspaceId::new());
        Self(Arc::new(Kind::Processes { config, runtime, pool, lake }))
    }

    /// Conversions in this process.
    #[cfg(test)]
    pub fn here() -> Self {
        Self(Arc::new(Kind::Here))
    }

    /// The pool, started now if it was not. Errors: its folder cannot be made.
    pub fn pool(&self) -> io::Result<Pool> {
        match self.0.as_ref() {
            Kind::Processes { config, runtime, pool, .. } => {
                let mut pool = pool.lock();
                if let Some(pool) = pool.as_ref() {
                    return Ok(pool.clone());
                }
                let _on_the_runtime = runtime.enter();
                Ok(pool.insert(Pool::start((**config).clone())?).clone())
            }
            #[cfg(test)]
            Kind::Here => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Converts a raw object to Parquet.
    /// - Errors: [`Unfit::File`] for what is wrong with the file, its converter's death included; [`Unfit::Source`] when no
    ///   worker is to be had, which may be tried again.
    pub(super) async fn decode(
        &self,
        raw: &RawStore,
        object: &RawObject,
        request: DecodeRequest,
    ) -> Result<Decoding, Unfit> {
        let files = Arc::new(RawFile { objects: raw.objects().clone(), object: object.clone() });
        match self.0.as_ref() {
            Kind::Processes { lake, .. } => {
                let pool = self.pool().map_err(|e| unavailable(&e))?;
                let lease = pool.lease(*lake, Class::Long, Instant::now() + QUEUE).await;
                let mut lease = lease.map_err(|e| unavailable(&e))?;
                let done = worker_task::decode(&mut lease, &request, files, TASK).await;
                let (decoded, _) = done.map_err(judged)?;
                Ok(Decoding { decoded, scratch: Scratch::Lease(lease) })
            }
            #[cfg(test)]
            Kind::Here => here(request, files).await,
        }
    }
}

impl Decoding {
    /// The finished files. Errors: the worker names what is none of its own.
    pub fn files(&self) -> Result<Vec<PathBuf>, Unfit> {
        let scratch = match &self.scratch {
            Scratch::Lease(lease) => lease.scratch(),
            #[cfg(test)]
            Scratch::Folder(folder) => folder.path(),
        };
        self.decoded.files.iter().map(|file| own(scratch, &file.path)).collect()
    }
}

/// A plain file below the folder, and nothing that only leads to one.
fn own(scratch: &Path, path: &str) -> Result<PathBuf, Unfit> {
    let plain = Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
    let whole = scratch.join(path);
    let there = plain && std::fs::symlink_metadata(&whole).is_ok_and(|about| about.is_file());
    if there { Ok(whole) } else { Err(Unfit::File("its conversion gave no file".to_owned())) }
}

/// What the worker may read: this object.
struct RawFile {
    objects: Objects,
    object: RawObject,
}

#[async_trait]
impl worker::Files for RawFile {
    async fn size(&self, index: usize) -> io::Result<u64> {
        if index == 0 { Ok(self.object.size) } else { Err(io::ErrorKind::NotFound.into()) }
    }

    async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        self.size(index).await?;
        self.objects.get_range(&self.object.path, range).await.map_err(io::Error::other)
    }
}

fn judged(error: Error) -> Unfit {
    match error {
        Error::Refused { detail, .. } => Unfit::File(detail),
        other => unavailable(&other),
    }
}

fn unavailable(error: &dyn std::error::Error) -> Unfit {
    let reason = match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    };
    Unfit::Source(Unavailable {
        reason: format!("no worker read the file: {reason}"),
        retry_after_secs: None,
    })
}

#[cfg(test)]
async fn here(request: DecodeRequest, files: Arc<dyn worker::Files>) -> Result<Decoding, Unfit> {
    let folder = tempfile::tempdir().unwrap();
    let task = worker::Task {
        kind: "files".into(),
        request: serde_json::to_value(request).unwrap(),
        files: worker::FileClient::here(files),
        scratch: folder.path().to_owned(),
        deadline: Instant::now() + TASK,
        limits: Arc::new(worker::Limits { threads: 2, ..worker::Limits::default() }),
    };
    match crate::upload::decode::decode(task).await {
        Ok(reply) => {
            let decoded = serde_json::from_value(reply.head).unwrap();
            Ok(Decoding { decoded, scratch: Scratch::Folder(folder) })
        }
        Err(refusal) => Err(Unfit::File(refusal.detail)),
    }
}
