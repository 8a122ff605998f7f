//! Cross-origin rules by configuration: without a list of origins no header is sent and browsers refuse.

use axum::body::Body;
use axum::response::Response;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, HeaderMap,
    HeaderValue, ORIGIN, VARY,
};
use http::{Method, StatusCode};

const METHODS: &str = "GET, HEAD, POST, PUT, PATCH, DELETE";
const HEADERS: &str =
    "authorization, x-api-key, content-type, accept, if-none-match, idempotency-key, prefer, traceparent";
const EXPOSED: &str = "etag, location, link, retry-after, ratelimit, ratelimit-policy, x-request-id, x-rows, x-truncated, \
                       cache-status, content-disposition";

/// The origins that may call from a browser: exact texts such as `https://app.example`, or `*`.
#[derive(Clone, Default)]
pub struct Cors {
    origins: Vec<HeaderValue>,
}

impl Cors {
    /// Reads the configured origins. Errors: an origin that cannot be a header value.
    pub fn new(origins: &[String]) -> Result<Self, http::header::InvalidHeaderValue> {
        let origins = origins.iter().map(|o| HeaderValue::from_str(o)).collect::<Result<_, _>>()?;
        Ok(Self { origins })
    }

    /// The value to answer to this request's `Origin`; `None` where there is nothing to say.
    pub fn allowed(&self, headers: &HeaderMap) -> Option<HeaderValue> {
        if self.origins.is_empty() {
            return None;
        }
        let origin = headers.get(ORIGIN)?;
        self.origins.iter().find(|o| *o == origin || *o == "*").cloned()
    }

    /// The answer to a preflight; `None` where the request is none.
    pub fn preflight(&self, method: &Method, headers: &HeaderMap) -> Option<Response> {
        if method != Method::OPTIONS || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
            return None;
        }
        let origin = self.allowed(headers)?;
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        let answer = response.headers_mut();
        answer.insert(ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static(METHODS));
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(HEADERS));
        answer.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
        permit(answer, origin);
        Some(response)
    }
}

/// Lets a browser's script of `origin` read the answer.
pub fn permit(headers: &mut HeaderMap, origin: HeaderValue) {
    if origin != "*" {
        headers.append(VARY, HeaderValue::from_static("Origin"));
    }
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_configured_origins_are_answered() {
        let cors = Cors::new(&["https://app.example".to_owned()]).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example"));
        assert!(cors.allowed(&headers).is_some());
        headers.insert(ORIGIN, HeaderValue::from_static("https://app.example.evil"));
        assert!(cors.allowed(&headers).is_none());
        assert!(Cors::default().allowed(&headers).is_none());
    }
}
