//! A multipart form whose fields come in any order: text fields are kept, the file is handed on as a stream.

mod ledger;

use std::io;

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use http::StatusCode;

use ledger::{Ledger, TooMuchFrame};

use crate::middleware::patience::TooSlow;
use crate::problem::{Kind, Problem};
use crate::state::App;

const TEXT_BYTES: usize = 64 << 10;
const FIELDS: usize = 32;

/// The form of an upload.
pub struct Form {
    multipart: Multipart,
    ledger: Ledger,
    seen: usize,
}

/// The next part of a form.
#[expect(clippy::large_enum_variant, reason = "one lives at a time")]
pub enum Part<'a> {
    Text { name: String, value: String },
    File { name: String, file_name: Option<String>, content: Content<'a> },
}

/// The bytes of a file, as they come.
pub struct Content<'a> {
    field: Field<'a>,
    ledger: Ledger,
}

impl<'a> Content<'a> {
    /// Errors: [`io::ErrorKind::TimedOut`] where the body stopped arriving.
    pub fn into_stream(self) -> impl Stream<Item = io::Result<Bytes>> + 'a {
        let Self { field, ledger } = self;
        field.inspect_ok(move |chunk| ledger.credit(chunk)).map_err(stopped)
    }
}

impl FromRequest<App> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let ledger = Ledger::default();
        let multipart = Multipart::from_request(request.map(|body| ledger.over(body)), app).await;
        let unread = |_| {
            Problem::because(Kind::UnsupportedMediaType, "the body is `multipart/form-data` with a boundary")
        };
        Ok(Self { multipart: multipart.map_err(unread)?, ledger, seen: 0 })
    }
}

impl Form {
    /// The next part; `None` at the end. Errors: `invalid-body`, `payload-too-large`.
    pub async fn next(&mut self) -> Result<Option<Part<'_>>, Problem> {
        self.seen += 1;
        if self.seen > FIELDS {
            return Err(Problem::because(
                Kind::InvalidBody,
                format!("the form has more than {FIELDS} fields"),
            ));
        }
        let Some(field) = self.multipart.next_field().await.map_err(|error| cut(&error))? else {
            return Ok(None);
        };
        let name = field.name().unwrap_or_default().to_owned();
        let file_name = field.file_name().map(super::path::plain_long);
        if file_name.is_some() || name == "file" {
            let content = Content { field, ledger: self.ledger.clone() };
            return Ok(Some(Part::File { name, file_name, content }));
        }
        let value = text(field, &self.ledger).await?;
        Ok(Some(Part::Text { name, value }))
    }
}

async fn text(mut field: Field<'_>, ledger: &Ledger) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| cut(&error))? {
        if bytes.len() + chunk.len() > TEXT_BYTES {
            return Err(Problem::because(
                Kind::PayloadTooLarge,
                format!("a field may have {TEXT_BYTES} bytes"),
            ));
        }
        ledger.credit(&chunk);
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Problem::because(Kind::InvalidBody, "a field is not UTF-8"))
}

/// The problem of a form that could not be read on.
pub fn cut(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Kind::PayloadTooLarge);
    }
    if is_caused_by::<TooMuchFrame>(error) {
        return Problem::because(Kind::InvalidBody, TooMuchFrame.to_string());
    }
    super::json::broken(error, 0)
}

fn stopped(error: MultipartError) -> io::Error {
    let slow = is_caused_by::<TooSlow>(&error);
    io::Error::new(if slow { io::ErrorKind::TimedOut } else { io::ErrorKind::Other }, error)
}

fn is_caused_by<E: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    std::iter::successors(Some(error), |error| error.source()).any(|error| error.is::<E>())
}
