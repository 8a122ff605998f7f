//! The raw area: bytes exactly as they came, and one manifest line for each object.
//!
//! ```text
//! raw/<source>/day=YYYY-MM-DD/<n>-<name>            the bytes
//! raw/<source>/day=YYYY-MM-DD/<n>-manifest.ndjson   {path, size, sha256, origin, at, about} a line
//! ```
//! Days are UTC days of arrival. The number is the batch's: a batch fetched again after a kill overwrites itself.

use std::collections::BTreeMap;
use std::io;

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures::{Stream, StreamExt as _};
use lake::Objects;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::SourceError;

/// Characters of a foreign name that are kept.
const NAME_CHARS: usize = 128;

/// One object of the raw area: its manifest line, and what a batch's row says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RawObject {
    pub path: String,
    pub size: u64,
    pub sha256: String,
    /// Where the bytes came from: a URL without secrets, a file's path.
    pub origin: String,
    /// When they came: `ingested_at` of every row made from them.
    pub at: DateTime<Utc>,
    /// What one needs to know to read them: the source's own.
    pub about: Value,
}

/// Bytes on their way into the raw area.
pub struct Arrived {
    pub name: String,
    pub bytes: Bytes,
    pub origin: String,
    pub about: Value,
}

/// The day on which what lies at a path came; `None` where the path does not tell.
pub(super) fn day_of(path: &str) -> Option<NaiveDate> {
    path.split('/').find_map(|part| part.strip_prefix("day="))?.parse().ok()
}

/// Where a file is to lie in the raw area.
pub struct Place {
    path: String,
    at: DateTime<Utc>,
}

/// What became of a stream.
pub enum Stored {
    Whole(RawObject),
    /// It was longer than its limit; nothing is stored.
    TooLong,
}

/// The raw area of a lake.
#[derive(Clone)]
pub struct RawStore {
    objects: Objects,
    area: String,
}

impl RawStore {
    /// The raw area called `area` in these objects.
    pub fn new(objects: Objects, area: impl Into<String>) -> Self {
        Self { objects, area: area.into() }
    }

    /// Stores what arrived at `at` as batch `n` of a source's folder, bytes first, manifest last.
    /// - Shape: one [`RawObject`] for each, in order.
    /// - Errors: [`SourceError::Raw`]; nothing is named by a manifest then.
    pub async fn store(
        &self,
        folder: &str,
        n: i64,
        at: DateTime<Utc>,
        arrived: Vec<Arrived>,
    ) -> Result<Vec<RawObject>, SourceError> {
        let day = format!("{}/{folder}/day={}", self.area, at.format("%Y-%m-%d"));
        let mut stored = Vec::with_capacity(arrived.len());
        for part in arrived {
            let path = format!("{day}/{n:08}-{}", part.name);
            stored.push(self.put(path, part, at).await?);
        }
        self.put_manifest(&format!("{day}/{n:08}-manifest.ndjson"), &stored).await?;
        Ok(stored)
    }

    /// Where batch `n` of a source keeps a file that came at `at`.
    pub fn place(&self, folder: &str, n: i64, at: DateTime<Utc>, name: &str) -> Place {
        let path = format!("{}/{folder}/day={}/{n:08}-{}", self.area, at.format("%Y-%m-%d"), label(name));
        Place { path, at }
    }

    /// Stores a stream exactly as it comes, in constant memory. No manifest names it yet: see [`Self::sign`].
    /// - Errors: [`SourceError::Unavailable`] where the stream fails or ends too early; nothing is stored then.
    pub async fn pour<S>(
        &self,
        place: Place,
        bytes: S,
        limit_bytes: u64,
        origin: &str,
        about: Value,
    ) -> Result<Stored, SourceError>
    where
        S: Stream<Item = io::Result<Bytes>> + Send,
    {
        let broken = parking_lot::Mutex::new(None);
        let mut received = 0;
        let counted = bytes.map(|piece| {
            let piece = piece.inspect_err(|e| *broken.lock() = Some(e.to_string()))?;
            received += piece.len() as u64;
            if received > limit_bytes { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(piece) }
        });
        let put = self.objects.put_stream(&place.path, counted).await;
        match (put, broken.into_inner()) {
            (Ok(put), _) => {
                let (path, at, origin) = (place.path, place.at, origin.to_owned());
                Ok(Stored::Whole(RawObject { path, size: put.size, sha256: put.sha256, origin, at, about }))
            }
            (Err(_), Some(reason)) => {
                let reason = format!("{origin} broke off: {reason}");
                Err(SourceError::Unavailable { reason, retry_after_secs: None })
            }
            (Err(_), None) if received > limit_bytes => Ok(Stored::TooLong),
            (Err(error), None) => Err(error.into()),
        }
    }

    /// Writes the manifest of a batch's objects.
    pub async fn sign(
        &self,
        folder: &str,
        n: i64,
        at: DateTime<Utc>,
        objects: &[RawObject],
    ) -> Result<(), SourceError> {
        let day = format!("{}/{folder}/day={}", self.area, at.format("%Y-%m-%d"));
        self.put_manifest(&format!("{day}/{n:08}-manifest.ndjson"), objects).await
    }

    /// Takes the manifest of a batch's objects away, so that nobody takes them for what was asked.
    pub async fn unsign(&self, n: i64, objects: &[RawObject]) -> Result<(), SourceError> {
        let Some((day, _)) = objects.first().and_then(|object| object.path.rsplit_once('/')) else {
            return Ok(());
        };
        Ok(self.objects.delete(&format!("{day}/{n:08}-manifest.ndjson")).await?)
    }

    /// Removes an object that no manifest names.
    pub async fn discard(&self, object: &RawObject) -> Result<(), SourceError> {
        Ok(self.objects.delete(&object.path).await?)
    }

    /// Reads an object through, and holds nothing of it.
    /// - Errors: as [`Self::read`].
    pub async fn check(&self, object: &RawObject) -> Result<(), SourceError> {
        let mut pieces = self.objects.get_stream(&object.path).await?;
        let mut digest = Sha256::new();
        while let Some(piece) = pieces.next().await {
            digest.update(piece?);
        }
        match hex(&digest.finalize()) == object.sha256 {
            true => Ok(()),
            false => Err(SourceError::refused(format!("{} has changed since it was stored", object.path))),
        }
    }

    /// The store behind the area.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Stores one object under a path below the area, and its manifest beside it.
    pub async fn store_one(
        &self,
        path: &str,
        part: Arrived,
        at: DateTime<Utc>,
        manifest: &[RawObject],
    ) -> Result<RawObject, SourceError> {
        let stored = self.put(format!("{}/{path}", self.area), part, at).await?;
        let lines: Vec<RawObject> =
            manifest.iter().cloned().map(|line| RawObject { path: stored.path.clone(), ..line }).collect();
        let lines = if lines.is_empty() { vec![stored.clone()] } else { lines };
        self.put_manifest(&format!("{}.manifest.ndjson", stored.path), &lines).await?;
        Ok(stored)
    }

    /// The manifests of a folder's batches from `n` on: what was stored of them, whether they landed or not.
    /// - Shape: path of the manifest by number of the batch.
    pub async fn manifests(&self, folder: &str, n: i64) -> Result<BTreeMap<i64, String>, SourceError> {
        let days = format!("{}/{folder}/day=", self.area);
        let stored = self.list(folder).await?.into_iter().filter(|path| path.starts_with(&days));
        let numbered = stored.filter_map(|path| {
            let name = path.rsplit('/').next()?.strip_suffix("-manifest.ndjson")?;
            Some((name.parse().ok().filter(|number| *number >= n)?, path))
        });
        Ok(numbered.collect())
    }

    /// The paths of everything below a folder.
    pub async fn list(&self, folder: &str) -> Result<Vec<String>, SourceError> {
        let stored = self.objects.list(&format!("{}/{folder}", self.area)).await?;
        Ok(stored.into_iter().map(|object| object.path).collect())
    }

    /// The bytes at a path; whether they are what was stored, their manifest says.
    pub async fn bytes(&self, path: &str) -> Result<Bytes, SourceError> {
        Ok(self.objects.get(path).await?)
    }

    /// The lines of a manifest.
    /// - Errors: [`SourceError::Raw`], [`SourceError::Refused`] when it is none.
    pub async fn manifest(&self, path: &str) -> Result<Vec<RawObject>, SourceError> {
        let text = self.objects.get(path).await?;
        let lines = serde_json::Deserializer::from_slice(&text).into_iter::<RawObject>();
        let wrong = |e: serde_json::Error| SourceError::refused(format!("{path}: {e}"));
        lines.collect::<Result<_, _>>().map_err(wrong)
    }

    /// The bytes of an object, whole and unchanged.
    /// - Errors: [`SourceError::Raw`], [`SourceError::Refused`] when they are not the bytes that were stored.
    pub async fn read(&self, object: &RawObject) -> Result<Bytes, SourceError> {
        let bytes = self.objects.get(&object.path).await?;
        if sha256(&bytes) != object.sha256 {
            return Err(SourceError::refused(format!("{} has changed since it was stored", object.path)));
        }
        Ok(bytes)
    }

    async fn put(&self, path: String, part: Arrived, at: DateTime<Utc>) -> Result<RawObject, SourceError> {
        let (size, sha256) = (part.bytes.len() as u64, sha256(&part.bytes));
        self.objects.put(&path, part.bytes).await?;
        Ok(RawObject { path, size, sha256, origin: part.origin, at, about: part.about })
    }

    async fn put_manifest(&self, path: &str, lines: &[RawObject]) -> Result<(), SourceError> {
        let mut text = Vec::new();
        for line in lines {
            let wrong = |e: serde_json::Error| SourceError::refused(format!("manifest: {e}"));
            serde_json::to_writer(&mut text, line).map_err(wrong)?;
            text.push(b'\n');
        }
        self.objects.put(path, Bytes::from(text)).await?;
        Ok(())
    }
}

/// Lower-case hexadecimal SHA-256.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The last part of a foreign name, without what hides or leads elsewhere; a long one is cut in front of its ending.
fn label(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or(name);
    let kept: Vec<char> = last.chars().map(|c| if identity::is_hidden(c) { '_' } else { c }).collect();
    kept[kept.len().saturating_sub(NAME_CHARS)..].iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_foreign_name_is_only_a_label() {
        assert_eq!(label("../../etc/pass\u{202e}wd"), "pass_wd");
        assert_eq!(label(&format!("{}.csv", "x".repeat(500))).len(), NAME_CHARS);
    }
}
