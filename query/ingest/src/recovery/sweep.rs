//! Objects that nothing refers to any more.

use std::collections::HashSet;

use chrono::{DateTime, TimeDelta, Utc};
use identity::{JobId, WORKSPACES};
use lake::ObjectInfo;

use super::{OBJECT_AGE, Recovery};
use crate::publish::Error;
use crate::upload::JOB_KIND;

/// How long a job's result can be fetched.
const RESULT_AGE: TimeDelta = TimeDelta::hours(24);
/// Places removed in one round.
const PLACES: i64 = 1_000;

impl Recovery {
    /// Removes raw uploads that no request of this process and no open job needs.
    pub(super) async fn sweep_uploads(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        let found = self.objects_in("uploads").await?;
        if found.is_empty() {
            return Ok(0);
        }
        let jobs = self.catalog().jobs().open_of(JOB_KIND).await?;
        let needed: HashSet<&str> =
            jobs.iter().filter_map(|job| job.payload["file"]["path"].as_str()).collect();
        let mut removed = 0;
        for object in found {
            let young = !self.exclusive && object.modified > now - OBJECT_AGE;
            if young || self.uploads.is_live(&object.path) || needed.contains(object.path.as_str()) {
                continue;
            }
            self.lake().objects().delete(&object.path).await?;
            removed += 1;
        }
        Ok(removed)
    }

    /// Removes results of jobs that are forgotten, or ended a day ago.
    pub(super) async fn sweep_results(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        let mut removed = 0;
        for object in self.objects_in("results").await? {
            if object.modified > now - OBJECT_AGE || !self.is_stale(&object, now).await? {
                continue;
            }
            self.lake().objects().delete(&object.path).await?;
            removed += 1;
        }
        Ok(removed)
    }

    async fn is_stale(&self, object: &ObjectInfo, now: DateTime<Utc>) -> Result<bool, Error> {
        let parts = object.path.rsplit('/').map(|part| part.split('.').next().unwrap_or(part));
        let Some(id) = parts.filter_map(|part| part.parse::<JobId>().ok()).next() else { return Ok(false) };
        let job = self.catalog().jobs().find(id).await?;
        Ok(job.is_none_or(|job| job.ended_at.is_some_and(|ended| ended < now - RESULT_AGE)))
    }

    /// Removes the places of deleted tables, once their last readers are through.
    pub(super) async fn remove_places(&self, now: DateTime<Utc>) -> Result<u64, Error> {
        let mut removed = 0;
        for place in self.catalog().removals_due(now, PLACES).await? {
            lake::failpoint("recovery.before-removal");
            removed += self.lake().objects().delete_prefix(&place.location).await?;
            if let Ok(at) = place.location.parse() {
                self.lake().forget(&at).await;
            }
            self.catalog().removed(&place).await?;
        }
        Ok(removed)
    }

    /// All objects of that kind, over all workspaces.
    async fn objects_in(&self, kind: &str) -> Result<Vec<ObjectInfo>, Error> {
        let objects = self.lake().objects();
        let mut found = Vec::new();
        for workspace in objects.list_folders(WORKSPACES).await? {
            found.extend(objects.list(&format!("{workspace}/{kind}")).await?);
        }
        Ok(found)
    }
}
