//! Files of an HTTP server: those of a listing, or one a day at an address with the day in it.

use std::collections::HashMap;
use std::io;
use std::time::Duration;

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Days, NaiveDate, Utc};
use futures::{StreamExt as _, TryStreamExt as _};
use parking_lot::Mutex;
use reqwest::header::{
    ACCEPT_ENCODING, CONTENT_LENGTH, ETAG, HeaderMap, HeaderName, IF_MODIFIED_SINCE, IF_NONE_MATCH,
    LAST_MODIFIED,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use url::Url;

use super::folder::has_settled;
use super::listing;
use super::origin::{Ask, Content, Found, Names, Opened, Origin, Stamp, date_in};
use super::template::Template;
use crate::lakefile::HttpSpec;
use crate::sources::SourceError;
use crate::sources::http::{client, instant, judged, parse, retry_after, unavailable, with_token};
use crate::sources::patience::Patience;
use crate::sources::secret::Secret;
use crate::sources::weather::guard::Guard;
use crate::words::chain;

/// The longest listing that is read.
const LISTING_BYTES: usize = 16 << 20;
/// How HTTP writes an instant.
const HTTP_DATE: &str = "%a, %d %b %Y %H:%M:%S GMT";

/// A server's files.
pub struct Http {
    spec: HttpSpec,
    names: Names,
    settle_ms: u64,
    client: reqwest::Client,
    guard: Guard,
    patience: Patience,
    place: Place,
    looked: Mutex<Looked>,
}

/// The last look.
#[derive(Default)]
struct Looked {
    at: DateTime<Utc>,
    /// Where the files are; an address may hold a signature and is shown to nobody.
    addresses: HashMap<String, Url>,
}

enum Place {
    Listing(Url),
    Days(Template),
}

impl Http {
    /// The files of a server by the lake's declaration; nothing is asked yet.
    /// - Errors: [`SourceError::NotAllowed`] for an address that must not be asked.
    pub fn new(spec: &HttpSpec, names: Names, settle_ms: u64) -> Result<Self, SourceError> {
        let template = Template::parse(&spec.url).map_err(SourceError::refused)?;
        let host = parse(&template.as_ref().map_or(spec.url.clone(), |t| t.of(NaiveDate::default())))?;
        let guard = Guard::new(&[&host], spec.allow_private);
        guard.check(&host)?;
        Ok(Self {
            names,
            settle_ms,
            client: client(&guard, spec.timeout.0)?,
            guard,
            patience: Patience::new(Duration::from_millis(spec.pause_ms)),
            place: template.map_or(Place::Listing(host), Place::Days),
            looked: Mutex::default(),
            spec: spec.clone(),
        })
    }

    /// A request with the credentials of the declaration, which go to its host alone.
    fn get(&self, url: &Url) -> Result<RequestBuilder, SourceError> {
        self.guard.check(url)?;
        let mut request = self.client.get(url.clone()).header(ACCEPT_ENCODING, "identity");
        if let Some(user) = &self.spec.user {
            let password = self.spec.password.as_ref().map(Secret::read).transpose()?;
            request = request.basic_auth(user, password.as_ref().map(Secret::reveal));
        }
        with_token(request, self.spec.token.as_ref(), self.spec.token_header.as_deref())
    }

    async fn listing(&self, url: &Url) -> Result<Bytes, SourceError> {
        let once = || async move {
            let response = self.get(url)?.send().await.map_err(unavailable)?;
            let mut response = success(url, response)?;
            let mut bytes = BytesMut::new();
            while let Some(chunk) = response.chunk().await.map_err(unavailable)? {
                if bytes.len() + chunk.len() > LISTING_BYTES {
                    return Err(SourceError::refused(format!(
                        "the listing is longer than {LISTING_BYTES} bytes"
                    )));
                }
                bytes.extend_from_slice(&chunk);
            }
            Ok(bytes.freeze())
        };
        self.patience.call(once).await
    }

    /// The files that a listing names, on this host.
    fn listed(&self, base: &Url, text: &[u8], now: DateTime<Utc>) -> Result<Vec<(Found, Url)>, SourceError> {
        let mut found = Vec::new();
        for entry in listing::parse(text)? {
            let Ok(url) = base.join(&entry.address) else { continue };
            let name = entry.name.unwrap_or_else(|| listing::name_below(base, &url));
            // Another origin, the same host without TLS too, would be sent the credentials of this one.
            if !self.names.take(&name) || url.origin() != base.origin() || self.guard.check(&url).is_err() {
                continue;
            }
            if entry.stamp.modified_ms.is_some_and(|at| !has_settled(at, self.settle_ms, now)) {
                continue;
            }
            let ask = Ask::Within(self.spec.recheck.seconds());
            found.push((Found { name, origin: shown(&url), stamp: entry.stamp, ask }, url));
        }
        Ok(found)
    }

    /// The files of the last days. Each is asked for again while its day is among them, as it may be late or corrected.
    fn days(&self, template: &Template, now: DateTime<Utc>) -> Result<Vec<(Found, Url)>, SourceError> {
        let day = |back: u32| now.date_naive().checked_sub_days(Days::new(u64::from(back)));
        let file = |day: NaiveDate| {
            let url = parse(&template.of(day))?;
            let last = url.path().rsplit('/').next().unwrap_or_default();
            let name = if date_in(last) == Some(day) { last.to_owned() } else { format!("{day}/{last}") };
            let (origin, stamp) = (shown(&url), Stamp::default());
            Ok((Found { name, origin, stamp, ask: Ask::Within(i64::MAX) }, url))
        };
        (0..self.spec.days.max(1)).filter_map(day).map(file).collect()
    }

    async fn ask(&self, url: &Url, known: Option<&Stamp>) -> Result<Response, SourceError> {
        let once = || async move {
            let mut request = self.get(url)?;
            if let Some(tag) = known.and_then(|k| k.tag.as_ref()) {
                request = request.header(IF_NONE_MATCH, tag);
            } else if let Some(at) = known.and_then(|k| DateTime::from_timestamp_millis(k.modified_ms?)) {
                request = request.header(IF_MODIFIED_SINCE, at.format(HTTP_DATE).to_string());
            }
            let response = request.send().await.map_err(unavailable)?;
            match response.status() {
                StatusCode::NOT_MODIFIED | StatusCode::NOT_FOUND | StatusCode::GONE => Ok(response),
                _ => success(url, response),
            }
        };
        self.patience.call(once).await
    }
}

#[async_trait]
impl Origin for Http {
    async fn list(&self, now: DateTime<Utc>) -> Result<Vec<Found>, SourceError> {
        let found = match &self.place {
            Place::Listing(url) => self.listed(url, &self.listing(url).await?, now)?,
            Place::Days(template) => self.days(template, now)?,
        };
        let mut addresses = HashMap::new();
        let mut each = Vec::with_capacity(found.len());
        for (file, url) in found {
            if addresses.insert(file.name.clone(), url).is_none() {
                each.push(file);
            }
        }
        *self.looked.lock() = Looked { at: now, addresses };
        Ok(each)
    }

    async fn open(&self, found: &Found, known: Option<&Stamp>) -> Result<Opened, SourceError> {
        let (url, now) = {
            let looked = self.looked.lock();
            (looked.addresses.get(&found.name).cloned(), looked.at)
        };
        let Some(url) = url else { return Ok(Opened::Absent) };
        let response = self.ask(&url, known).await?;
        match response.status() {
            StatusCode::NOT_MODIFIED => return Ok(Opened::Unchanged),
            StatusCode::OK => {}
            _ => return Ok(Opened::Absent),
        }
        let told = told(response.headers());
        if told.modified_ms.is_some_and(|at| !has_settled(at, self.settle_ms, now)) {
            return Ok(Opened::Absent);
        }
        let stamp = if found.stamp.is_known() { found.stamp.clone() } else { told };
        let bytes = response.bytes_stream().map_err(|e| io::Error::other(chain(&e.without_url()))).boxed();
        Ok(Opened::Content(Content { bytes, stamp }))
    }
}

fn success(url: &Url, response: Response) -> Result<Response, SourceError> {
    let status = response.status();
    if status == StatusCode::OK {
        return Ok(response);
    }
    let reason = format!("{}: status {status}", url.host_str().unwrap_or("the server"));
    Err(judged(status, retry_after(&response), reason))
}

/// What an answer's headers tell of the file.
fn told(headers: &HeaderMap) -> Stamp {
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    Stamp {
        size: text(CONTENT_LENGTH).and_then(|size| size.parse().ok()),
        modified_ms: text(LAST_MODIFIED).and_then(instant).map(|at| at.timestamp_millis()),
        tag: text(ETAG).map(str::to_owned),
    }
}

/// An address without what may be a secret: its query.
fn shown(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    url.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn http(url: &str) -> Http {
        let spec: HttpSpec = toml::from_str(&format!("url = {url:?}\ndays = 2")).unwrap();
        Http::new(&spec, Names::new(None), 0).unwrap()
    }

    #[test]
    fn a_listing_names_files_of_its_own_origin_alone() {
        let http = http("https://x.test/a/");
        let base = Url::parse("https://x.test/a/").unwrap();
        let text = br#"["a.csv", "https://x.test/a/b.csv?sig=s", "http://x.test/a/c.csv", "https://y.test/d.csv", "x/../../e.csv",
            "https://x.test:444/f.csv", "notes.md"]"#;
        let found = http.listed(&base, text, Utc::now()).unwrap();
        let told: Vec<_> = found.iter().map(|(f, _)| (f.name.as_str(), f.origin.as_str())).collect();
        assert_eq!(
            told,
            [
                ("a.csv", "https://x.test/a/a.csv"),
                ("b.csv", "https://x.test/a/b.csv"),
                ("e.csv", "https://x.test/e.csv")
            ]
        );
        assert_eq!(found[1].1.query(), Some("sig=s"));
    }

    #[test]
    fn a_file_a_day_is_known_by_its_day() {
        let now = "2021-10-04T06:00:00Z".parse().unwrap();
        let names = |url: &str| {
            let http = http(url);
            let Place::Days(template) = &http.place else { panic!("no template") };
            let found = http.days(template, now).unwrap();
            found.into_iter().map(|(f, _)| f.name).collect::<Vec<_>>()
        };
        assert_eq!(names("https://x.test/{date}.csv"), ["2021-10-04.csv", "2021-10-03.csv"]);
        assert_eq!(names("https://x.test/{date:%Y/%j}/a.csv?k=1"), ["2021-10-04/a.csv", "2021-10-03/a.csv"]);
    }

    #[test]
    fn what_is_shown_of_an_address_holds_no_query() {
        assert_eq!(shown(&Url::parse("https://x.test/a.csv?key=geheim#x").unwrap()), "https://x.test/a.csv");
    }
}
