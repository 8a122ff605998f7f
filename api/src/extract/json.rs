//! A JSON body as a type: its media type, its size, its fields and its depth are checked before the handler runs.

use axum::body::Body;
use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::{BodyExt, Limited};
use serde::de::DeserializeOwned;

use crate::middleware::patience::TooSlow;
use crate::problem::{Kind, Problem};
use crate::state::App;

/// A body of a struct with `#[serde(deny_unknown_fields)]`, and its bytes (for the hash of an idempotent call).
pub struct Json<T> {
    pub body: T,
    pub bytes: Bytes,
}

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        is_json(&parts.headers)?;
        let bytes = whole(&parts.headers, body, app.limits.body_bytes).await?;
        let body = parse(&bytes)?;
        Ok(Self { body, bytes })
    }
}

/// A call that carries nothing: an empty body or `{}`.
pub struct NoBody;

impl FromRequest<App> for NoBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &App) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        match &*whole(&parts.headers, body, 64).await? {
            b"" | b"{}" => Ok(Self),
            _ => Err(Problem::because(Kind::InvalidBody, "the body is empty or `{}`")),
        }
    }
}

/// Reads a JSON object; nesting ends at 128 levels. Errors: `invalid-body` with line and column.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let body = serde_json::from_slice(bytes).map_err(|error| {
        let place = serde_json::json!({"line": error.line(), "column": error.column()});
        let detail = super::path::plain_long(&error.to_string());
        Problem::because(Kind::InvalidBody, detail).with_errors(vec![place])
    })?;
    // A struct is also read from an array of its fields in their order, which is nobody's contract.
    match bytes.trim_ascii_start().first() {
        Some(b'{') => Ok(body),
        _ => Err(Problem::because(Kind::InvalidBody, "the body is a JSON object")),
    }
}

fn is_json(headers: &HeaderMap) -> Result<(), Problem> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json")) {
        return Ok(());
    }
    Err(Problem::because(Kind::UnsupportedMediaType, "the body is `application/json`"))
}

/// The whole body, at most `limit` bytes of it. Errors: `payload-too-large`, `request-timeout`, `invalid-body`.
pub async fn whole(headers: &HeaderMap, body: Body, limit: usize) -> Result<Bytes, Problem> {
    let told = headers
        .get(CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok())
        .and_then(|text| text.parse::<u64>().ok());
    if told.is_some_and(|told| told > limit as u64) {
        return Err(too_large(limit));
    }
    match Limited::new(body, limit).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) => Err(broken(&*error, limit)),
    }
}

/// The problem of a body that could not be read to its end.
pub fn broken(error: &(dyn std::error::Error + 'static), limit: usize) -> Problem {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.is::<http_body_util::LengthLimitError>() {
            return too_large(limit);
        }
        if error.is::<TooSlow>() {
            return Problem::because(Kind::RequestTimeout, error.to_string());
        }
        next = error.source();
    }
    Problem::because(Kind::InvalidBody, "the body ended before its end")
}

fn too_large(limit: usize) -> Problem {
    Problem::because(Kind::PayloadTooLarge, format!("the body may have {limit} bytes"))
}
