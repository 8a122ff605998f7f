//! The task that makes Parquet of a file, asked of a worker: for uploads and for the files of the lake's own sources.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use worker::{Lease, Refusal, TaskError};

use super::Error;
use super::decode::request::{DecodeRequest, Decoded};

/// What a worker makes of file 0 of `files`, in the lease's folder, and the first rows that it set aside, one JSON line each.
/// - Errors: [`Error::Refused`] for what is wrong with the file, the worker's death included; [`Error::StorageFull`];
///   [`Error::Internal`].
pub async fn decode(
    lease: &mut Lease,
    request: &DecodeRequest,
    files: Arc<dyn worker::Files>,
    time: Duration,
) -> Result<(Decoded, Bytes), Error> {
    let request = serde_json::to_value(request).map_err(internal)?;
    let reply = lease.run("files", &request, files, time).await.map_err(refused)?;
    Ok((serde_json::from_value(reply.head).map_err(internal)?, reply.body))
}

fn internal(error: serde_json::Error) -> Error {
    Error::Internal(Box::new(error))
}

/// A worker that died of a file is that file's fault.
fn refused(error: TaskError) -> Error {
    let malformed = |detail| Error::Refused { code: "file-malformed".to_owned(), detail, errors: Vec::new() };
    match error {
        TaskError::Died(death) => malformed(format!("the file could not be converted: {}", death.limit())),
        TaskError::Deadline => {
            malformed("the file could not be converted: it takes longer than a task may".to_owned())
        }
        TaskError::Refused(Refusal { code, .. }) if code == "storage-full" => Error::StorageFull,
        TaskError::Refused(refusal) if refusal.code == "lake-unavailable" => Error::Lake(Box::new(refusal)),
        TaskError::Refused(refusal) if refusal.code == "internal" => Error::Internal(Box::new(refusal)),
        TaskError::Refused(Refusal { code, detail, errors }) => Error::Refused { code, detail, errors },
        TaskError::Io(error) => Error::Internal(Box::new(error)),
    }
}
