//! `Prefer` (RFC 7240): `respond-async`, `wait=n`, `count=exact|estimated`.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;

use crate::state::App;

/// What the caller would like; unknown preferences are ignored, as the RFC asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Prefer {
    /// `None`: the configured time; zero: answer with a job at once.
    pub wait: Option<Duration>,
    pub count: Option<String>,
}

impl FromRequestParts<App> for Prefer {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Infallible> {
        let mut prefer = Self::default();
        let texts = parts.headers.get_all("prefer").into_iter().filter_map(|value| value.to_str().ok());
        texts.flat_map(|text| text.split([',', ';'])).for_each(|word| prefer.take(word.trim()));
        Ok(prefer)
    }
}

impl Prefer {
    fn take(&mut self, word: &str) {
        let (name, value) = word.split_once('=').unwrap_or((word, ""));
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "respond-async" => self.wait = Some(Duration::ZERO),
            "wait" if self.wait.is_none() => self.wait = value.parse().ok().map(Duration::from_secs),
            "count" => self.count = Some(value.to_owned()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences_are_read_in_any_order() {
        let mut prefer = Prefer::default();
        for word in ["wait=5", "count=exact", "handling=lenient", "respond-async"] {
            prefer.take(word);
        }
        assert_eq!(prefer, Prefer { wait: Some(Duration::ZERO), count: Some("exact".into()) });
    }
}
