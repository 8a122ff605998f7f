//! The conversion of a file, in a worker process that sees this file and nothing else.

use std::io;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use bytes::Bytes;
use lake::{DataFile, Lake, Location, failpoint};
use serde_json::Value;
use worker::{Admission, Class, Lease};

use super::decode::request::{DecodeRequest, Decoded, UnknownColumns};
use super::worker_task;
use super::{Error, NewUpload, StagedFile, Uploads};
use crate::upload::target::Target;

/// Told what the worker tells of its progress: `{rows, percent}`.
pub(super) type Progress = Arc<dyn Fn(&Value) + Send + Sync>;

/// A finished conversion. The Parquet files lie in the lease's folder, as long as it lives.
pub(super) struct Converted {
    pub lease: Lease,
    pub decoded: Decoded,
    /// First rows set aside.
    pub rejects: Vec<Value>,
}

/// What the worker may read: the raw object, and for an upsert the dataset's files.
struct TaskFiles {
    lake: Lake,
    raw: StagedFile,
    existing: Option<(Location, Vec<DataFile>)>,
    progress: Option<Progress>,
}

#[async_trait]
impl worker::Files for TaskFiles {
    async fn size(&self, index: usize) -> io::Result<u64> {
        match index {
            0 => Ok(self.raw.size),
            _ => self.existing(index).map(|(_, file)| file.size),
        }
    }

    async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        let read = match index {
            0 => {
                failpoint("upload.half-conversion");
                self.lake.objects().get_range(&self.raw.path, range).await
            }
            _ => {
                let (at, file) = self.existing(index)?;
                self.lake.read_range(at, file, range).await
            }
        };
        read.map_err(io::Error::other)
    }

    fn progress(&self, told: Value) {
        if let Some(progress) = &self.progress {
            progress(&told);
        }
    }
}

impl TaskFiles {
    fn existing(&self, index: usize) -> io::Result<(&Location, &DataFile)> {
        let found =
            self.existing.as_ref().and_then(|(at, files)| Some((at, files.get(index.checked_sub(1)?)?)));
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

impl Uploads {
    /// Converts a staged file in a worker. Errors: what is wrong with the file, or that no worker was free in time.
    pub(super) async fn convert(
        &self,
        file: &StagedFile,
        new: &NewUpload,
        target: &Target,
        existing: Option<(Location, Vec<DataFile>)>,
        progress: Option<Progress>,
    ) -> Result<Converted, Error> {
        let deadline = Instant::now() + self.config.queue;
        let mut lease = self.pool.lease(file.workspace, Class::Long, deadline).await.map_err(busy)?;
        failpoint("upload.before-parse");
        let request = DecodeRequest {
            op: "decode".to_owned(),
            file_name: file.file_name.clone(),
            format: new.format,
            types: new.types.clone(),
            decimal: new.decimal,
            on_bad_rows: new.on_bad_rows,
            table: target.columns(new.mode),
            unknown: UnknownColumns::Refuse,
            instants_as_dates: false,
            key: target.key.clone(),
            existing: existing.as_ref().map(|(_, files)| files.clone()).unwrap_or_default(),
            caps: self.config.caps,
        };
        let files = TaskFiles { lake: self.publisher.lake().clone(), raw: file.clone(), existing, progress };
        let (decoded, body) =
            worker_task::decode(&mut lease, &request, Arc::new(files), self.config.task).await?;
        failpoint("upload.after-conversion");
        let lines = body.split(|byte| *byte == b'\n');
        let rejects = lines.filter_map(|line| serde_json::from_slice(line).ok()).collect();
        Ok(Converted { lease, decoded, rejects })
    }
}

fn busy(admission: Admission) -> Error {
    match admission {
        Admission::Busy { retry_after } => Error::Busy { retry_after_secs: retry_after.as_secs().max(1) },
        Admission::Closed => Error::Busy { retry_after_secs: 5 },
    }
}
