//! The worker's end of the files socket: an HTTP/2 client, so that reads run side by side.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::Value;
use tokio::net::UnixStream;

/// Bytes in flight for one read and for the whole socket.
const STREAM_WINDOW: u32 = 4 << 20;
const SOCKET_WINDOW: u32 = 16 << 20;
const FRAME_BYTES: u32 = 512 << 10;

/// A connection that all reads of the process share.
#[derive(Clone)]
pub(crate) struct Connection(http2::SendRequest<Full<Bytes>>);

/// Speaks HTTP/2 on `socket`; the connection is driven by the runtime this is called on.
pub(crate) async fn connect(socket: UnixStream) -> io::Result<Connection> {
    let (sender, driver) = http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(SOCKET_WINDOW)
        .max_frame_size(FRAME_BYTES)
        .handshake(TokioIo::new(socket))
        .await
        .map_err(gone)?;
    tokio::spawn(driver);
    Ok(Connection(sender))
}

impl Connection {
    pub(super) async fn size(&self, index: usize) -> io::Result<u64> {
        let answer = self.send(request(Method::HEAD, index)?).await?;
        let length = answer.headers().get(header::CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        length.and_then(|text| text.parse().ok()).ok_or_else(|| io::Error::other("no length"))
    }

    pub(super) async fn read(&self, index: usize, range: Range<u64>) -> io::Result<Bytes> {
        let mut request = request(Method::GET, index)?;
        let wanted = format!("bytes={}-{}", range.start, range.end.saturating_sub(1));
        request.headers_mut().insert(header::RANGE, wanted.parse().map_err(io::Error::other)?);
        let answer = self.send(request).await?;
        Ok(answer.into_body().collect().await.map_err(gone)?.to_bytes())
    }

    pub(super) async fn progress(&self, told: Value) {
        let body = Full::new(Bytes::from(told.to_string()));
        if let Ok(request) = Request::post("http://gateway/progress").body(body) {
            // Progress is a courtesy: a gateway that is gone ends the process by the other socket.
            let _lost = self.send(request).await;
        }
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> io::Result<Response<Incoming>> {
        let answer = self.0.clone().send_request(request).await.map_err(gone)?;
        match answer.status() {
            status if status.is_success() => Ok(answer),
            StatusCode::NOT_FOUND => Err(io::ErrorKind::NotFound.into()),
            StatusCode::UNPROCESSABLE_ENTITY => Err(io::ErrorKind::InvalidData.into()),
            StatusCode::BAD_GATEWAY => Err(io::ErrorKind::HostUnreachable.into()),
            status => Err(io::Error::other(format!("the gateway answered {status}"))),
        }
    }
}

fn request(method: Method, index: usize) -> io::Result<Request<Full<Bytes>>> {
    let uri = format!("http://gateway/files/{index}");
    Request::builder().method(method).uri(uri).body(Full::default()).map_err(io::Error::other)
}

fn gone(error: hyper::Error) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, error)
}
