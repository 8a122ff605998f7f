//! A multipart form whose fields come in any order: text fields are kept, the file is handed on as a stream.

use axum::extract::multipart::{Field, Multipart, MultipartError};
use axum::extract::{FromRequest, Request};
use http::StatusCode;

use crate::problem::{Kind, Problem};
use crate::state::App;

const TEXT_BYTES: usize = 64 << 10;
const FIELDS: usize = 32;

/// The form of an upload.
pub struct Form {
    multipart: Multipart,
    seen: usize,
}

/// The next part of a form.
#[expect(clippy::large_enum_variant, reason = "one lives at a time")]
pub enum Part<'a> {
    Text { name: String, value: String },
    File { name: String, file_name: Option<String>, content: Field<'a> },
}

impl FromRequest<App> for Form {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let multipart = Multipart::from_request(request, app).await;
        let unread = |_| {
            Problem::because(Kind::UnsupportedMediaType, "the body is `multipart/form-data` with a boundary")
        };
        Ok(Self { multipart: multipart.map_err(unread)?, seen: 0 })
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
            return Ok(Some(Part::File { name, file_name, content: field }));
        }
        let value = text(field).await?;
        Ok(Some(Part::Text { name, value }))
    }
}

async fn text(mut field: Field<'_>) -> Result<String, Problem> {
    let mut bytes = Vec::new();
    while let Some(chunk) = field.chunk().await.map_err(|error| cut(&error))? {
        if bytes.len() + chunk.len() > TEXT_BYTES {
            return Err(Problem::because(
                Kind::PayloadTooLarge,
                format!("a field may have {TEXT_BYTES} bytes"),
            ));
        }
        bytes.extend_from_slice(&chunk);
    }
    String::from_utf8(bytes).map_err(|_| Problem::because(Kind::InvalidBody, "a field is not UTF-8"))
}

/// The problem of a form that could not be read on.
pub fn cut(error: &MultipartError) -> Problem {
    if error.status() == StatusCode::PAYLOAD_TOO_LARGE {
        return Problem::new(Kind::PayloadTooLarge);
    }
    super::json::broken(error, 0)
}
