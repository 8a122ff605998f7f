//! Files that no kept version names go.

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::{Error, Lake, Location, ObjectInfo, Version, failpoint, log};

/// What a vacuum removed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vacuumed {
    pub files: u64,
    pub bytes: u64,
}

/// A table's files by what the log says of them.
struct Census {
    live: HashSet<String>,
    removed: HashMap<String, i64>,
    objects: Vec<(String, ObjectInfo)>,
}

impl Lake {
    /// Removes files that neither the newest version nor one of `kept` names, once they left the table (or, never
    /// having been in one, were written) more than `grace` before `now`. `grace` must be longer than the longest write
    /// and the longest query; the log tells removals of two hours.
    pub async fn vacuum(
        &self,
        at: &Location,
        grace: Duration,
        now: DateTime<Utc>,
        kept: &[Version],
    ) -> Result<Vacuumed, Error> {
        let before = now - chrono::Duration::from_std(grace).map_err(Error::internal)?;
        let census = self.census(at, kept).await?;
        let mut done = Vacuumed::default();
        for (path, object) in &census.objects {
            let since = census
                .removed
                .get(path)
                .and_then(|at| DateTime::from_timestamp_millis(*at))
                .unwrap_or(object.modified);
            if !census.live.contains(path) && since.max(object.modified) < before {
                self.objects().delete(&object.path).await?;
                failpoint("vacuum.half");
                done.files += 1;
                done.bytes += object.size;
            }
        }
        Ok(done)
    }

    /// Objects in the table's folder that belong to no version: uploads whose commit never came.
    pub async fn orphans(&self, at: &Location, older_than: DateTime<Utc>) -> Result<Vec<ObjectInfo>, Error> {
        let census = self.census(at, &[]).await?;
        let unknown = |path: &String| !census.live.contains(path) && !census.removed.contains_key(path);
        let old =
            census.objects.into_iter().filter(|(path, object)| unknown(path) && object.modified < older_than);
        Ok(old.map(|(_, object)| object).collect())
    }

    /// Removes a table with everything in its folder; gives the number of objects. Repeatable.
    pub async fn delete_all(&self, at: &Location) -> Result<u64, Error> {
        self.forget(at).await;
        let removed = self.objects().delete_prefix(at.as_str()).await?;
        self.forget(at).await;
        Ok(removed)
    }

    /// The folder is listed before the log is read: what is written in between is not seen at all.
    async fn census(&self, at: &Location, kept: &[Version]) -> Result<Census, Error> {
        let objects = self.data_objects(at).await?;
        let Some(newest) = self.newest(at).await? else {
            return Ok(Census { live: HashSet::new(), removed: HashMap::new(), objects });
        };
        let mut live: HashSet<String> = newest.files().iter().map(|file| file.path.clone()).collect();
        for version in kept {
            live.extend(self.snapshot(at, *version).await?.files().iter().map(|file| file.path.clone()));
        }
        let removed = log::tombstones(&self.store, at, newest.version()).await?;
        Ok(Census { live, removed, objects })
    }

    async fn data_objects(&self, at: &Location) -> Result<Vec<(String, ObjectInfo)>, Error> {
        let folder = format!("{at}/");
        let all = self.objects().list(at.as_str()).await?.into_iter();
        let relative = all.filter_map(|object| Some((object.path.strip_prefix(&folder)?.to_owned(), object)));
        Ok(relative.filter(|(path, _)| !path.starts_with("_delta_log/")).collect())
    }
}
