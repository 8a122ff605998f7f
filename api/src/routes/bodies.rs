//! Bodies that several endpoints answer. Keys are only ever added.

mod dataset;
mod job;
mod table;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use serde::Serialize;
use utoipa::ToSchema;

pub use dataset::{Column, Dataset, columns};
pub use job::Job;
pub use table::{RunOfModel, TableBody};

/// Whether a list is all of it.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ListMeta {
    /// Rows in `data`.
    #[schema(example = 1)]
    pub rows: u64,
    /// Cursor of the next page; null at the end.
    #[schema(required = true)]
    pub next: Option<String>,
}

/// A table behind an answer.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the engine writes it; this type describes it")]
pub struct TableVersion {
    #[schema(example = "weather.daily")]
    name: String,
    /// That of the region's last change where one region was asked for.
    #[schema(required = true, example = 812)]
    version: Option<i64>,
    #[schema(required = true, example = "2026-02-01T06:00:00Z")]
    updated_at: Option<DateTime<Utc>>,
    /// The newest commit is older than was promised.
    #[schema(example = false)]
    overdue: bool,
    /// The last run of the model behind it failed: the rows are those of the last good one.
    #[schema(example = false)]
    failing: bool,
}

/// How rows are written.
#[derive(ToSchema)]
#[schema(rename_all = "lowercase")]
#[expect(dead_code, reason = "the words are read by the engine; this type describes them")]
pub enum RowFormat {
    Json,
    Ndjson,
    Csv,
    Arrow,
    Parquet,
}

/// One thing.
#[derive(Serialize, ToSchema)]
pub struct One<T> {
    pub data: T,
    pub meta: Nothing,
}

/// A list of things.
#[derive(Serialize, ToSchema)]
pub struct List<T> {
    pub data: Vec<T>,
    pub meta: ListMeta,
}

/// Empty, so that keys can be added.
#[derive(Clone, Copy, Default, Serialize, ToSchema)]
pub struct Nothing {}

impl<T: Serialize> One<T> {
    pub fn new(data: T) -> Self {
        Self { data, meta: Nothing {} }
    }

    /// 200 with this body.
    pub fn ok(self) -> Response {
        json(StatusCode::OK, &self)
    }

    /// 201 or 202 with this body and where it can be found.
    pub fn at(self, status: StatusCode, location: &str) -> Response {
        let mut response = json(status, &self);
        if let Ok(location) = HeaderValue::from_str(location) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}

impl<T: Serialize> List<T> {
    /// A whole list, or a page of one with its next cursor.
    pub fn new(data: Vec<T>, next: Option<String>) -> Self {
        let rows = data.len() as u64;
        Self { data, meta: ListMeta { rows, next } }
    }

    /// 200 with this body.
    pub fn ok(self) -> Response {
        json(StatusCode::OK, &self)
    }
}

/// A JSON answer.
pub fn json(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_vec(body) {
        Ok(bytes) => {
            (status, [(CONTENT_TYPE, HeaderValue::from_static("application/json"))], bytes).into_response()
        }
        Err(error) => crate::problem::Problem::internal(error).into_response(),
    }
}
