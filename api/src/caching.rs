//! HTTP's side of the result cache: tag, 304, cache headers, and the packed forms.
//!
//! ```text
//! tag of the request (no query) ─▶ If-None-Match the same? ─▶ 304
//!                               └▶ cached page? ─▶ 200 hit ─┐
//!                                └▶ engine ─▶ 200 ──────────┴▶ plain or packed bytes, never encoded again
//! ```
//! Keys, single flight and bytes are `engine::cache`'s.

use std::borrow::Cow;
use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use engine::{Answer, Coding, Facts, Format, Page};
use http::StatusCode;
use http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderName,
    HeaderValue, LINK, VARY,
};

use crate::extract::Accepted;
use crate::middleware::meters::CacheMeters;

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const X_ROWS: HeaderName = HeaderName::from_static("x-rows");
const X_TRUNCATED: HeaderName = HeaderName::from_static("x-truncated");
const BOM: &[u8] = "\u{feff}".as_bytes();
const BOM_WORD: &str = "bom";
const POLICY: &str = "private, max-age=0, must-revalidate, stale-while-revalidate=30";
const VARIES: &str = "Accept, Accept-Encoding, Authorization, X-API-Key";

static METERS: LazyLock<CacheMeters> = LazyLock::new(CacheMeters::new);

/// Where an answer came from, for `Cache-Status` (RFC 9211).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From {
    Hit,
    Miss,
    Revalidated,
}

/// Whether the caller already has the answer of tag `etag`. A packed form has the same tag with its coding: `"…-br"`.
pub fn has(accepted: &Accepted, etag: &str) -> bool {
    let Some(known) = accepted.tags() else { return false };
    known.trim() == "*" || known.split(',').any(|tag| same(tag.trim(), etag, accepted.bom))
}

fn same(tag: &str, etag: &str, bom: bool) -> bool {
    let tag = tag.strip_prefix("W/").unwrap_or(tag);
    plain_tag(tag, bom).is_some_and(|tag| tag == etag)
}

/// The tag of the plain form. CSV with a byte order mark, `"…-bom"`, is known only to those who ask for one, and nothing
/// else is to them.
pub fn plain_tag(tag: &str, bom: bool) -> Option<Cow<'_, str>> {
    let without = |word: &str| tag.strip_suffix('"')?.strip_suffix(word)?.strip_suffix('-');
    match (bom, without(BOM_WORD)) {
        (true, bare) => bare.map(|bare| Cow::Owned(format!("{bare}\""))),
        (false, Some(_)) => None,
        (false, None) => {
            let bare = Coding::ALL.iter().find_map(|coding| without(coding.word()));
            Some(bare.map_or(Cow::Borrowed(tag), |bare| Cow::Owned(format!("{bare}\""))))
        }
    }
}

/// 304 with the headers a 200 would have had.
pub fn not_modified(accepted: &Accepted, etag: &str) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let coding = accepted.coding.map(Coding::word);
    standing(
        response.headers_mut(),
        etag,
        if accepted.bom { Some(BOM_WORD) } else { coding },
        From::Revalidated,
    );
    response
}

/// 200 with a whole page.
pub async fn page(accepted: &Accepted, answer: &Answer) -> Response {
    let page = &answer.page;
    let (bytes, coding) =
        if accepted.bom { (marked(page), None) } else { bytes(page, accepted.coding).await };
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    headers.reserve(16);
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(page.format.content_type()));
    if let Some(coding) = coding {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static(coding.word()));
    }
    let form = if accepted.bom { Some(BOM_WORD) } else { coding.map(Coding::word) };
    standing(headers, &page.etag, form, if answer.hit { From::Hit } else { From::Miss });
    if page.format != Format::Json {
        facts(headers, &page.facts);
        attachment(headers, page.format, "rows");
    }
    response
}

/// Calls a page that is saved as a file by the name of its table.
pub fn named(response: &mut Response, format: Format, table: &str) {
    attachment(response.headers_mut(), format, table);
}

/// The page behind a byte order mark. It is not packed: packed forms are kept with the page, and this one is not.
fn marked(page: &Page) -> Bytes {
    [BOM, page.body.as_ref()].concat().into()
}

/// The page in the coding that is taken, where that is worth it.
async fn bytes(page: &Page, coding: Option<Coding>) -> (Bytes, Option<Coding>) {
    if let Some(coding) = coding.filter(|_| compressible(page))
        && let Some(packed) = page.packed(coding).await
    {
        return (packed, Some(coding));
    }
    (page.body.clone(), None)
}

fn compressible(page: &Page) -> bool {
    page.body.len() > 1024 && !matches!(page.format, Format::Parquet)
}

/// `form` is what sets these bytes apart from the plain page.
fn standing(headers: &mut HeaderMap, etag: &str, form: Option<&str>, from: From) {
    let tag = match (etag.strip_suffix('"'), form) {
        (Some(bare), Some(form)) => HeaderValue::try_from(format!("{bare}-{form}\"")),
        _ => HeaderValue::from_str(etag),
    };
    if let Ok(tag) = tag {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(POLICY));
    headers.insert(VARY, HeaderValue::from_static(VARIES));
    match from {
        From::Hit => METERS.hit.increment(1),
        From::Miss => METERS.miss.increment(1),
        From::Revalidated => METERS.revalidated.increment(1),
    }
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

fn attachment(headers: &mut HeaderMap, format: Format, name: &str) {
    let ending = match format {
        Format::Csv => "csv",
        Format::Parquet => "parquet",
        Format::Arrow => "arrows",
        _ => return,
    };
    if let Ok(value) = HeaderValue::try_from(format!("attachment; filename=\"{name}.{ending}\"")) {
        headers.insert(CONTENT_DISPOSITION, value);
    }
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
        Accepted {
            format: None,
            json: true,
            coding: None,
            bom: false,
            if_none_match: HeaderValue::from_str(text).ok(),
        }
    }

    #[test]
    fn a_known_tag_is_found_in_every_form_it_was_given() {
        for known in ["\"abc\"", "W/\"abc\"", "\"x\", \"abc\"", "*", "\"abc-gzip\""] {
            assert!(has(&accepted(known), "\"abc\""), "{known}");
        }
        assert!(!has(&accepted("\"abcd\""), "\"abc\""));
    }

    #[test]
    fn a_mark_makes_another_form_with_a_tag_of_its_own() {
        let marked = |text: &str| Accepted { bom: true, ..accepted(text) };
        assert!(has(&marked("\"abc-bom\""), "\"abc\""));
        assert!(!has(&marked("\"abc\""), "\"abc\""));
        assert!(!has(&accepted("\"abc-bom\""), "\"abc\""));
    }
}
