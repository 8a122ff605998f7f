//! HTTP's side of the result cache: tag, 304, cache headers, and the compressed form.
//!
//! ```text
//! tag of the request (no query) ─▶ If-None-Match the same? ─▶ 304
//!                               └▶ cached page? ─▶ 200 hit ─┐
//!                                └▶ engine ─▶ 200 ──────────┴▶ identity or gzip bytes, never encoded again
//! ```
//! Keys, single flight and bytes are `engine::cache`'s.

use axum::body::Body;
use axum::response::Response;
use engine::{Answer, Facts, Format, Page};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LINK, VARY,
};

use crate::extract::Accepted;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_ROWS: HeaderName = HeaderName::from_static("x-rows");
const X_TRUNCATED: HeaderName = HeaderName::from_static("x-truncated");
const POLICY: &str = "private, max-age=0, must-revalidate, stale-while-revalidate=30";
const VARIES: &str = "Accept, Accept-Encoding, Authorization, X-API-Key";

/// Where an answer came from, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Hit,
    Miss,
    Revalidated,
}

/// Whether the caller already has the answer of tag `etag`. The compressed form has the same tag with `-gz`.
pub fn has(accepted: &Accepted, etag: &str) -> bool {
    let Some(known) = accepted.if_none_match.as_deref() else { return false };
    known.trim() == "*" || known.split(',').any(|tag| same(tag.trim(), etag))
}

fn same(tag: &str, etag: &str) -> bool {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    tag == etag || tag.strip_suffix("-gz\"").is_some_and(|bare| etag.strip_suffix('"') == Some(bare))
}

/// 304 with the headers a 200 would have had.
pub fn not_modified(accepted: &Accepted, etag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    standing(response.headers_mut(), etag, accepted.gzip, From::Revalidated);
    response
}

/// 200 with a whole page.
pub async fn page(accepted: &Accepted, answer: &Answer) -> Response {
    let page = &answer.page;
    let gzip = accepted.gzip && compressible(page);
    let bytes = if gzip { page.gzip().await } else { page.body.clone() };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.reserve(16);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.format.content_type()));
    if gzip {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    standing(headers, &page.etag, gzip, if answer.hit { From::Hit } else { From::Miss });
    if page.format != Format::Json {
        facts(headers, &page.facts);
        attachment(headers, page.format);
    }
    response
}

fn compressible(page: &Page) -> bool {
    page.body.len() > 1024 && !matches!(page.format, Format::Parquet)
}

fn standing(headers: &mut HeaderMap, etag: &str, gzip: bool, from: From) {
    let tag = match etag.strip_suffix('"') {
        Some(bare) if gzip => HeaderValue::try_from(format!("{bare}-gz\"")),
        _ => HeaderValue::from_str(etag),
    };
    if let Ok(tag) = tag {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(POLICY));
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    let status = match from {
        From::Hit | From::Revalidated => "lakefront; hit",
        From::Miss => "lakefront; fwd=miss; stored",
    };
    headers.insert(CACHE_STATUS, HeaderValue::from_static(status));
}

/// What a format without room for `meta` says in headers.
fn facts(headers: &mut HeaderMap, facts: &Facts) {
    headers.insert(X_ROWS, HeaderValue::from(facts.rows));
    headers.insert(X_TRUNCATED, HeaderValue::from_static(if facts.truncated { "true" } else { "false" }));
}

fn attachment(headers: &mut HeaderMap, format: Format) {
    let text = match format {
        Format::Csv => "attachment; filename=\"rows.csv\"",
        Format::Parquet => "attachment; filename=\"rows.parquet\"",
        Format::Arrow => "attachment; filename=\"rows.arrows\"",
        _ => return,
    };
    headers.insert(CONTENT_DISPOSITION, HeaderValue::from_static(text));
}

/// `Link: <…>; rel="next"` for a page that has a next one.
pub fn link_next(response: &mut Response, uri: &http::Uri, cursor: &str) {
    let kept = uri
        .query()
        .unwrap_or_default()
        .split('&')
        .filter(|pair| !pair.is_empty() && !pair.starts_with("cursor="));
    let query: Vec<&str> = kept.collect();
    let cursor = percent_encoding::utf8_percent_encode(cursor, percent_encoding::NON_ALPHANUMERIC);
    let joint = if query.is_empty() { "" } else { "&" };
    let text = format!("<{}?{}{joint}cursor={cursor}>; rel=\"next\"", uri.path(), query.join("&"));
    if let Ok(value) = HeaderValue::try_from(text) {
        response.headers_mut().insert(LINK, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepted(text: &str) -> Accepted {
        Accepted { format: None, json: true, gzip: false, if_none_match: Some(text.to_owned()) }
    }

    #[test]
    fn a_known_tag_is_found_in_every_form_it_was_given() {
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*", "\"abc-gz\""] {
            assert!(has(&accepted(known), "\"abc\""), "{known}");
        }
        assert!(!has(&accepted("\"abcd\""), "\"abc\""));
    }
}
