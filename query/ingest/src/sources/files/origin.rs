//! Where files come from: a folder, a store, an HTTP server, an FTP server. What they share, and what is a file at all.

use std::io;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, NaiveDate, Utc};
use futures::stream::BoxStream;

use crate::sources::SourceError;

/// A place of files.
#[async_trait]
pub trait Origin: Send + Sync {
    /// The files that are there and may be taken, in any order; a place that is not there yet has none.
    /// - Errors: [`SourceError::Unavailable`] may be tried again.
    async fn list(&self, now: DateTime<Utc>) -> Result<Vec<Found>, SourceError>;

    /// Begins to read one of them.
    /// - `known`: what the place told when its present content was taken, so that it need not send the same again.
    /// - Errors: as [`Self::list`]. An error of the stream, and one of its end, are the file's: nothing of it counts then.
    async fn open(&self, found: &Found, known: Option<&Stamp>) -> Result<Opened, SourceError>;
}

/// A file that may be taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// Its name below the place: what it is known by.
    pub name: String,
    /// Where it lies, for its manifest: without secrets.
    pub origin: String,
    /// What the listing tells of its state.
    pub stamp: Stamp,
    /// Whether the listing tells no state, so that only asking for the file shows whether it has changed.
    pub ask: Ask,
}

/// Whether a known file of unknown state is asked for again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// The stamp tells.
    Never,
    /// If it came within this many seconds.
    Within(i64),
}

/// The state of a file as its place tells it, without its bytes: equal stamps are equal files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    pub size: Option<i64>,
    pub modified_ms: Option<i64>,
    /// An entity tag.
    pub tag: Option<String>,
}

impl Stamp {
    /// Whether it tells anything.
    pub fn is_known(&self) -> bool {
        *self != Self::default()
    }
}

/// What asking for a file gave.
pub enum Opened {
    Content(Content),
    /// It is what it was.
    Unchanged,
    /// It is not there, or not there yet.
    Absent,
}

/// A file's bytes as they come.
pub struct Content {
    pub bytes: BoxStream<'static, io::Result<Bytes>>,
    /// What the place tells of them, which may be more than its listing did.
    pub stamp: Stamp,
}

/// The endings of the formats that are taken.
const ENDINGS: [&str; 12] = [
    ".csv",
    ".tsv",
    ".tab",
    ".psv",
    ".txt",
    ".ndjson",
    ".jsonl",
    ".jsonlines",
    ".json",
    ".parquet",
    ".pq",
    ".parq",
];
/// The endings of one packed file.
const PACKED: [&str; 4] = [".gz", ".gzip", ".zst", ".zstd"];
/// What programs call a file that they are still writing.
const UNFINISHED: [&str; 8] =
    [".part", ".partial", ".tmp", ".temp", ".filepart", ".crdownload", ".download", ".swp"];

/// Which names are files of a source.
#[derive(Clone, Debug)]
pub struct Names(Option<String>);

impl Names {
    /// Those that fit a pattern with `*`; without one, those that end as a format does.
    pub fn new(pattern: Option<String>) -> Self {
        Self(pattern)
    }

    /// Whether a name is one of them, and not that of a file still being written or hidden.
    pub fn take(&self, name: &str) -> bool {
        let last = name.rsplit('/').next().unwrap_or(name);
        let lower = last.to_ascii_lowercase();
        if lower.starts_with(['.', '~'])
            || lower.ends_with('~')
            || UNFINISHED.iter().any(|e| lower.ends_with(e))
        {
            return false;
        }
        match &self.0 {
            Some(pattern) => fits(last, pattern),
            None => {
                let bare = PACKED.iter().find_map(|packed| lower.strip_suffix(packed)).unwrap_or(&lower);
                ENDINGS.iter().any(|ending| bare.ends_with(ending))
            }
        }
    }
}

/// Whether a name fits a pattern in which `*` stands for anything.
fn fits(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        None => name == pattern,
        Some((first, rest)) => name.strip_prefix(first).is_some_and(|name| {
            // Only what the next part of the pattern can begin with is tried: names are short.
            (0..=name.len()).any(|at| name.get(at..).is_some_and(|tail| fits(tail, rest)))
        }),
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

    #[test]
    fn names_tell_files_of_a_format_from_others_and_from_unfinished_ones() {
        let any = Names::new(None);
        for name in ["a.csv", "A.CSV.gz", "x/a.ndjson", "a.parquet", "a.json.zst"] {
            assert!(any.take(name), "{name}");
        }
        for name in [".a.csv", "a.csv.part", "a.csv~", "~a.csv", "x/.a.csv", "a.tmp", "README.md", "a.gz", ""]
        {
            assert!(!any.take(name), "{name}");
        }
    }

    #[test]
    fn a_star_stands_for_anything() {
        for (name, pattern, takes) in [
            ("a-2021.csv", "a-*.csv", true),
            ("b-2021.csv", "a-*.csv", false),
            ("a-2021.dat", "a-*", true),
            ("a-1-b-2", "a-*-b-*", true),
            ("a-1-c-2", "a-*-b-*", false),
            ("a", "a", true),
            ("ab", "a", false),
            ("a.part", "*", false),
            ("x", "**", true),
        ] {
            assert_eq!(Names::new(Some(pattern.into())).take(name), takes, "{name} {pattern}");
        }
    }
}
