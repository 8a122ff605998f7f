//! The Delta log of one table: entries, checkpoints, and what they add up to.
//!
//! ```text
//! version known ─▶ _last_checkpoint ─▶ checkpoint ─▶ entries after it, together ─▶ Snapshot      (no LIST)
//! version N, N-1 in memory ─▶ entry N ─▶ Snapshot                                                (one GET)
//! neither ─▶ LIST ─▶ as above
//! ```
//! Entries are written by `commit`, checkpoints by `maintain`. Refused: deletion vectors, column mapping and
//! every other feature that changes what a file means.

pub(crate) mod checkpoint;
pub(crate) mod columns;
mod entry;
mod line;
mod open;

use futures::stream::{StreamExt as _, TryStreamExt as _};
use object_store::ObjectStoreExt as _;

pub(crate) use entry::{Entry, add_line, in_partition, remove_line, write_lines};
pub(crate) use line::{Format, Line, Metadata, Protocol, Transaction};
pub(crate) use open::{Listing, at, find_intent, latest, list, tombstones};

use crate::store::Store;
use crate::{Error, Location, Version};

/// Entries fetched at once.
const TOGETHER: usize = 16;

pub(crate) fn entry_name(version: Version) -> String {
    format!("{version:020}.json")
}

/// The version a log file belongs to, and whether it is a checkpoint in one piece.
pub(crate) fn parse_name(name: &str) -> Option<(Version, bool)> {
    let (digits, rest) = name.split_at_checked(20)?;
    let version = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok()).flatten()?;
    match rest {
        ".json" => Some((version, false)),
        ".checkpoint.parquet" => Some((version, true)),
        _ => None,
    }
}

/// One entry; `None` if there is none at this version.
pub(crate) async fn read_entry(
    store: &Store,
    location: &Location,
    version: Version,
) -> Result<Option<Entry>, Error> {
    let bytes = match store.objects.get(&location.log(&entry_name(version))).await {
        Ok(found) => found.bytes().await?,
        Err(object_store::Error::NotFound { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    Entry::parse(version, &bytes).map(Some)
}

/// Entries of a range of versions, in order. Errors: [`Error::VersionGone`] for the first that is not there.
pub(crate) async fn read_entries(
    store: &Store,
    location: &Location,
    versions: std::ops::RangeInclusive<Version>,
) -> Result<Vec<Entry>, Error> {
    let read = |version| async move {
        read_entry(store, location, version).await?.ok_or(Error::VersionGone { version })
    };
    futures::stream::iter(versions).map(read).buffered(TOGETHER).try_collect().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_log_are_told_from_others() {
        assert_eq!(parse_name(&entry_name(7)), Some((7, false)));
        assert_eq!(parse_name("00000000000000000012.checkpoint.parquet"), Some((12, true)));
        for other in
            ["_last_checkpoint", "7.json", "00000000000000000012.crc", "0000000000000000001x.json", "é"]
        {
            assert_eq!(parse_name(other), None, "{other}");
        }
    }
}
