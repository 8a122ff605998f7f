//! A folder's files: which are there, and whether they may be taken.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};

use crate::sources::SourceError;

/// A file that may be taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    pub name: String,
    pub path: PathBuf,
    pub size: u64,
    pub modified_ms: i64,
}

/// The CSV files of a folder by name, but those that may still be being written: hidden, or touched within `settle_ms`.
/// - Shape: empty when there is no such folder.
/// - Errors: [`SourceError::Folder`].
pub async fn list(folder: &Path, settle_ms: u64, now: DateTime<Utc>) -> Result<Vec<Found>, SourceError> {
    let failed = |source| SourceError::Folder { folder: folder.display().to_string(), source };
    let mut entries = match tokio::fs::read_dir(folder).await {
        Ok(entries) => entries,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(e) => return Err(failed(e)),
    };
    let mut found = Vec::new();
    while let Some(entry) = entries.next_entry().await.map_err(failed)? {
        let about = entry.metadata().await.map_err(failed)?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let modified_ms = about.modified().map(DateTime::<Utc>::from).map_err(failed)?.timestamp_millis();
        let age_ms = now.timestamp_millis() - modified_ms;
        let settled = settle_ms == 0 || age_ms >= i64::try_from(settle_ms).unwrap_or(i64::MAX);
        if about.is_file() && settled && !name.starts_with('.') && name.ends_with(".csv") {
            found.push(Found { name, path: entry.path(), size: about.len(), modified_ms });
        }
    }
    found.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(found)
}

impl Found {
    /// Its bytes. Errors: [`SourceError::Folder`], [`SourceError::Refused`] for a file longer than the limit.
    pub async fn read(&self, limit_bytes: u64) -> Result<Bytes, SourceError> {
        if self.size > limit_bytes {
            return Err(SourceError::refused(format!("{} is longer than {limit_bytes} bytes", self.name)));
        }
        let failed = |source| SourceError::Folder { folder: self.path.display().to_string(), source };
        tokio::fs::read(&self.path).await.map(Bytes::from).map_err(failed)
    }
}

/// The first date in a file's name: `a-2021-10-04.csv`, `20211004.csv`.
pub fn date_in(name: &str) -> Option<NaiveDate> {
    let long = name.as_bytes().windows(10).find_map(|w| parse(w, "%Y-%m-%d"));
    long.or_else(|| name.as_bytes().windows(8).find_map(|w| parse(w, "%Y%m%d")))
}

fn parse(window: &[u8], format: &str) -> Option<NaiveDate> {
    let text = std::str::from_utf8(window).ok()?;
    // a dash before the year would make it a year before Christ, and of the day's two digits one
    let plain = text.bytes().all(|b| b.is_ascii_digit() || b == b'-') && !text.starts_with('-');
    plain.then(|| NaiveDate::parse_from_str(text, format).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_hold_a_date() {
        let day = NaiveDate::from_ymd_opt(2021, 10, 4);
        for name in ["a-2021-10-04.csv", "20211004.csv", "x_20211004_v2.csv"] {
            assert_eq!(date_in(name), day, "{name}");
        }
        assert_eq!(date_in("a-2021-10-14.csv"), NaiveDate::from_ymd_opt(2021, 10, 14));
        assert_eq!(date_in("activity.csv"), None);
        assert_eq!(date_in("a-2021-13-04.csv"), None);
    }

    #[tokio::test]
    async fn a_file_that_may_still_be_written_waits() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("b.csv"), "x").unwrap();
        std::fs::write(folder.path().join("a.csv"), "x").unwrap();
        std::fs::write(folder.path().join(".hidden.csv"), "x").unwrap();
        std::fs::write(folder.path().join("a.csv.part"), "x").unwrap();
        let now = Utc::now();
        assert!(list(folder.path(), 60_000, now).await.unwrap().is_empty());
        let later = list(folder.path(), 60_000, now + chrono::TimeDelta::minutes(2)).await.unwrap();
        assert_eq!(later.iter().map(|f| f.name.as_str()).collect::<Vec<_>>(), ["a.csv", "b.csv"]);
        assert!(list(&folder.path().join("absent"), 0, now).await.unwrap().is_empty());
    }
}
