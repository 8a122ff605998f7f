//! `GET /metrics`: counters in the text form of Prometheus, for the operator.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue};

use crate::extract::{Admin, Caller};
use crate::middleware::meters;
use crate::state::App;

/// Counters of the process
#[utoipa::path(get, path = "/metrics", tag = "operations",
    responses((status = 200, body = String, content_type = "text/plain", example = "# TYPE lakefront_http_requests_total counter")))]
pub async fn metrics(_: Caller<Admin>, State(app): State<App>) -> Response {
    meters::sample();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], app.metrics.render()).into_response()
}
