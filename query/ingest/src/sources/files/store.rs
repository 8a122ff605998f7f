//! A prefix of an object store.

use std::io;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::stream::{self, BoxStream};
use futures::{StreamExt as _, TryStreamExt as _};
use lake::{ObjectInfo, Objects};
use tokio::sync::OnceCell;
use url::Url;

use super::folder::has_settled;
use super::origin::{Ask, Content, Found, Names, Opened, Origin, Stamp};
use crate::lakefile::StoreSpec;
use crate::sources::SourceError;
use crate::sources::secret::Secret;
use crate::sources::weather::guard::Guard;

/// Bytes of one read.
const PIECE_BYTES: u64 = 8 << 20;

/// The objects below a prefix.
pub struct Store {
    spec: StoreSpec,
    names: Names,
    settle_ms: u64,
    objects: OnceCell<Objects>,
}

impl Store {
    /// The objects of a store by the lake's declaration; it is opened when it is first looked at.
    pub fn new(spec: &StoreSpec, names: Names, settle_ms: u64) -> Self {
        Self { spec: spec.clone(), names, settle_ms, objects: OnceCell::new() }
    }

    async fn objects(&self) -> Result<&Objects, SourceError> {
        self.objects
            .get_or_try_init(|| async {
                let mut options = self.spec.options.clone();
                for (name, secret) in &self.spec.secrets {
                    options.insert(name.clone(), Secret::read(secret)?.reveal().to_owned());
                }
                for endpoint in options.iter().filter(|(name, _)| name.contains("endpoint")) {
                    self.check(endpoint.1).await?;
                }
                Objects::elsewhere(&self.spec.url, &options).map_err(|e| SourceError::refused(e.to_string()))
            })
            .await
    }

    /// Errors: [`SourceError::NotAllowed`] for an endpoint that has no address which may be asked.
    async fn check(&self, endpoint: &str) -> Result<(), SourceError> {
        let url =
            Url::parse(endpoint).map_err(|e| SourceError::refused(format!("the store's endpoint: {e}")))?;
        let guard = Guard::new(&[&url], self.spec.allow_private);
        guard.check(&url)?;
        let port = url.port_or_known_default().unwrap_or(443);
        guard.addresses(url.host_str().unwrap_or_default(), port).await.map(drop)
    }
}

#[async_trait]
impl Origin for Store {
    async fn list(&self, now: DateTime<Utc>) -> Result<Vec<Found>, SourceError> {
        let listed = self.objects().await?.list("").await.map_err(unavailable)?;
        let settled =
            |object: &ObjectInfo| has_settled(object.modified.timestamp_millis(), self.settle_ms, now);
        let files = listed.into_iter().filter(|o| self.names.take(&o.path) && settled(o));
        let root = self.spec.url.trim_end_matches('/');
        let found = |object: ObjectInfo| Found {
            origin: format!("{root}/{}", object.path),
            stamp: stamp(&object),
            name: object.path,
            ask: Ask::Never,
        };
        Ok(files.map(found).collect())
    }

    async fn open(&self, found: &Found, _known: Option<&Stamp>) -> Result<Opened, SourceError> {
        let objects = self.objects().await?;
        let Some(object) = objects.head(&found.name).await.map_err(unavailable)? else {
            tracing::warn!(file = found.origin, "an object that was listed is not there");
            return Ok(Opened::Absent);
        };
        let (bytes, stamp) = (pieces(objects.clone(), object.clone()), stamp(&object));
        Ok(Opened::Content(Content { bytes, stamp }))
    }
}

/// An object piece by piece, each a request of its own that may be tried again; the last one fails where the object has changed.
fn pieces(objects: Objects, object: ObjectInfo) -> BoxStream<'static, io::Result<Bytes>> {
    let ranges = (0..object.size).step_by(PIECE_BYTES as usize);
    let ranges = ranges.map(move |at| at..object.size.min(at + PIECE_BYTES));
    let read = move |range: Range<u64>| {
        let (objects, object) = (objects.clone(), object.clone());
        async move {
            let last = range.end == object.size;
            let bytes = objects.get_range(&object.path, range).await.map_err(io::Error::other)?;
            let same = !last || objects.head(&object.path).await.map_err(io::Error::other)? == Some(object);
            if same { Ok(bytes) } else { Err(io::Error::other("it changed while it was read")) }
        }
    };
    stream::iter(ranges).map(Ok).and_then(read).boxed()
}

fn stamp(object: &ObjectInfo) -> Stamp {
    Stamp {
        size: i64::try_from(object.size).ok(),
        modified_ms: Some(object.modified.timestamp_millis()),
        tag: object.tag.clone(),
    }
}

/// What the store says stays behind the words for it: an answer may repeat what it was asked with.
fn unavailable(error: lake::Error) -> SourceError {
    tracing::debug!(error = crate::words::chain(&error), "a source's store fails");
    SourceError::Unavailable { reason: format!("the store of the files: {error}"), retry_after_secs: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn files_below_a_prefix_are_found_by_their_paths_and_read_whole() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![b'x'; PIECE_BYTES as usize + 5];
        std::fs::create_dir_all(folder.path().join("a/2021")).unwrap();
        std::fs::write(folder.path().join("a/2021/b.csv"), &long).unwrap();
        std::fs::write(folder.path().join("a/a.csv.part"), "x").unwrap();
        let spec: StoreSpec =
            toml::from_str(&format!("url = \"file://{}/a\"", folder.path().display())).unwrap();
        let store = Store::new(&spec, Names::new(None), 0);
        let found = store.list(Utc::now()).await.unwrap();
        assert_eq!(found.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["2021/b.csv"]);
        let Opened::Content(content) = store.open(&found[0], None).await.unwrap() else { panic!("absent") };
        let pieces: Vec<Bytes> = content.bytes.try_collect().await.unwrap();
        assert_eq!((pieces.len(), pieces.concat().len()), (2, long.len()));
        assert_eq!(content.stamp, found[0].stamp);
    }

    #[tokio::test]
    async fn an_endpoint_of_a_private_network_must_be_allowed() {
        let text =
            "url = \"s3://b/a\"\noptions = { aws_endpoint = \"http://127.0.0.1:9\", allow_http = \"true\" }";
        let spec: StoreSpec = toml::from_str(text).unwrap();
        let refused = Store::new(&spec, Names::new(None), 0).list(Utc::now()).await.unwrap_err();
        assert!(matches!(refused, SourceError::NotAllowed { .. }), "{refused}");
    }
}
