//! `POST /v1/events/{source}`: events pushed into a source of the lake.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use ingest::sources::{PushError, Unwritten};
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{Admin, At, Caller, plain, whole_body};
use crate::problem::{Kind, Problem};
use crate::routes::bodies::{One, json};
use crate::state::App;

const BYTES: usize = 10 << 20;

/// An event of the market.
#[derive(ToSchema)]
#[schema(example = json!({"event_id": "e-1", "event_time": "2026-01-31T14:00:00Z", "region_id": "de-bayern", "price": 101.5, "interest": 47.0}))]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "the source reads the events; this type describes them")]
struct Event {
    /// Taken once, however often it comes.
    #[schema(min_length = 1, max_length = 128)]
    event_id: String,
    event_time: DateTime<Utc>,
    region_id: String,
    price: Option<f64>,
    interest: Option<f64>,
    /// Degrees, WGS 84; both or neither.
    #[schema(minimum = -180, maximum = 180)]
    lon: Option<f64>,
    #[schema(minimum = -90, maximum = 90)]
    lat: Option<f64>,
}

/// One event or several.
#[derive(ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "the source reads the events; this type describes them")]
enum Events {
    One(Event),
    Many(Vec<Event>),
}

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
    request_body(content = Events, content_type = "application/json", description = "NDJSON is taken too",
        example = json!({"event_id": "e-1", "event_time": "2026-01-31T14:00:00Z", "region_id": "de-bayern", "price": 101.5, "interest": 47.0})),
    responses((status = 202, body = One<Accepted>, description = "All are on disk")))]
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
        PushError::Empty => {
            let detail = "the body is empty: send one event, an array of events, or one event a line";
            Problem::because(Kind::InvalidBody, detail)
        }
        PushError::TooLarge => {
            Problem::because(Kind::PayloadTooLarge, format!("a batch may have {BYTES} bytes"))
        }
        PushError::Unwritten(Unwritten::Full) => Problem::new(Kind::StorageFull).caused_by(error),
        PushError::Unwritten(Unwritten::Failed) => Problem::new(Kind::LakeUnavailable).caused_by(error),
    }
}
