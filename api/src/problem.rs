//! The one error body (RFC 9457 `application/problem+json`) and the way every error becomes one.
//!
//! ```text
//! engine, ingest, catalog, auth errors ─┐
//! extractor rejections, 404, 405, panic ─┴▶ Problem ─▶ response extension ─▶ middleware::front writes the body
//! ```
//! A handler's problem travels as an extension of an empty response: only the front knows the request id, and it
//! is the one place where the body is written and the cause of a 5xx is logged.

mod kinds;
mod sources;

use std::error::Error;
use std::sync::Arc;

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE};
use serde::Serialize;
use serde_json::Value;

pub use kinds::Kind;

/// The media type of every error.
pub const MEDIA_TYPE: &str = "application/problem+json";

/// An error on its way to the caller.
#[derive(Clone, Debug)]
pub struct Problem {
    pub kind: Kind,
    rest: Box<Rest>,
}

/// What most problems have little of; apart, so that a `Result` with a problem stays small.
#[derive(Clone, Debug, Default)]
struct Rest {
    detail: Option<String>,
    errors: Vec<Value>,
    headers: HeaderMap,
    cause: Option<Arc<dyn Error + Send + Sync>>,
}

/// The body as it is written; also the schema in the OpenAPI document.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub struct Body<'a> {
    /// Address of the description of this kind.
    #[schema(example = "/problems/unknown-region")]
    r#type: String,
    #[schema(example = "There is no such region")]
    title: &'a str,
    #[schema(example = 404)]
    status: u16,
    /// What happened this time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false, example = "no region `xx-nowhere`")]
    detail: Option<&'a str>,
    /// Stable; see `problems.md`.
    #[schema(example = "unknown-region")]
    code: &'a str,
    /// Also in the header `X-Request-Id` and in the server's log. Of a job's problem: the call that made the job, where it is known.
    #[serde(skip_serializing_if = "unknown")]
    #[schema(nullable = false, example = "0198c8e4-5a53-7e51-b3a8-5d1f0a0e6f10")]
    request_id: &'a str,
    /// Single faults: column, row, value, reason, hint, as far as they are known.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    #[schema(value_type = Vec<Object>)]
    errors: &'a [Value],
}

/// A job may be older than its call is remembered.
fn unknown(request_id: &&str) -> bool {
    request_id.is_empty()
}

impl Problem {
    /// A problem that says no more than its title.
    pub fn new(kind: Kind) -> Self {
        Self { kind, rest: Box::default() }
    }

    /// A problem with what happened this time; `detail` is read by the caller.
    pub fn because(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, rest: Box::new(Rest { detail: Some(detail.into()), ..Rest::default() }) }
    }

    /// A problem by the code that another room named; `fallback` where the code is not in the table.
    pub fn coded(code: &str, detail: impl Into<String>, fallback: Kind) -> Self {
        Self::because(Kind::of(code).unwrap_or(fallback), detail)
    }

    /// A 500: the cause goes to the log, the caller reads the title only.
    pub fn internal(cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self::new(Kind::Internal).caused_by(cause)
    }

    /// Adds single faults.
    pub fn with_errors(mut self, errors: Vec<Value>) -> Self {
        self.rest.errors = errors;
        self
    }

    /// Keeps what lies behind it for the log.
    pub fn caused_by(mut self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.rest.cause = Some(Arc::from(cause.into()));
        self
    }

    /// Adds a header to the answer.
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.rest.headers.insert(name, value);
        self
    }

    /// Says after how many seconds trying again makes sense.
    pub fn retry_after(self, seconds: u64) -> Self {
        self.with_header(RETRY_AFTER, HeaderValue::from(seconds.max(1)))
    }

    /// What lies behind it, for the log.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync + 'static)> {
        self.rest.cause.as_deref()
    }

    /// The body for one request. A 5xx tells its title only.
    pub fn body<'a>(&'a self, request_id: &'a str) -> Body<'a> {
        let told = self.kind.status().as_u16() < 500 || self.kind.status().as_u16() == 507;
        Body {
            r#type: format!("/problems/{}", self.kind.code()),
            title: self.kind.title(),
            status: self.kind.status().as_u16(),
            detail: self.rest.detail.as_deref().filter(|_| told),
            code: self.kind.code(),
            request_id,
            errors: if told { &self.rest.errors } else { &[] },
        }
    }

    /// The body with the detail as a job keeps it (`problem` of the job body).
    pub fn into_value(self, request_id: &str) -> Value {
        serde_json::to_value(self.body(request_id)).unwrap_or(Value::Null)
    }

    /// The finished answer; called by the front and nowhere else.
    pub fn render(&self, request_id: &str) -> Response {
        let bytes = serde_json::to_vec(&self.body(request_id)).unwrap_or_default();
        let mut response = Response::new(axum::body::Body::from(bytes));
        *response.status_mut() = self.kind.status();
        response.headers_mut().extend(self.rest.headers.clone());
        self.standing_headers(response.headers_mut());
        response
    }

    fn standing_headers(&self, headers: &mut HeaderMap) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA_TYPE));
        match self.kind.status().as_u16() {
            401 => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"lakefront\""));
            }
            503 => {
                headers.entry(RETRY_AFTER).or_insert(HeaderValue::from_static("1"));
            }
            _ => {}
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(axum::body::Body::empty());
        *response.status_mut() = self.kind.status();
        response.extensions_mut().insert(self);
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_heading_in_problems_md() {
        let text = include_str!("../../openapi/problems.md");
        for kind in Kind::ALL {
            let heading = format!("\n## {}\n", kind.code());
            assert!(text.contains(&heading), "openapi/problems.md lacks the heading `## {}`", kind.code());
        }
    }

    #[test]
    fn a_5xx_tells_its_title_only() {
        let problem = Problem::because(Kind::LakeUnavailable, "bucket s3://secret is gone");
        let text = serde_json::to_string(&problem.body("r1")).unwrap();
        assert!(!text.contains("secret") && text.contains("lake-unavailable"));
    }

    #[test]
    fn codes_are_unique_and_found_again() {
        for kind in Kind::ALL {
            assert_eq!(Kind::of(kind.code()), Some(*kind));
        }
    }
}
