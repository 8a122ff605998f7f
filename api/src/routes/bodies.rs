//! Bodies that several endpoints answer. Keys are only ever added.

mod dataset;
mod job;
mod table;

use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use http::StatusCode;
use http::header::{CONTENT_TYPE, HeaderValue, LOCATION};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

pub use dataset::{Column, Dataset, columns};
pub use job::Job;
pub use table::TableBody;

/// What an answer rests on, and whether it is all of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, ToSchema)]
pub struct Meta {
    /// Rows in `data`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = 1)]
    pub rows: Option<u64>,
    /// Whether a limit cut the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub truncated: Option<bool>,
    /// Cursor of the next page; null at the end.
    pub next: Option<String>,
    /// The time that `as_of` named.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<DateTime<Utc>>,
    /// Every table behind the answer. `version` is that of the region's last change where one region was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tables: Option<Vec<TableVersion>>,
}

/// A table behind an answer.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TableVersion {
    #[schema(example = "weather.daily")]
    pub name: String,
    #[schema(example = 812)]
    pub version: Option<i64>,
    pub updated_at: Option<DateTime<Utc>>,
    /// The newest commit is older than was promised.
    pub overdue: bool,
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
    pub meta: Meta,
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
        let rows = Some(data.len() as u64);
        Self { data, meta: Meta { rows, next, ..Meta::default() } }
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
