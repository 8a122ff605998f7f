//! A folder of this machine.

use std::path::PathBuf;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use futures::StreamExt as _;
use tokio_util::io::ReaderStream;

use super::origin::{Ask, Content, Found, Names, Opened, Origin, Stamp};
use crate::sources::SourceError;

/// Bytes of one read.
const PIECE_BYTES: usize = 256 << 10;
/// How far two clocks that are kept lie apart at most.
const CLOCKS_MS: i64 = 60_000;

/// The files right in a folder.
pub struct Folder {
    pub folder: PathBuf,
    pub names: Names,
    pub settle_ms: u64,
}

#[async_trait]
impl Origin for Folder {
    async fn list(&self, now: DateTime<Utc>) -> Result<Vec<Found>, SourceError> {
        let failed = |source| self.failed(source);
        let mut entries = match tokio::fs::read_dir(&self.folder).await {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(failed(e)),
        };
        let mut found = Vec::new();
        while let Some(entry) = entries.next_entry().await.map_err(failed)? {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !self.names.take(&name) {
                continue;
            }
            let about = match entry.metadata().await {
                Ok(about) => about,
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue, // renamed meanwhile
                Err(e) => return Err(failed(e)),
            };
            let modified_ms = about.modified().map(DateTime::<Utc>::from).map_err(failed)?.timestamp_millis();
            if about.is_file() && has_settled(modified_ms, self.settle_ms, now) {
                let stamp = Stamp {
                    size: i64::try_from(about.len()).ok(),
                    modified_ms: Some(modified_ms),
                    tag: None,
                };
                let origin = entry.path().display().to_string();
                found.push(Found { name, origin, stamp, ask: Ask::Never });
            }
        }
        Ok(found)
    }

    async fn open(&self, found: &Found, _known: Option<&Stamp>) -> Result<Opened, SourceError> {
        let file = match tokio::fs::File::open(self.folder.join(&found.name)).await {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Opened::Absent),
            Err(e) => return Err(self.failed(e)),
        };
        let bytes = ReaderStream::with_capacity(file, PIECE_BYTES).boxed();
        Ok(Opened::Content(Content { bytes, stamp: found.stamp.clone() }))
    }
}

impl Folder {
    fn failed(&self, source: std::io::Error) -> SourceError {
        SourceError::Folder { folder: self.folder.display().to_string(), source }
    }
}

/// Whether a file was last touched long enough ago. A time far ahead of ours is by a clock that is off, and says nothing:
/// the file is taken, and comes again where it changes.
pub fn has_settled(modified_ms: i64, settle_ms: u64, now: DateTime<Utc>) -> bool {
    let age_ms = now.timestamp_millis() - modified_ms;
    settle_ms == 0 || age_ms >= i64::try_from(settle_ms).unwrap_or(i64::MAX) || age_ms < -CLOCKS_MS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_may_still_be_written_waits() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["b.csv", "a.json.gz", ".hidden.csv", "a.csv.part", "notes.md"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let at = |folder| Folder { folder, names: Names::new(None), settle_ms: 60_000 };
        let (there, now) = (at(folder.path().to_owned()), Utc::now());
        assert!(there.list(now).await.unwrap().is_empty());
        let later = there.list(now + chrono::TimeDelta::minutes(2)).await.unwrap();
        let mut names: Vec<_> = later.iter().map(|f| f.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["a.json.gz", "b.csv"]);
        assert!(at(folder.path().join("absent")).list(now).await.unwrap().is_empty());
    }
}
