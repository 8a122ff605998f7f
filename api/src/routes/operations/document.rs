//! `GET /openapi.json` and `GET /problems/{code}`

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{Anyone, At, plain};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{One, json};
use crate::state::App;

/// This document
#[utoipa::path(get, path = "/openapi.json", tag = "operations", responses((status = 200, body = serde_json::Value,
        example = json!({"openapi": "3.1.0", "info": {"title": "Lakefront"}}))))]
pub async fn openapi_json(_: Anyone, State(app): State<App>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (CACHE_CONTROL, HeaderValue::from_static("public, max-age=60")),
    ];
    (headers, app.openapi.clone()).into_response()
}

/// A kind of problem.
#[derive(Serialize, ToSchema)]
pub struct ProblemKind {
    #[schema(example = "unknown-region")]
    code: &'static str,
    #[schema(example = 404)]
    status: u16,
    #[schema(example = "There is no such region")]
    title: &'static str,
    /// What it means and what to do, in Markdown.
    #[schema(
        example = "404: There is no such region.\n\nNo region has that id. `GET /v1/regions` lists them."
    )]
    description: String,
}

/// What a problem's `type` points to
#[utoipa::path(get, path = "/problems/{code}", tag = "operations",
    params(("code" = String, Path, description = "Code of the problem", example = "unknown-region")),
    responses((status = 200, body = One<ProblemKind>)))]
pub async fn problem_page(_: Anyone, At(code): At<String>) -> Result<Response, Problem> {
    let unknown = || Problem::because(Kind::NotFound, format!("no problem is called `{}`", plain(&code)));
    let kind = Kind::of(&code).ok_or_else(unknown)?;
    let body = ProblemKind {
        code: kind.code(),
        status: kind.status().as_u16(),
        title: kind.title(),
        description: section(kind),
    };
    Ok(json(StatusCode::OK, &One::new(body)))
}

/// The text under the kind's heading in `openapi/problems.md`.
fn section(kind: Kind) -> String {
    let text = include_str!("../../../../openapi/problems.md");
    let heading = format!("\n## {}\n", kind.code());
    let after = text.split_once(&heading).map(|(_, after)| after).unwrap_or_default();
    after.split("\n## ").next().unwrap_or_default().trim().to_owned()
}
