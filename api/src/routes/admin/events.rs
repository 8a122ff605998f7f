//! `POST /v1/events/{source}`: events pushed into a source of the lake.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use chrono::Utc;
use http::{HeaderMap, StatusCode};
use ingest::sources::PushError;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{Admin, At, Caller, plain, whole_body};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{One, json};
use crate::state::App;

const BYTES: usize = 10 << 20;

/// What was taken.
#[derive(Serialize, ToSchema)]
pub struct Accepted {
    /// Events that are now on disk.
    #[schema(example = 1)]
    accepted: u64,
    /// Events that were there already, by `event_id`.
    #[schema(example = 0)]
    duplicates: u64,
}

/// Pushes events into a source
///
/// One object, an array, or NDJSON; at most 10 MB. Answered when all are on disk; one bad event refuses them all.
#[utoipa::path(post, path = "/v1/events/{source}", tag = "admin",
    params(("source" = String, Path, description = "Name of the source", example = "d")),
    request_body(content = serde_json::Value, content_type = "application/json"),
    responses((status = 202, body = One<Accepted>)))]
pub async fn push_events(
    caller: Caller<Admin>,
    State(app): State<App>,
    At(source): At<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.spend(&app, 1)?;
    let bytes = whole_body(&headers, body, BYTES).await?;
    let taken =
        app.arrivals.push(&source, &bytes, Utc::now()).await.map_err(|error| refused(&source, error))?;
    let body = Accepted { accepted: taken.accepted, duplicates: taken.duplicates };
    Ok(json(StatusCode::ACCEPTED, &One::new(body)))
}

fn refused(source: &str, error: PushError) -> Problem {
    match error {
        PushError::UnknownSource(_) => {
            Problem::because(Kind::UnknownSource, format!("no source `{}` takes events", plain(source)))
        }
        PushError::Invalid(events) => {
            let one = |event: &ingest::sources::InvalidEvent| serde_json::json!({"index": event.index, "field": event.field, "reason": event.reason});
            Problem::because(Kind::InvalidEvent, "nothing of the batch was taken")
                .with_errors(events.iter().map(one).collect())
        }
        PushError::TooLarge => {
            Problem::because(Kind::PayloadTooLarge, format!("a batch may have {BYTES} bytes"))
        }
        PushError::Unavailable(_) => Problem::new(Kind::LakeUnavailable).caused_by(error),
    }
}
