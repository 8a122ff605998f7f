//! `POST /v1/events/{source}`: events pushed into a source of the lake.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use chrono::{DateTime, Utc};
use http::{HeaderMap, StatusCode};
use ingest::sources::{NoticeError, Noticed, PushError, Unwritten};
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
    Notification(Notification),
}

/// A store's word that objects are there, as S3 and those that speak like it send it.
#[derive(ToSchema)]
#[expect(dead_code, reason = "the source reads it; this type describes it")]
struct Notification {
    /// Each with an `eventName`; what is not `ObjectCreated:…` is ignored.
    #[serde(rename = "Records")]
    #[schema(value_type = Vec<Object>)]
    records: Vec<serde_json::Value>,
}

/// What was taken.
#[derive(Default, Serialize, ToSchema)]
pub struct Accepted {
    /// Events that are now on disk, or in the topic.
    #[schema(example = 1)]
    accepted: u64,
    /// Events that were there already, by `event_id`; 0 of a topic, where they are dropped when it is read.
    #[schema(example = 0)]
    duplicates: u64,
    /// Records of a notification that are not about a new object.
    #[serde(skip_serializing_if = "Option::is_none")]
    ignored: Option<u64>,
    /// Why they are.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
    /// The run that looks at the source.
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<String>,
}

/// Pushes events into a source
///
/// One object, an array, or NDJSON; at most 10 MB. Answered when all are on disk, or acknowledged by the brokers of the source's
/// topic; one bad event refuses them all. After a 503 send them again: each counts once.
/// A source of files takes the notification of a store (S3 event JSON) instead: it looks at once, by a run that is queued
/// when this is answered.
#[utoipa::path(post, path = "/v1/events/{source}", tag = "admin",
    params(("source" = String, Path, description = "Name of the source", example = "d")),
    request_body(content = Events, content_type = "application/json", description = "NDJSON is taken too",
        example = json!({"event_id": "e-1", "event_time": "2026-01-31T14:00:00Z", "region_id": "de-bayern", "price": 101.5, "interest": 47.0})),
    responses((status = 202, body = One<Accepted>, description = "All are on disk, or in the topic")))]
pub async fn push_events(
    caller: Caller<Admin>,
    State(app): State<App>,
    At(source): At<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.spend(&app, 1)?;
    let bytes = whole_body(&headers, body, BYTES).await?;
    if app.arrivals.has_files(&source) {
        let noticed = app.arrivals.noticed(&source, &bytes, Utc::now()).await.map_err(unheard)?;
        return Ok(json(StatusCode::ACCEPTED, &One::new(Accepted::from(noticed))));
    }
    let taken =
        app.arrivals.push(&source, &bytes, Utc::now()).await.map_err(|error| refused(&source, error))?;
    let body = Accepted { accepted: taken.accepted, duplicates: taken.duplicates, ..Accepted::default() };
    Ok(json(StatusCode::ACCEPTED, &One::new(body)))
}

impl From<Noticed> for Accepted {
    fn from(noticed: Noticed) -> Self {
        let note = "records that are not about a new object are ignored";
        Self {
            accepted: noticed.accepted,
            duplicates: 0,
            ignored: Some(noticed.ignored),
            note: (noticed.ignored > 0).then(|| note.to_owned()),
            job: noticed.job.map(|id| format!("/v1/jobs/{id}")),
        }
    }
}

fn unheard(error: NoticeError) -> Problem {
    match error {
        NoticeError::Unreadable(_) => Problem::because(Kind::InvalidBody, error.to_string()),
        NoticeError::Catalog(error) => error.into(),
    }
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
        PushError::Unwritten(Unwritten::Unacknowledged) => {
            Problem::new(Kind::LakeUnavailable).caused_by(error).retry_after(2)
        }
        PushError::Unwritten(Unwritten::Failed) | PushError::Unread(_) => {
            Problem::new(Kind::LakeUnavailable).caused_by(error)
        }
    }
}
