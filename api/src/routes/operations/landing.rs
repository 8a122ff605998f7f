//! `GET /`: where to go from here.

use axum::response::{IntoResponse, Response};
use http::header::{HeaderMap, HeaderValue, VARY};

use super::docs::page_headers;
use crate::extract::Anyone;

const PAGE: &str = include_str!("landing.html");

/// A plain page with the ways in
#[utoipa::path(get, path = "/", tag = "operations",
    responses((status = 200, body = String, content_type = "text/html", example = "<title>Lakefront</title>")))]
pub async fn landing(_: Anyone, headers: HeaderMap) -> Response {
    let page = PAGE.replace("{base}", &base(&headers).unwrap_or_default());
    let mut standing = page_headers(HeaderValue::from_static("text/html; charset=utf-8"));
    standing.insert(VARY, HeaderValue::from_static("X-Forwarded-Proto"));
    (standing, page).into_response()
}

/// Scheme and host as the caller named them; `None` for what is no host.
fn base(headers: &HeaderMap) -> Option<String> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let host = text("host")?;
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    let scheme = if text("x-forwarded-proto") == Some("https") { "https" } else { "http" };
    host.chars().all(plain).then(|| format!("{scheme}://{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;

    #[test]
    fn only_a_host_is_put_into_the_page() {
        let base = |host: &'static str| base(&HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))]));
        assert_eq!(base("lake.example:8080").as_deref(), Some("http://lake.example:8080"));
        assert_eq!(base("[::1]:80").as_deref(), Some("http://[::1]:80"));
        assert_eq!(base("x\"><script>"), None);
    }
}
