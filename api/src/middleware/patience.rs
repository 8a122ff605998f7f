//! A request body that must keep arriving: when nothing comes for a while, reading it ends in an error.

use std::future::Future as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

/// Where the body was too slow; told apart from a broken connection by the extractors.
#[derive(Debug, thiserror::Error)]
#[error("nothing of the body arrived for {0:?}")]
pub struct TooSlow(Duration);

struct Patient {
    inner: Incoming,
    idle: Duration,
    alarm: Pin<Box<Sleep>>,
}

/// Wraps the body of a request; one without content costs nothing.
pub fn patient(inner: Incoming, idle: Duration) -> Body {
    if inner.is_end_stream() {
        return Body::empty();
    }
    Body::new(Patient { inner, idle, alarm: Box::pin(tokio::time::sleep(idle)) })
}

impl http_body::Body for Patient {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            let next = Instant::now() + self.idle;
            self.alarm.as_mut().reset(next);
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.alarm.as_mut().poll(cx));
        Poll::Ready(Some(Err(TooSlow(self.idle).into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
