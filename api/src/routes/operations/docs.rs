//! `GET /docs/`: Swagger UI from the binary itself; it works without the internet.

use std::sync::{Arc, LazyLock};

use axum::response::{IntoResponse, Redirect, Response};
use http::header::{
    CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue,
};
use utoipa_swagger_ui::Config;

use crate::extract::{Anyone, At};
use crate::problem::{Kind, Problem};

static CONFIG: LazyLock<Arc<Config<'static>>> = LazyLock::new(|| {
    let config = Config::new(["/openapi.json"])
        .try_it_out_enabled(true)
        .display_request_duration(true)
        .persist_authorization(false);
    Arc::new(config.doc_expansion("list"))
});

/// The page's own scripts and styles, and the API on the same origin; nothing from elsewhere.
pub const POLICY: &str = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'";

/// The documentation page
#[utoipa::path(get, path = "/docs", tag = "operations", responses((status = 308, description = "To `/docs/index.html`")))]
pub async fn docs_index(_: Anyone) -> Redirect {
    Redirect::permanent("/docs/index.html")
}

/// The same with a slash too many, which is no address of the document.
pub async fn docs_slash() -> Redirect {
    Redirect::permanent("/docs")
}

/// A file of the documentation page
#[utoipa::path(get, path = "/docs/{file}", tag = "operations",
    params(("file" = String, Path, description = "Name of the file", example = "index.html")),
    responses((status = 200, body = String, content_type = "text/html", example = "<div id=\"swagger-ui\"></div>")))]
pub async fn docs_file(_: Anyone, At(file): At<String>) -> Result<Response, Problem> {
    let served = utoipa_swagger_ui::serve(&file, Arc::clone(&CONFIG))
        .map_err(|error| Problem::internal(error.to_string()))?;
    let file = served.ok_or_else(|| Problem::new(Kind::NotFound))?;
    let mut headers = page_headers(HeaderValue::try_from(file.content_type).map_err(Problem::internal)?);
    if file.gzpipped {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    Ok((headers, file.bytes.into_owned()).into_response())
}

/// Headers of a page that a browser shows.
pub fn page_headers(kind: HeaderValue) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, kind);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(HeaderName::from_static("referrer-policy"), HeaderValue::from_static("no-referrer"));
    headers.insert(HeaderName::from_static("x-frame-options"), HeaderValue::from_static("DENY"));
    headers
}
