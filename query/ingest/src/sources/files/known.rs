//! What is known of a source's files, and which of those found now are to be taken.
//!
//! The position of a batch names the one file it is made of. Before the next file is looked for, the file of the last
//! batch is noted in the catalog: so a file counts as known exactly when its batch is published, whenever a kill comes.

use std::collections::{BTreeMap, HashMap, VecDeque};

use catalog::{SourceFile, SourceFiles};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::origin::{Ask, Found, Origin, Stamp, date_in};
use crate::sources::{SourceError, position};

/// The position of a batch: its file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct At {
    pub file: String,
    #[serde(flatten)]
    pub state: State,
}

/// A file's state when it was taken.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub size: Option<i64>,
    pub modified_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    pub sha256: String,
    /// Why its rows were not taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    #[serde(default)]
    pub came_at: DateTime<Utc>,
}

/// What a position can be: that of lakes made before files were noted one by one holds all of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Written {
    One(At),
    All { files: BTreeMap<String, State> },
}

/// The files of one source. Kept between looks; whatever is in here can be had again from the catalog and the place.
#[derive(Default)]
pub struct Known {
    files: Option<HashMap<String, SourceFile>>,
    /// The number of the batch up to which `files` is complete.
    upto: i64,
    /// Files that a look has found and that were not judged yet.
    found: VecDeque<Found>,
    /// The look's time.
    looked: Option<DateTime<Utc>>,
}

impl Known {
    /// Notes the file of the batch before batch `n`, and reads what is known where another process has gone on.
    pub async fn update(
        &mut self,
        source: &str,
        n: i64,
        after: Option<&Value>,
        catalog: &SourceFiles,
    ) -> Result<(), SourceError> {
        let (mine, before) = (self.files.is_some(), self.upto);
        if mine && before == n - 1 {
            return Ok(());
        }
        for (name, state) in after.map(last_files).transpose()?.unwrap_or_default() {
            self.note(source, file(name, state, n - 1), catalog).await?;
        }
        if !mine || before != n - 2 {
            let files = catalog.of(source).await?;
            self.files = Some(files.into_iter().map(|f| (f.name.clone(), f)).collect());
        }
        self.upto = n - 1;
        Ok(())
    }

    /// Notes a file that is known from now on.
    pub async fn note(
        &mut self,
        source: &str,
        file: SourceFile,
        catalog: &SourceFiles,
    ) -> Result<(), SourceError> {
        catalog.note(source, &file).await?;
        if let Some(files) = &mut self.files {
            files.insert(file.name.clone(), file);
        }
        Ok(())
    }

    /// Looks at the place, unless files of this very look are still to be judged.
    pub async fn look(&mut self, place: &dyn Origin, now: DateTime<Utc>) -> Result<(), SourceError> {
        if self.found.is_empty() || self.looked != Some(now) {
            let mut found = place.list(now).await?;
            found.sort_by(|a, b| a.name.cmp(&b.name));
            (self.found, self.looked) = (found.into(), Some(now));
        }
        Ok(())
    }

    /// The next file of the look that is new or may have changed; `None` after the last one.
    pub fn next(&mut self, now: DateTime<Utc>) -> Option<Found> {
        while let Some(found) = self.found.pop_front() {
            if self.may_be_new(&found, now) {
                return Some(found);
            }
        }
        None
    }

    /// Puts a file back that is to be looked at again.
    pub fn put_back(&mut self, found: Found) {
        self.found.push_front(found);
    }

    fn may_be_new(&self, found: &Found, now: DateTime<Utc>) -> bool {
        let Some(known) = self.file(&found.name) else { return true };
        if found.stamp.is_known() {
            return found.stamp != stamp(known);
        }
        match found.ask {
            Ask::Never => false,
            Ask::Within(seconds) => (now - known.came_at).num_seconds() < seconds,
        }
    }

    /// What is known of a file.
    pub fn file(&self, name: &str) -> Option<&SourceFile> {
        self.files.as_ref()?.get(name)
    }

    /// Whether this content came before: under this name, or under another one of the same date.
    pub fn has(&self, name: &str, sha256: &str) -> bool {
        let twin = |known: &&SourceFile| {
            known.sha256 == sha256 && (known.name == name || date_in(&known.name) == date_in(name))
        };
        self.files.iter().flat_map(HashMap::values).any(|known| twin(&known))
    }
}

/// The state in which a known file was taken.
pub fn stamp(known: &SourceFile) -> Stamp {
    Stamp { size: known.size, modified_ms: known.modified_ms, tag: known.tag.clone() }
}

fn last_files(after: &Value) -> Result<BTreeMap<String, State>, SourceError> {
    Ok(match position::<Written>(after)? {
        Written::One(at) => BTreeMap::from([(at.file, at.state)]),
        Written::All { files } => files,
    })
}

/// A file in a state, as the catalog keeps it.
pub fn file(name: String, state: State, n: i64) -> SourceFile {
    let State { size, modified_ms, tag, sha256, refused, came_at } = state;
    SourceFile { name, size, modified_ms, tag, sha256, refused, n, came_at }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_one_file_or_all_of_an_older_lake() {
        let one = serde_json::json!({"file": "a.csv", "size": 1, "modified_ms": 2, "sha256": "x",
            "came_at": "2026-01-01T00:00:00Z"});
        assert_eq!(last_files(&one).unwrap()["a.csv"].sha256, "x");
        let all = serde_json::json!({"files": {"a.csv": {"size": 1, "modified_ms": 2, "sha256": "x"},
            "b.csv": {"size": 1, "modified_ms": 2, "sha256": "y", "refused": "no header"}}});
        assert_eq!(last_files(&all).unwrap()["b.csv"].refused.as_deref(), Some("no header"));
        assert!(last_files(&serde_json::json!({"hour": 1})).is_err());
    }
}
