//! A service's answer as events: the fields of the lake's declaration, and what the answer says of the next position.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value};

use crate::lakefile::{Paging, PollSpec, TimeFormat};
use crate::sources::events::Poison;
use crate::sources::events::parse::check;
use crate::sources::json::{at, text};
use crate::sources::{Atlas, SourceError};

/// Fields whose value is a number with us.
const NUMBERS: [&str; 4] = ["price", "interest", "lon", "lat"];

/// How an answer is read.
pub struct Mapping {
    events: String,
    paging: Paging,
    fields: BTreeMap<String, String>,
    time: TimeFormat,
}

/// What an answer holds.
#[derive(Debug, Default)]
pub struct Page {
    /// (id, text) of each event, in our fields.
    pub events: Vec<(String, String)>,
    pub poison: Vec<Poison>,
    /// `None` where it says nothing of a next position.
    pub next: Option<String>,
}

impl Mapping {
    pub fn new(spec: &PollSpec) -> Self {
        let (events, paging) = (spec.events.clone(), spec.paging.clone());
        Self { events, paging, fields: spec.fields.clone(), time: spec.time }
    }

    /// Reads an answer.
    /// - Errors: [`SourceError::Refused`] for one that is no JSON, has no events where they should stand, or of which nothing fits.
    pub fn read(&self, text: &[u8], atlas: &Atlas, now: DateTime<Utc>) -> Result<Page, SourceError> {
        let wrong = |e: serde_json::Error| SourceError::refused(format!("the answer is no JSON: {e}"));
        let answer: Value = serde_json::from_slice(text).map_err(wrong)?;
        let events = at(&answer, &self.events).and_then(Value::as_array).ok_or_else(|| {
            SourceError::refused(format!("the answer has no array of events at `{}`", self.events))
        })?;
        let mut page = Page { next: self.next(&answer, events), ..Page::default() };
        for (index, event) in events.iter().enumerate() {
            match self.event(event, atlas, now) {
                Ok(event) => page.events.push(event),
                Err(reason) => {
                    let (place, bytes) = (format!("event {index} of a page"), event.to_string().into_bytes());
                    page.poison.push(Poison { place, reason, bytes });
                }
            }
        }
        match page.poison.first().filter(|_| page.events.is_empty()) {
            Some(first) => Err(SourceError::refused(format!(
                "none of the {} events of a page fits: {}",
                page.poison.len(),
                first.reason
            ))),
            None => Ok(page),
        }
    }

    fn next(&self, answer: &Value, events: &[Value]) -> Option<String> {
        match &self.paging {
            Paging::Cursor(field) => at(answer, field).and_then(text),
            Paging::Newest(field) => events
                .iter()
                .filter_map(|event| at(event, field).and_then(text))
                .reduce(|newest, other| if is_later(&other, &newest) { other } else { newest }),
        }
    }

    /// One event in our fields. Errors: what is wrong with it.
    fn event(&self, event: &Value, atlas: &Atlas, now: DateTime<Utc>) -> Result<(String, String), String> {
        let mut ours = Map::new();
        for (field, path) in &self.fields {
            let Some(value) = at(event, path).filter(|value| !value.is_null()) else { continue };
            let value = match field.as_str() {
                "event_time" => self.instant(value),
                number if NUMBERS.contains(&number) => self::number(value),
                _ => text(value).map(Value::String),
            };
            let value = value.ok_or_else(|| format!("{field}: `{path}` cannot be read as one"))?;
            ours.insert(field.clone(), value);
        }
        let line = Value::Object(ours).to_string();
        match check(&line, atlas, now) {
            Ok(event) => Ok((event.event_id, line)),
            Err((Some(field), reason)) => Err(format!("{field}: {reason}")),
            Err((None, reason)) => Err(reason),
        }
    }

    fn instant(&self, value: &Value) -> Option<Value> {
        let millis = match self.time {
            TimeFormat::Rfc3339 => return value.as_str().map(Value::from),
            TimeFormat::UnixMs => value.as_i64()?,
            TimeFormat::Unix => (value.as_f64()? * 1_000.0).round() as i64,
        };
        let instant = DateTime::from_timestamp_millis(millis)?;
        Some(instant.to_rfc3339_opts(SecondsFormat::AutoSi, true).into())
    }
}

/// A number, or a text that is one.
fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => text.trim().parse::<f64>().ok().map(Value::from),
        _ => None,
    }
}

/// Whether a position lies behind another: as numbers where both are, else as texts.
fn is_later(one: &str, other: &str) -> bool {
    if let (Ok(one), Ok(other)) = (one.parse::<i128>(), other.parse::<i128>()) {
        return one > other;
    }
    match (one.parse::<f64>(), other.parse::<f64>()) {
        (Ok(one), Ok(other)) => one > other,
        _ => one > other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mapping(more: &str) -> Mapping {
        let spec = format!(
            "url = \"https://x.test/\"\nevery = \"5s\"\nevents = \"data.items\"\n{more}\n\
             fields = {{ event_id = \"id\", event_time = \"ts\", region_id = \"zone\", price = \"px.value\" }}"
        );
        Mapping::new(&toml::from_str(&spec).unwrap())
    }

    fn now() -> DateTime<Utc> {
        "2026-03-01T12:00:00Z".parse().unwrap()
    }

    #[test]
    fn fields_are_found_where_the_declaration_says() {
        let text = br#"{"data": {"items": [{"id": 7, "ts": 1772362800, "zone": "it-lombardia", "px": {"value": "101.5"}, "x": 1}]},
                        "meta": {"next": "c2"}}"#;
        let page = mapping("paging.cursor = \"meta.next\"\ntime = \"unix\"")
            .read(text, &Atlas::default(), now())
            .unwrap();
        let expected = r#"{"event_id":"7","event_time":"2026-03-01T11:00:00Z","price":101.5,"region_id":"it-lombardia"}"#;
        assert_eq!(page.events, [("7".to_string(), expected.to_string())]);
        assert_eq!(page.next.as_deref(), Some("c2"));
    }

    #[test]
    fn the_newest_value_is_the_position_whatever_the_order() {
        let item = |id: u32, ts: &str| format!(r#"{{"id": {id}, "ts": "2026-03-01T{ts}Z", "zone": "x"}}"#);
        let items = [item(1, "10:00:00"), item(2, "11:00:00"), item(3, "09:00:00")].join(",");
        let text = format!(r#"{{"data": {{"items": [{items}]}}}}"#);
        let page = mapping("paging.newest = \"ts\"").read(text.as_bytes(), &Atlas::default(), now()).unwrap();
        assert_eq!(page.next.as_deref(), Some("2026-03-01T11:00:00Z"));
        let numbers =
            mapping("paging.newest = \"id\"").read(text.as_bytes(), &Atlas::default(), now()).unwrap();
        assert_eq!(numbers.next.as_deref(), Some("3"));
        assert!(is_later("10", "9") && is_later("1.5", "1") && !is_later("a", "b"));
    }

    #[test]
    fn one_wrong_event_is_set_aside_and_a_page_of_them_is_refused() {
        let mapping = mapping("paging.newest = \"ts\"");
        let good = r#"{"id": "e1", "ts": "2026-03-01T10:00:00Z", "zone": "x"}"#;
        let wrong = r#"{"id": "e2", "zeit": "2026-03-01T10:00:00Z", "zone": "x"}"#;
        let page = |items: &str| format!(r#"{{"data": {{"items": [{items}]}}}}"#);
        let mixed =
            mapping.read(page(&format!("{good},{wrong}")).as_bytes(), &Atlas::default(), now()).unwrap();
        assert_eq!((mixed.events.len(), mixed.poison.len()), (1, 1));
        let refused = mapping.read(page(wrong).as_bytes(), &Atlas::default(), now()).unwrap_err().to_string();
        assert!(refused.contains("none of the 1 events") && refused.contains("event_time"), "{refused}");
        for (text, said) in
            [("{\"data\": {\"items\": [", "no JSON"), ("{}", "`data.items`"), ("[]", "`data.items`")]
        {
            let refused = mapping.read(text.as_bytes(), &Atlas::default(), now()).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
        assert!(mapping.read(page("").as_bytes(), &Atlas::default(), now()).unwrap().events.is_empty());
    }
}
