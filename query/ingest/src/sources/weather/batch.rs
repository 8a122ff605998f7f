//! What the weather sources share: fetching many places, storing the bytes, and making the same rows of them again.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use identity::RegionId;
use serde_json::{Value, json};
use url::Url;

use super::answer::Answer;
use super::archive::Grain;
use super::call::{Asked, Endpoint};
use super::client::{Body, Client};
use crate::sources::raw::{Arrived, RawObject, RawStore};
use crate::sources::{Batch, Place, SourceError, Touched};

/// Client, raw area and table of one weather source.
#[derive(Clone)]
pub struct Shared {
    /// The source's name: `c` in the default lake.
    pub source: String,
    pub client: Arc<Client>,
    pub raw: RawStore,
    pub schema: SchemaRef,
    pub locations_per_request: usize,
}

/// What is asked for, where, and the folder of the raw area that keeps the answers.
pub struct Call<'a> {
    pub endpoint: Endpoint,
    pub folder: &'a str,
    pub asked: Asked,
}

/// The regions of a call, and what was said of each.
type Answered = (Vec<RegionId>, Vec<Answer>);

/// From the answers about some regions to rows.
pub type Curate<'a> = dyn Fn(&SchemaRef, &[RegionId], Vec<Answer>) -> Result<(RecordBatch, Touched), SourceError>
    + Send
    + Sync
    + 'a;

impl Shared {
    /// Asks for all places, in as few calls as the service allows, and stores every answer as it came.
    pub async fn fetch(
        &self,
        call: &Call<'_>,
        n: i64,
        places: &[Place],
        now: DateTime<Utc>,
    ) -> Result<Vec<(RawObject, Bytes)>, SourceError> {
        let (mut arrived, mut texts) = (Vec::new(), Vec::new());
        for (part, places) in places.chunks(self.locations_per_request.max(1)).enumerate() {
            let (mut page, mut cursor) = (0, Some(String::new()));
            while let Some(at) = cursor {
                let url = self.client.service.url(call.endpoint, places, call.asked, &at)?;
                let body = self.client.get(&url).await?;
                let text = self.client.unpack(&body)?;
                cursor = self.client.service.next(&text, page)?;
                texts.push(text);
                arrived.push(arrived_part((part, page), places, &url, body));
                page += 1;
            }
        }
        let folder = format!("{}/{}", self.source, call.folder);
        let stored = self.raw.store(&folder, n, now, arrived).await?;
        Ok(stored.into_iter().zip(texts).collect())
    }

    /// The answers to a call that a manifest of the raw area names, if they are to this very call.
    /// - Shape: `None` for answers to another one.
    pub async fn kept(
        &self,
        call: &Call<'_>,
        places: &[Place],
        manifest: &str,
    ) -> Result<Option<Vec<(RawObject, Bytes)>>, SourceError> {
        let objects = self.raw.manifest(manifest).await?;
        let parts = places.chunks(self.locations_per_request.max(1));
        let url = |places| self.client.service.url(call.endpoint, places, call.asked, "");
        let urls = parts.map(url).collect::<Result<Vec<Url>, _>>()?;
        let first = objects.iter().filter(|object| page_of(object) == 0).map(|object| object.origin.as_str());
        if !urls.iter().map(Url::as_str).eq(first) {
            return Ok(None);
        }
        self.texts(objects).await.map(Some)
    }

    /// Raw objects with their text, unpacked.
    async fn texts(&self, objects: Vec<RawObject>) -> Result<Vec<(RawObject, Bytes)>, SourceError> {
        let mut texts = Vec::new();
        for object in objects {
            let body = Body { bytes: self.raw.read(&object).await?, gzip: object.path.ends_with(".gz") };
            texts.push((object, self.client.unpack(&body)?));
        }
        Ok(texts)
    }

    /// The batch of freshly fetched answers.
    pub fn batch(
        &self,
        position: Value,
        fetched: Vec<(RawObject, Bytes)>,
        grain: Grain,
        curate: &Curate<'_>,
    ) -> Result<Batch, SourceError> {
        let (mut rows, mut touched) = (Vec::new(), Touched::default());
        for (regions, answers) in self.answers(&fetched, grain)? {
            let (batch, part) = curate(&self.schema, &regions, answers)?;
            touched.merge(&part);
            rows.push(batch);
        }
        let objects: Vec<RawObject> = fetched.into_iter().map(|(object, _)| object).collect();
        Ok(Batch { position, objects: json!(objects), rows, touched })
    }

    /// Regions and what is said of them, call by call: the pages of one are put together.
    fn answers(&self, fetched: &[(RawObject, Bytes)], grain: Grain) -> Result<Vec<Answered>, SourceError> {
        let mut calls: Vec<Answered> = Vec::new();
        for (object, text) in fetched {
            let answers = self.client.service.read(text, grain)?;
            match calls.last_mut().filter(|_| page_of(object) > 0) {
                Some((_, before)) if before.len() == answers.len() => {
                    before.iter_mut().zip(answers).for_each(|(before, more)| before.extend(more));
                }
                Some(_) => return Err(SourceError::refused("a page is about other places than the first")),
                None => calls.push((regions(object)?, answers)),
            }
        }
        Ok(calls)
    }

    /// The same batch again, from the raw objects that its row names.
    pub async fn replay(
        &self,
        position: Value,
        objects: Value,
        grain: Grain,
        curate: &Curate<'_>,
    ) -> Result<Batch, SourceError> {
        self.batch(position, self.texts(stored(objects)?).await?, grain, curate)
    }
}

fn arrived_part((part, page): (usize, u32), places: &[Place], url: &Url, body: Body) -> Arrived {
    let ending = if body.gzip { "json.gz" } else { "json" };
    let regions: Vec<&RegionId> = places.iter().map(|p| &p.region).collect();
    let (name, about) = match page {
        0 => (format!("{part:03}.{ending}"), json!({ "regions": regions })),
        _ => (format!("{part:03}-{page:03}.{ending}"), json!({ "regions": regions, "page": page })),
    };
    Arrived { name, bytes: body.bytes, origin: url.to_string(), about }
}

/// Which page of its call an object is.
fn page_of(object: &RawObject) -> u64 {
    object.about["page"].as_u64().unwrap_or(0)
}

/// The regions that a raw object is about.
pub fn regions(object: &RawObject) -> Result<Vec<RegionId>, SourceError> {
    serde_json::from_value(object.about["regions"].clone())
        .map_err(|e| SourceError::refused(format!("the regions of {}: {e}", object.path)))
}

/// The raw objects that a batch's row names.
pub fn stored(objects: Value) -> Result<Vec<RawObject>, SourceError> {
    serde_json::from_value(objects).map_err(|e| SourceError::refused(format!("the objects of a batch: {e}")))
}

/// When the objects of a batch came.
pub fn arrived_at(objects: &Value) -> Result<DateTime<Utc>, SourceError> {
    let first = stored(objects.clone())?.into_iter().next();
    first.map(|o| o.at).ok_or_else(|| SourceError::refused("a batch without objects"))
}
