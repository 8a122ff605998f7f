//! Events as they are pushed: one object, an array, or one object a line.

use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::lakefile::zone_at;
use crate::sources::{Atlas, SourceError};

/// The longest body that is taken.
pub const BODY_LIMIT_BYTES: usize = 10 << 20;
/// The longest id of an event.
const ID_LIMIT_BYTES: usize = 128;
/// A source's clock may be this far ahead of ours.
const AHEAD: TimeDelta = TimeDelta::days(1);
/// How many wrong events of one push are told.
const TOLD: usize = 100;

/// A market event, checked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Event {
    pub event_id: String,
    pub event_time: DateTime<Utc>,
    /// As it came: which region it names is found when a row is made of it.
    pub region_id: String,
    pub price: Option<f64>,
    pub interest: Option<f64>,
    /// WGS 84 degrees.
    pub lon: Option<f64>,
    pub lat: Option<f64>,
}

/// What is wrong with one event of a push.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct InvalidEvent {
    /// Its place in the push, from 0.
    pub index: usize,
    /// The field, where one is to blame.
    pub field: Option<String>,
    pub reason: String,
}

/// Why a push was not taken. Nothing of it is stored then.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error("no source takes events under the name `{0}`")]
    UnknownSource(String),
    #[error("{} of the events cannot be taken", .0.len())]
    Invalid(Vec<InvalidEvent>),
    #[error("the body is empty")]
    Empty,
    #[error("a push may have {BODY_LIMIT_BYTES} bytes")]
    TooLarge,
    #[error("the source can take no events now")]
    Unwritten(#[from] super::Unwritten),
    #[error("what regions are called cannot be read now")]
    Unread(#[source] Box<SourceError>),
}

/// The events of a body with the text of each, as it came.
/// - Errors: [`PushError::Empty`] for a body of nothing but blanks (an empty array is none), [`PushError::Invalid`] with every wrong
///   event (the first hundred), [`PushError::TooLarge`].
pub fn parse(body: &[u8], atlas: &Atlas, now: DateTime<Utc>) -> Result<Vec<(Event, String)>, PushError> {
    if body.len() > BODY_LIMIT_BYTES {
        return Err(PushError::TooLarge);
    }
    if body.trim_ascii().is_empty() {
        return Err(PushError::Empty);
    }
    let texts = split(body).map_err(|wrong| PushError::Invalid(vec![wrong]))?;
    let (mut events, mut wrongs) = (Vec::with_capacity(texts.len()), Vec::new());
    for (index, text) in texts.into_iter().enumerate() {
        match check(&text, atlas, now) {
            Ok(event) => events.push((event, text)),
            Err((field, reason)) => wrongs.push(InvalidEvent { index, field, reason }),
        }
        if wrongs.len() >= TOLD {
            break;
        }
    }
    if wrongs.is_empty() { Ok(events) } else { Err(PushError::Invalid(wrongs)) }
}

/// The texts of the single events.
fn split(body: &[u8]) -> Result<Vec<String>, InvalidEvent> {
    let wrong = |index, e: serde_json::Error| InvalidEvent { index, field: None, reason: e.to_string() };
    if body.iter().find(|b| !b.is_ascii_whitespace()) == Some(&b'[') {
        let all: Vec<Box<RawValue>> = serde_json::from_slice(body).map_err(|e| wrong(0, e))?;
        return Ok(all.iter().map(|one| line(one)).collect());
    }
    let mut texts = Vec::new();
    for value in serde_json::Deserializer::from_slice(body).into_iter::<Box<RawValue>>() {
        let value = value.map_err(|e| wrong(texts.len(), e))?;
        texts.push(line(&value));
    }
    Ok(texts)
}

/// One event is one line of the raw area, whatever line breaks stood between its fields.
fn line(event: &RawValue) -> String {
    event.get().replace(['\n', '\r'], " ")
}

/// The field to blame, where there is one, and why.
type Wrong = (Option<String>, String);

/// One event as it came. Errors: the first thing that is wrong with it.
pub(in crate::sources) fn check(text: &str, atlas: &Atlas, now: DateTime<Utc>) -> Result<Event, Wrong> {
    let event: Event = serde_json::from_str(text).map_err(|e| (None, e.to_string()))?;
    let wrong = |field: &str, reason: &str| Err((Some(field.to_string()), reason.to_string()));
    if event.event_id.is_empty() || event.event_id.len() > ID_LIMIT_BYTES {
        return wrong("event_id", "it must have 1 to 128 bytes");
    }
    if event.event_id.chars().any(char::is_control) {
        return wrong("event_id", "it holds a control character");
    }
    if let Err(reason) = atlas.find(&event.region_id) {
        return wrong("region_id", &reason);
    }
    if event.event_time > now + AHEAD {
        return wrong("event_time", "it lies in the future");
    }
    if event.event_time < DateTime::UNIX_EPOCH {
        return wrong("event_time", "it lies before 1970");
    }
    match (event.lon, event.lat) {
        (None, None) => Ok(event),
        (Some(lon), Some(lat)) if zone_at(lon, lat).is_ok() => Ok(event),
        (Some(_), Some(_)) => wrong("lon", "the point lies off the globe"),
        _ => wrong("lon", "a point needs both lon and lat"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"event_id": "e1", "event_time": "2026-03-01T12:00:00Z", "region_id": "it-lombardia", "price": 101.5, "interest": 47}"#;

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:01Z".parse().unwrap()
    }

    #[test]
    fn one_an_array_and_lines_are_the_same() {
        let other = GOOD.replace("e1", "e2");
        let bodies = [format!("[{GOOD},\n{other}]"), format!("{GOOD}\n{other}\n"), format!("{GOOD}{other}")];
        for body in bodies {
            let events = parse(body.as_bytes(), &Atlas::default(), now()).unwrap();
            assert_eq!(events.len(), 2);
            assert_eq!((events[0].0.event_id.as_str(), events[0].1.as_str()), ("e1", GOOD));
        }
        assert_eq!(parse(b"[]", &Atlas::default(), now()).unwrap(), []);
    }

    #[test]
    fn a_wrong_event_is_named_and_nothing_is_taken() {
        let wrongs = [
            (GOOD.replace("e1", ""), Some("event_id")),
            (GOOD.replace("it-lombardia", "../x"), Some("region_id")),
            (GOOD.replace("2026-03-01", "2026-03-09"), Some("event_time")),
            (GOOD.replace("\"price\"", "\"lon\": 400, \"lat\": 0, \"price\""), Some("lon")),
            (GOOD.replace("\"price\"", "\"lon\": 4, \"price\""), Some("lon")),
            (GOOD.replace("101.5", "\"dear\""), None),
            (GOOD.replace("\"price\"", "\"prize\""), None),
            ("{".to_string(), None),
            ("12".to_string(), None),
        ];
        for (wrong, field) in wrongs {
            let refused = parse(format!("{GOOD}\n{wrong}").as_bytes(), &Atlas::default(), now()).unwrap_err();
            let PushError::Invalid(told) = refused else { panic!("{wrong}: {refused}") };
            assert_eq!((told[0].index, told[0].field.as_deref()), (1, field), "{wrong}");
        }
    }

    #[test]
    fn nothing_is_no_push() {
        for nothing in ["", " \r\n\t"] {
            assert!(
                matches!(parse(nothing.as_bytes(), &Atlas::default(), now()), Err(PushError::Empty)),
                "{nothing:?}"
            );
        }
    }

    #[test]
    fn too_much_at_once_is_refused() {
        let body = vec![b' '; BODY_LIMIT_BYTES + 1];
        assert!(matches!(parse(&body, &Atlas::default(), now()), Err(PushError::TooLarge)));
    }
}
