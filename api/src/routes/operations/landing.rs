//! `GET /`: where to go from here.

use axum::response::{IntoResponse, Response};
use http::header::HeaderValue;

use super::docs::page_headers;
use crate::extract::Anyone;

const PAGE: &str = include_str!("landing.html");

/// A plain page with the ways in
#[utoipa::path(get, path = "/", tag = "operations",
    responses((status = 200, body = String, content_type = "text/html", example = "<title>Lakefront</title>")))]
pub async fn landing(_: Anyone) -> Response {
    (page_headers(HeaderValue::from_static("text/html; charset=utf-8")), PAGE).into_response()
}
