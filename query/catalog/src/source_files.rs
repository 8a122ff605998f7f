//! What is known of each file of a source: its state when it was taken, its content, and why it was set aside.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use database::{Db, Run as _, instant, on, reading};

use crate::Error;

/// A file of a source as it was last taken.
#[derive(Clone, Debug, PartialEq)]
pub struct SourceFile {
    pub name: String,
    /// Bytes, as its place told; `None` where it tells none.
    pub size: Option<i64>,
    pub modified_ms: Option<i64>,
    /// An entity tag.
    pub tag: Option<String>,
    /// Hex digest of its content; empty for one that was too long to be taken.
    pub sha256: String,
    /// Why its rows were not taken.
    pub refused: Option<String>,
    /// The batch that it came with.
    pub n: i64,
    pub came_at: DateTime<Utc>,
}

database::row! {
    struct Row {
        name: String,
        size: Option<i64>,
        modified_ms: Option<i64>,
        tag: Option<String>,
        sha256: String,
        refused: Option<String>,
        n: i64,
        came_at: DateTime<Utc>,
    }
}

impl From<Row> for SourceFile {
    fn from(row: Row) -> Self {
        let Row { name, size, modified_ms, tag, sha256, refused, n, came_at } = row;
        Self { name, size, modified_ms, tag, sha256, refused, n, came_at }
    }
}

/// The files of all sources; cheap to clone.
#[derive(Clone, Debug)]
pub struct SourceFiles {
    db: Db,
}

impl SourceFiles {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Notes the state of a file, in place of an earlier one. Doing it again changes nothing. Errors: [`Error::Database`].
    pub async fn note(&self, source: &str, file: &SourceFile) -> Result<(), Error> {
        const NOTE: &str =
            "INSERT INTO source_files (source, name, size, modified_ms, tag, sha256, refused, n, came_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             ON CONFLICT (source, name) DO UPDATE
               SET size = excluded.size, modified_ms = excluded.modified_ms, tag = excluded.tag,
                   sha256 = excluded.sha256, refused = excluded.refused, n = excluded.n, came_at = excluded.came_at
               WHERE source_files.n <= excluded.n";
        on!(self.db, |pool| sqlx::query(NOTE)
            .bind(source)
            .bind(&file.name)
            .bind(file.size)
            .bind(file.modified_ms)
            .bind(&file.tag)
            .bind(&file.sha256)
            .bind(&file.refused)
            .bind(file.n)
            .bind(instant(file.came_at))
            .run(pool))?;
        Ok(())
    }

    /// All files of a source, by name. Errors: [`Error::Database`].
    pub async fn of(&self, source: &str) -> Result<Vec<SourceFile>, Error> {
        const OF: &str = "SELECT name, size, modified_ms, tag, sha256, refused, n, came_at
             FROM source_files WHERE source = $1 ORDER BY name";
        let rows: Vec<Row> = reading!(self.db, |pool| sqlx::query_as(OF).bind(source).fetch_all(pool))?;
        Ok(rows.into_iter().map(SourceFile::from).collect())
    }

    /// The files of a source that are set aside, the newest first. Errors: [`Error::Database`].
    pub async fn set_aside(&self, source: &str, limit: i64) -> Result<Vec<SourceFile>, Error> {
        const ASIDE: &str = "SELECT name, size, modified_ms, tag, sha256, refused, n, came_at
             FROM source_files WHERE source = $1 AND refused IS NOT NULL ORDER BY came_at DESC, name LIMIT $2";
        let rows: Vec<Row> =
            reading!(self.db, |pool| sqlx::query_as(ASIDE).bind(source).bind(limit).fetch_all(pool))?;
        Ok(rows.into_iter().map(SourceFile::from).collect())
    }

    /// How many files of each source are set aside; a source without any is not among them. Errors: [`Error::Database`].
    pub async fn count_set_aside(&self) -> Result<BTreeMap<String, i64>, Error> {
        const COUNT: &str =
            "SELECT source, COUNT(*) FROM source_files WHERE refused IS NOT NULL GROUP BY source";
        let rows: Vec<(String, i64)> = reading!(self.db, |pool| sqlx::query_as(COUNT).fetch_all(pool))?;
        Ok(rows.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{each, minute};

    fn file(name: &str, sha256: &str, n: i64) -> SourceFile {
        SourceFile {
            name: name.into(),
            size: Some(7),
            modified_ms: None,
            tag: Some("\"x\"".into()),
            sha256: sha256.into(),
            refused: (sha256 == "bad").then(|| "no header".into()),
            n,
            came_at: minute(n),
        }
    }

    #[tokio::test]
    async fn a_file_is_known_as_it_was_last_taken() {
        for node in each().await {
            let files = node.source_files();
            for known in [file("a", "one", 1), file("b", "bad", 2), file("a", "two", 3), file("a", "one", 1)]
            {
                files.note("s", &known).await.unwrap();
            }
            assert_eq!(files.of("s").await.unwrap(), [file("a", "two", 3), file("b", "bad", 2)]);
            assert_eq!(files.set_aside("s", 9).await.unwrap(), [file("b", "bad", 2)]);
            files.note("s", &file("c", "bad", 4)).await.unwrap();
            assert_eq!(files.set_aside("s", 1).await.unwrap(), [file("c", "bad", 4)]);
            assert_eq!(files.count_set_aside().await.unwrap(), BTreeMap::from([("s".to_owned(), 2)]));
            assert!(files.of("t").await.unwrap().is_empty());
        }
    }
}
