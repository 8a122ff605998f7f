//! The gateway's end of the files socket: answers with the files of the current task, nothing else.

use std::convert::Infallible;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use parking_lot::Mutex;
use tokio::net::UnixStream;

use super::{Files, PIECE_BYTES};

/// What is served now: the files of the running task, `None` between tasks.
#[derive(Clone, Default)]
pub(crate) struct Served(Arc<Mutex<Option<Arc<dyn Files>>>>);

impl Served {
    pub(crate) fn set(&self, files: Option<Arc<dyn Files>>) {
        *self.0.lock() = files;
    }

    fn now(&self) -> Option<Arc<dyn Files>> {
        self.0.lock().clone()
    }
}

/// A worker's reads in flight; more wait in the socket.
const READS_AT_ONCE: u32 = 16;
const PROGRESS_BYTES: usize = 64 << 10;

/// Answers one worker's reads until its socket closes.
pub(crate) async fn answer(socket: UnixStream, served: Served) {
    let service = service_fn(move |request| {
        let served = served.clone();
        async move { Ok::<_, Infallible>(one(&served, request).await) }
    });
    let ended = http2::Builder::new(TokioExecutor::new())
        .max_concurrent_streams(READS_AT_ONCE)
        .max_send_buf_size(PIECE_BYTES as usize)
        .serve_connection(TokioIo::new(socket), service)
        .await;
    if let Err(error) = ended {
        tracing::debug!(%error, "a worker's files socket ended");
    }
}

async fn one(served: &Served, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let Some(files) = served.now() else { return status(StatusCode::NOT_FOUND) };
    if request.uri().path() == "/progress" {
        return told(files.as_ref(), request).await;
    }
    let index = request.uri().path().strip_prefix("/files/").and_then(|n| n.parse().ok());
    let Some(index) = index else { return status(StatusCode::NOT_FOUND) };
    let found = match *request.method() {
        Method::HEAD => size(files.as_ref(), index).await,
        _ => read(files.as_ref(), index, &request).await,
    };
    found.unwrap_or_else(|error| failed(&error))
}

async fn size(files: &dyn Files, index: usize) -> io::Result<Response<Full<Bytes>>> {
    let length = files.size(index).await?;
    let mut answer = status(StatusCode::OK);
    answer.headers_mut().insert(header::CONTENT_LENGTH, length.into());
    Ok(answer)
}

async fn read(
    files: &dyn Files,
    index: usize,
    request: &Request<Incoming>,
) -> io::Result<Response<Full<Bytes>>> {
    match range(request) {
        Some(range) => {
            let bytes = files.read(index, range).await?;
            let mut answer = Response::new(Full::new(bytes));
            *answer.status_mut() = StatusCode::PARTIAL_CONTENT;
            Ok(answer)
        }
        None => Ok(status(StatusCode::RANGE_NOT_SATISFIABLE)),
    }
}

/// The one form the client sends: `bytes=first-last`, at most one piece long.
fn range(request: &Request<Incoming>) -> Option<Range<u64>> {
    let text = request.headers().get(header::RANGE)?.to_str().ok()?;
    let (first, last) = text.strip_prefix("bytes=")?.split_once('-')?;
    let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
    let end = last.checked_add(1)?;
    (first < end && end - first <= PIECE_BYTES).then_some(first..end)
}

async fn told(files: &dyn Files, request: Request<Incoming>) -> Response<Full<Bytes>> {
    let body = Limited::new(request.into_body(), PROGRESS_BYTES).collect().await;
    match body.ok().and_then(|body| serde_json::from_slice(&body.to_bytes()).ok()) {
        Some(value) => {
            files.progress(value);
            status(StatusCode::OK)
        }
        None => status(StatusCode::BAD_REQUEST),
    }
}

/// Damaged bytes have a status of their own: the worker must not take them for a store that is away.
fn failed(error: &io::Error) -> Response<Full<Bytes>> {
    let told = match error.kind() {
        io::ErrorKind::NotFound => return status(StatusCode::NOT_FOUND),
        io::ErrorKind::InvalidData => StatusCode::UNPROCESSABLE_ENTITY,
        _ => StatusCode::BAD_GATEWAY,
    };
    tracing::warn!(%error, "a file could not be read for a worker");
    status(told)
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
