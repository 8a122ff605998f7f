//! Keeping tables small and quick: called by maintenance, never on the way of a request.
//!
//! ```text
//! compact ─▶ many small files become few    checkpoint ─▶ a long log becomes short    vacuum ─▶ unnamed files go
//! ```

mod checkpoint;
mod compact;
mod vacuum;

pub use checkpoint::Checkpointed;
pub use compact::{CompactOptions, Compacted};
pub use vacuum::Vacuumed;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::Utc;
    use identity::IntentId;

    use super::*;
    use crate::testing::{append, by_region_and_day, files, lakes, place, query, rows, schema};
    use crate::{Commit, Error, WriterOptions};

    const TOTAL: &str = "SELECT count(*) AS c, sum(n) AS s, min(day) AS a, max(value) AS b FROM t";

    #[tokio::test]
    async fn compaction_changes_files_and_no_rows() {
        let (_folder, lakes) = lakes().await;
        for lake in lakes {
            let at = place("events");
            lake.create(&at, schema(), &[]).await.unwrap();
            for i in 0..20 {
                append(&lake, &at, rows(if i % 3 == 0 { "a" } else { "b" }, i * 5..i * 5 + 10)).await;
            }
            let before = query(&lake, &at, 20, TOTAL).await;
            let options = CompactOptions { sort: by_region_and_day(), ..CompactOptions::default() };
            let done = lake.compact(&at, &options, IntentId::new()).await.unwrap().unwrap();
            assert_eq!((done.version, done.files_before, done.files_after), (21, 20, 1));
            assert_eq!(query(&lake, &at, 21, TOTAL).await, before);
            let snapshot = lake.snapshot(&at, 21).await.unwrap();
            assert_eq!(snapshot.files()[0].sort, by_region_and_day());
            assert!(lake.compact(&at, &options, IntentId::new()).await.unwrap().is_none());
            // nothing of it counts as a change of data
            let upsert = Commit { read_version: Some(20), ..Commit::new(IntentId::new(), "MERGE") };
            assert_eq!(lake.commit(&at, upsert).await.unwrap().version, 22);
        }
    }

    #[tokio::test]
    async fn compaction_by_month_leaves_no_file_with_two_months() {
        let (_folder, lakes) = lakes().await;
        for lake in lakes {
            let at = place("hourly");
            lake.create(&at, schema(), &[]).await.unwrap();
            // Ten files of January 1970, ten of February, and nine that hold days of both.
            for first in [0, 31] {
                for i in 0..10 {
                    append(&lake, &at, rows("a", first + i..first + i + 10)).await;
                }
            }
            for i in 0..9 {
                append(&lake, &at, rows("b", 25 + i / 3..35 + i / 3)).await;
            }
            let before = query(&lake, &at, 29, TOTAL).await;
            let months = Some("day".to_owned());
            let options = CompactOptions { sort: by_region_and_day(), months, ..CompactOptions::default() };
            let done = lake.compact(&at, &options, IntentId::new()).await.unwrap().unwrap();
            assert_eq!((done.files_before, done.files_after), (29, 4));
            assert_eq!(query(&lake, &at, 30, TOTAL).await, before);
            let snapshot = lake.snapshot(&at, 30).await.unwrap();
            let month =
                |file: &std::sync::Arc<crate::DataFile>| crate::months::of_file(file, "day", &schema());
            let mut months: Vec<_> = snapshot.files().iter().map(month).collect();
            months.sort_unstable();
            assert_eq!(months, [1970 * 12, 1970 * 12, 1970 * 12 + 1, 1970 * 12 + 1].map(Some));
            assert!(snapshot.files().iter().all(|file| file.sort == by_region_and_day()));
        }
    }

    #[tokio::test]
    async fn vacuum_removes_what_no_kept_version_names() {
        let (_folder, lakes) = lakes().await;
        for lake in lakes {
            let at = place("daily");
            lake.create(&at, schema(), &[]).await.unwrap();
            for i in 0..8 {
                append(&lake, &at, rows("a", i..i + 10)).await;
            }
            let options = CompactOptions { sort: by_region_and_day(), ..CompactOptions::default() };
            lake.compact(&at, &options, IntentId::new()).await.unwrap().unwrap();
            let orphan = files(&lake, &at, &[rows("z", 0..1)], WriterOptions::default()).await;
            let (now, hour) = (Utc::now() + chrono::Duration::seconds(2), Duration::from_secs(3600));
            let orphans = lake.orphans(&at, now).await.unwrap();
            assert!(orphans.len() == 1 && orphans[0].path.ends_with(&orphan[0].path), "{orphans:?}");
            assert_eq!(lake.vacuum(&at, hour, now, &[]).await.unwrap(), Vacuumed::default());
            assert_eq!(lake.vacuum(&at, Duration::ZERO, now, &[8]).await.unwrap().files, 1);
            assert!(query(&lake, &at, 8, TOTAL).await.contains("| 80 |"));
            assert_eq!(lake.vacuum(&at, Duration::ZERO, now, &[]).await.unwrap().files, 8);
            assert!(query(&lake, &at, 9, TOTAL).await.contains("| 80 |"));
            assert!(lake.delete_all(&at).await.unwrap() > 0);
            assert_eq!(lake.latest(&at).await.unwrap(), None);
            assert!(lake.objects().list(at.as_str()).await.unwrap().is_empty());
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_checkpoint_replaces_the_log_before_it() {
        let (_folder, lakes) = lakes().await;
        for lake in lakes {
            let at = place("daily");
            lake.create(&at, schema(), &["region_id"]).await.unwrap();
            let options = WriterOptions {
                partition_by: vec!["region_id".to_owned()],
                sort: vec!["day".to_owned()],
                ..WriterOptions::default()
            };
            let mut intents = Vec::new();
            for i in 0..12 {
                let add =
                    files(&lake, &at, &[rows("a", i..i + 10), rows("b", i..i + 3)], options.clone()).await;
                let commit = Commit {
                    add,
                    txn: Some(("source:c".to_owned(), i64::from(i))),
                    ..Commit::new(IntentId::new(), "WRITE")
                };
                intents.push(commit.intent);
                lake.commit(&at, commit).await.unwrap();
            }
            let before = lake.snapshot(&at, 12).await.unwrap();
            let now = Utc::now() + chrono::Duration::seconds(2);
            let fifth = lake.snapshot(&at, 5).await.unwrap();
            let young = lake.checkpoint(&at, &[5], now - chrono::Duration::hours(1)).await.unwrap();
            assert_eq!((young.version, young.log_entries_removed), (12, 0));
            let done = lake.checkpoint(&at, &[5], now).await.unwrap();
            assert_eq!(done.log_entries_removed, 12);
            lake.forget(&at).await;
            assert_eq!(lake.latest(&at).await.unwrap(), Some(12));
            let after = lake.snapshot(&at, 12).await.unwrap();
            let sorted = |snapshot: &crate::Snapshot| {
                let mut files: Vec<_> = snapshot.files().iter().map(|file| file.as_ref().clone()).collect();
                files.sort_by(|a, b| a.path.cmp(&b.path));
                files
            };
            assert_eq!(sorted(&after), sorted(&before));
            assert_eq!(sorted(&lake.snapshot(&at, 5).await.unwrap()), sorted(&fifth));
            assert_eq!((after.txn("source:c"), after.schema()), (Some(11), before.schema()));
            assert_eq!(lake.find_commit(&at, intents[4]).await.unwrap(), Some(5));
            assert!(matches!(lake.snapshot(&at, 3).await, Err(Error::VersionGone { .. })));
            append_part(&lake, &at, options).await;
            assert!(query(&lake, &at, 13, TOTAL).await.contains("| 157 |"));
        }
    }

    async fn append_part(lake: &crate::Lake, at: &crate::Location, options: WriterOptions) {
        let add = files(lake, at, &[rows("c", 0..1)], options).await;
        lake.commit(at, Commit { add, ..Commit::new(IntentId::new(), "WRITE") }).await.unwrap();
    }
}
