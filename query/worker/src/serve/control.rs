//! The control socket: HTTP/1, one task at a time, in the order they come.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{BufMut, Bytes, BytesMut};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Serialize;
use tokio::net::UnixStream;
use tokio::runtime::Handle;

use super::sockets::Sockets;
use super::{Refusal, Reply, Settings, Task, walls};
use crate::files::{FileClient, connect};
use crate::limits::Limits;

/// How many bytes at the start of a 200's body are its head.
pub(crate) const HEAD_LENGTH: &str = "x-head-length";
/// The task's wall time in milliseconds.
pub(crate) const TIMEOUT: &str = "x-timeout-ms";

struct Control<H> {
    handler: H,
    files: FileClient,
    settings: Settings,
    limits: Arc<Limits>,
    tasks: Handle,
}

/// Answers tasks until the gateway closes the socket.
pub(super) async fn run<H, F>(
    sockets: Sockets,
    settings: Settings,
    tasks: Handle,
    handler: H,
) -> io::Result<()>
where
    H: Fn(Task) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Refusal>> + Send + 'static,
{
    let files = FileClient::remote(connect(UnixStream::from_std(sockets.files)?).await?);
    let limits = Arc::new(settings.limits.clone());
    let control = Arc::new(Control { handler, files, settings, limits, tasks });
    let service = service_fn(move |request| {
        let control = control.clone();
        async move { Ok::<_, Infallible>(control.answer(request).await) }
    });
    let socket = TokioIo::new(UnixStream::from_std(sockets.control)?);
    let served = http1::Builder::new().keep_alive(true).serve_connection(socket, service).await;
    // However the gateway went away, there is nothing left to do.
    served.or(Ok(()))
}

impl<H, F> Control<H>
where
    H: Fn(Task) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Reply, Refusal>> + Send + 'static,
{
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(kind) = request.uri().path().strip_prefix("/tasks/").map(str::to_owned) else {
            return Response::new(Full::default());
        };
        let deadline = Instant::now() + timeout(&request);
        let Ok(body) = request.into_body().collect().await else { return status(StatusCode::BAD_REQUEST) };
        let Ok(request) = serde_json::from_slice(&body.to_bytes()) else {
            return status(StatusCode::BAD_REQUEST);
        };
        walls::allow_cpu(self.limits.cpu_secs);
        let (files, limits) = (self.files.clone(), self.limits.clone());
        let task = Task { kind, request, files, scratch: self.settings.scratch.clone(), deadline, limits };
        match self.tasks.spawn((self.handler)(task)).await {
            Ok(Ok(reply)) => done(&reply),
            Ok(Err(refusal)) => refused(&refusal),
            Err(_) => status(StatusCode::INTERNAL_SERVER_ERROR),
        }
    }
}

fn timeout(request: &Request<Incoming>) -> Duration {
    let told = request.headers().get(TIMEOUT).and_then(|v| v.to_str().ok()?.parse().ok());
    Duration::from_millis(told.unwrap_or(10_000))
}

fn done(reply: &Reply) -> Response<Full<Bytes>> {
    let head = json(&reply.head);
    let length = head.len();
    let mut whole = BytesMut::with_capacity(length + reply.body.len());
    whole.put(head);
    whole.put_slice(&reply.body);
    let mut answer = Response::new(Full::new(whole.freeze()));
    answer.headers_mut().insert(HEAD_LENGTH, HeaderValue::from(length));
    answer
}

fn refused(refusal: &Refusal) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::new(json(refusal)));
    *answer.status_mut() = StatusCode::UNPROCESSABLE_ENTITY;
    answer
}

/// JSON of our own values, which always have one.
fn json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).unwrap_or_default().into()
}

fn status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = status;
    answer
}
