//! How much of a form's body is content that was handed on, and how much is the form itself.
//!
//! The multipart reader keeps whatever it cannot hand on yet, and reads as long as bytes are there. This body stops it:
//! ```text
//! delivered - credited ≤ 1 MiB ─▶ the next frame
//!                      > 1 MiB ─▶ a pause, so that the reader hands on what it has ─▶ nothing handed on? an error
//! ```
//! So the memory of an upload is bounded, and boundaries, part headers and preambles together have 1 MiB.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};

const AHEAD_BYTES: u64 = 1 << 20;

/// The form is more frame than content.
#[derive(Debug, thiserror::Error)]
#[error("the form has more than {AHEAD_BYTES} bytes beside the content of its fields")]
pub struct TooMuchFrame;

/// Bytes of content that were handed on. Cheap to clone: all clones are one.
#[derive(Clone, Default)]
pub struct Ledger(Arc<AtomicU64>);

impl Ledger {
    pub fn credit(&self, content: &[u8]) {
        self.0.fetch_add(content.len() as u64, Ordering::Relaxed);
    }

    /// The body of a form, under this ledger.
    pub fn over(&self, inner: Body) -> Body {
        Body::new(Audited { inner, ledger: self.clone(), delivered: 0, at_pause: None })
    }
}

struct Audited {
    inner: Body,
    ledger: Ledger,
    delivered: u64,
    /// What was credited when the reader was last made to pause.
    at_pause: Option<u64>,
}

impl http_body::Body for Audited {
    type Data = Bytes;
    type Error = Box<dyn std::error::Error + Send + Sync>;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let credited = self.ledger.0.load(Ordering::Relaxed);
        if self.delivered.saturating_sub(credited) > AHEAD_BYTES {
            if self.at_pause.replace(credited) == Some(credited) {
                return Poll::Ready(Some(Err(TooMuchFrame.into())));
            }
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.delivered += frame.data_ref().map_or(0, |data| data.len() as u64);
        }
        polled.map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
