//! Which format the caller takes: `?format=` first, else `Accept` with its weights, else JSON. And which coding.

use axum::extract::FromRequestParts;
use engine::{Coding, Format};
use http::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderValue, IF_NONE_MATCH};
use http::request::Parts;

use crate::caching;
use crate::problem::{Kind, Problem};
use crate::state::App;

/// What the request's headers say of the answer.
pub struct Accepted {
    /// By `Accept`; a `format` parameter is the handler's to prefer.
    pub format: Option<Format>,
    /// Whether JSON is among what is taken, whatever else is preferred.
    pub json: bool,
    pub coding: Option<Coding>,
    /// Whether the answer is CSV that begins with a byte order mark.
    pub bom: bool,
    /// The value of `If-None-Match`.
    pub if_none_match: Option<HeaderValue>,
}

impl FromRequestParts<App> for Accepted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &App) -> Result<Self, Problem> {
        Ok(Self::of(&parts.headers))
    }
}

impl Accepted {
    /// What these headers say.
    pub fn of(headers: &HeaderMap) -> Self {
        Self {
            format: by_accept(headers),
            json: takes_json(headers),
            coding: by_accept_encoding(headers),
            bom: false,
            if_none_match: headers.get(IF_NONE_MATCH).cloned(),
        }
    }

    /// The tags the caller shows.
    pub fn tags(&self) -> Option<&str> {
        self.if_none_match.as_ref()?.to_str().ok()
    }

    /// The format to answer in. Errors: `not-acceptable` for an unknown word or when nothing accepted is written here.
    pub fn format(&self, parameter: Option<&str>) -> Result<Format, Problem> {
        match parameter {
            Some(word) => word
                .parse::<Format>()
                .ok()
                .ok_or_else(|| not_acceptable(&format!("no format `{}`", super::path::plain(word)))),
            None => {
                self.format.ok_or_else(|| not_acceptable("none of the accepted media types is written here"))
            }
        }
    }

    /// The same for an answer in this format, where a `bom` parameter asks for a byte order mark: of CSV alone.
    #[must_use]
    pub fn with_bom(self, bom: Option<bool>, format: Format) -> Self {
        Self { bom: bom == Some(true) && format == Format::Csv, ..self }
    }

    /// The tags the caller has, as the engine gives them: a packed form's tag is that of the plain one.
    pub fn known(&self) -> Option<String> {
        let tags = self.tags()?;
        let plain: Vec<_> =
            tags.split(',').filter_map(|tag| caching::plain_tag(tag.trim(), self.bom)).collect();
        Some(plain.join(", "))
    }

    /// JSON or 406: for routes whose answer is one document.
    pub fn json(&self) -> Result<Format, Problem> {
        if self.json { Ok(Format::Json) } else { Err(not_acceptable("this answer is `application/json`")) }
    }
}

fn not_acceptable(detail: &str) -> Problem {
    let words: Vec<_> =
        Format::ALL.iter().map(|format| serde_json::json!({"format": format.word()})).collect();
    Problem::because(Kind::NotAcceptable, detail).with_errors(words)
}

fn by_accept(headers: &HeaderMap) -> Option<Format> {
    let Some(first) = headers.get(ACCEPT) else { return Some(Format::Json) };
    // What almost every client sends.
    if matches!(first.as_bytes(), b"*/*" | b"application/json") {
        return Some(Format::Json);
    }
    let texts = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    let mut ranges: Vec<(u16, &str)> = texts.flat_map(|text| text.split(',')).map(range).collect();
    ranges.sort_by_key(|(weight, _)| std::cmp::Reverse(*weight));
    let refused: Vec<&str> =
        ranges.iter().filter(|(weight, _)| *weight == 0).map(|(_, range)| *range).collect();
    let wanted = ranges.iter().filter(|(weight, _)| *weight > 0);
    wanted
        .flat_map(|(_, range)| {
            Format::ALL
                .into_iter()
                .find(|format| covers(range, *format) && !refused.contains(&essence(*format)))
        })
        .next()
}

/// The common case is decided by [`by_accept`] without allocating.
fn takes_json(headers: &HeaderMap) -> bool {
    if by_accept(headers) == Some(Format::Json) {
        return true;
    }
    let texts = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    texts
        .flat_map(|text| text.split(','))
        .map(range)
        .any(|(weight, range)| weight > 0 && covers(range, Format::Json))
}

fn essence(format: Format) -> &'static str {
    format.content_type().split(';').next().unwrap_or_default()
}

fn covers(range: &str, format: Format) -> bool {
    let media = essence(format);
    range == "*/*"
        || range == media
        || range.strip_suffix("/*").is_some_and(|family| media.split('/').next() == Some(family))
}

/// Weight in thousandths and media range of one entry.
fn range(entry: &str) -> (u16, &str) {
    let mut parts = entry.split(';');
    let media = parts.next().unwrap_or_default().trim();
    let weight =
        parts.find_map(|part| part.trim().strip_prefix("q=")).and_then(|q| q.trim().parse::<f32>().ok());
    ((weight.unwrap_or(1.0).clamp(0.0, 1.0) * 1000.0) as u16, media)
}

/// The coding of the highest weight, of equal ones the better; `None` where no coding, or only others, are taken.
fn by_accept_encoding(headers: &HeaderMap) -> Option<Coding> {
    let texts = headers.get_all(ACCEPT_ENCODING).into_iter().filter_map(|value| value.to_str().ok());
    let taken: Vec<(u16, &str)> = texts.flat_map(|text| text.split(',')).map(range).collect();
    let weight = |coding: Coding| {
        let named = |word: &str| taken.iter().find(|(_, name)| *name == word).map(|(weight, _)| *weight);
        named(coding.word()).or_else(|| named("*")).unwrap_or(0)
    };
    let best = Coding::ALL.into_iter().rev().max_by_key(|coding| weight(*coding))?;
    (weight(best) > 0).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(text: &'static str) -> Option<Format> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(text));
        by_accept(&headers)
    }

    #[test]
    fn the_heaviest_accepted_format_wins() {
        assert_eq!(accept("text/csv;q=0.5, application/x-ndjson"), Some(Format::Ndjson));
        assert_eq!(accept("text/*"), Some(Format::Csv));
        assert_eq!(accept("application/json;q=0, */*;q=0.1"), Some(Format::Ndjson));
        assert_eq!(accept("image/png"), None);
        assert_eq!(accept("text/html, */*;q=0.8"), Some(Format::Json));
    }

    #[test]
    fn the_heaviest_accepted_coding_wins_and_the_better_of_equals() {
        let coding = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT_ENCODING, HeaderValue::from_static(text));
            by_accept_encoding(&headers)
        };
        assert_eq!(by_accept_encoding(&HeaderMap::new()), None);
        assert_eq!(coding("gzip, deflate, br, zstd"), Some(Coding::Zstd));
        assert_eq!(coding("gzip;q=0, br"), Some(Coding::Brotli));
        assert_eq!(coding("br;q=0.5, gzip"), Some(Coding::Gzip));
        assert_eq!(coding("*;q=0.1, zstd;q=0"), Some(Coding::Brotli));
        assert_eq!(coding("identity, gzip;q=0"), None);
        assert_eq!(coding("deflate"), None);
    }
}
