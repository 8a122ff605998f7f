//! The same `Idempotency-Key` again: one upload, one answer.
//!
//! The answer is kept in the transaction that publishes the upload, so that a kill at any point leaves either both or none of them.

use std::sync::Arc;

use catalog::{Answer, Begin, Keyed, Table};
use chrono::{DateTime, Utc};
use identity::{JobId, Name, Principal};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::{Error, NewUpload, Notes, StagedFile, Uploaded, Uploads};

/// Whose answers are kept together.
const ROUTE: &str = "POST /v1/datasets";

/// An upload's key, held by this process.
#[derive(Clone, Debug)]
pub(super) struct Key {
    key: String,
    body_hash: String,
}

/// The first answer, as it is kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "outcome")]
pub(super) enum Kept {
    Created {
        name: Name,
        #[serde(default, skip_serializing_if = "Notes::is_empty")]
        notes: Notes,
    },
    Updated {
        name: Name,
        #[serde(default, skip_serializing_if = "Notes::is_empty")]
        notes: Notes,
    },
    Job {
        id: JobId,
    },
}

/// What a key is worth.
pub(super) enum Claim {
    /// No key, or a new one: do the work.
    Work(Option<Key>),
    /// It was done.
    Done(Uploaded),
}

impl Key {
    fn keyed(&self) -> Keyed<'_> {
        Keyed { route: ROUTE, key: &self.key, body_hash: &self.body_hash }
    }

    pub fn answer(&self, file: &StagedFile, kept: &Kept) -> Answer {
        Answer {
            workspace: file.workspace,
            route: ROUTE.to_owned(),
            key: self.key.clone(),
            body_hash: self.body_hash.clone(),
            response: serde_json::to_value(kept).unwrap_or_default(),
        }
    }
}

impl Uploads {
    /// Takes the upload's key, or finds its first answer.
    /// Errors: [`Error::IdempotencyMismatch`], [`Error::IdempotencyInFlight`], [`Error::Catalog`].
    pub(super) async fn claim(
        &self,
        new: &NewUpload,
        file: &StagedFile,
        now: DateTime<Utc>,
    ) -> Result<Claim, Error> {
        let Some(key) = &new.idempotency_key else { return Ok(Claim::Work(None)) };
        let key = Key { key: key.clone(), body_hash: fingerprint(new, file) };
        let lease = self.config.task + self.config.queue + self.config.lease;
        match self.publisher.catalog().idempotency().begin(file.workspace, key.keyed(), lease, now).await? {
            Begin::New => Ok(Claim::Work(Some(key))),
            Begin::Mismatch => Err(Error::IdempotencyMismatch),
            Begin::InFlight => Err(Error::IdempotencyInFlight),
            Begin::Replay(kept) => self.again(file, kept).await.map(Claim::Done),
        }
    }

    /// Gives the key back after a failure: the same upload may be tried again.
    pub(super) async fn unclaim(&self, principal: &Principal, key: Option<&Key>) {
        let Some(key) = key else { return };
        if let Err(error) =
            self.publisher.catalog().idempotency().release(principal.workspace, key.keyed()).await
        {
            tracing::warn!(%error, "an Idempotency-Key is held until its lease ends");
        }
    }

    /// Keeps the answer that an upload has become a job.
    pub(super) async fn keep_job(
        &self,
        file: &StagedFile,
        key: Option<&Key>,
        job: JobId,
        now: DateTime<Utc>,
    ) -> Result<(), Error> {
        let Some(key) = key else { return Ok(()) };
        let answer = key.answer(file, &Kept::Job { id: job });
        Ok(self
            .publisher
            .catalog()
            .idempotency()
            .complete(file.workspace, key.keyed(), &answer.response, now)
            .await?)
    }

    async fn again(&self, file: &StagedFile, kept: serde_json::Value) -> Result<Uploaded, Error> {
        let catalog = self.publisher.catalog();
        match serde_json::from_value(kept).map_err(|error| Error::Internal(Box::new(error)))? {
            Kept::Created { name, notes } => Ok(Uploaded::Created(self.dataset(file, &name).await?, notes)),
            Kept::Updated { name, notes } => Ok(Uploaded::Updated(self.dataset(file, &name).await?, notes)),
            Kept::Job { id } => {
                let job = catalog.jobs().get(file.workspace, id).await?;
                job.map(|job| Uploaded::Job(Box::new(job))).ok_or(Error::Conflict)
            }
        }
    }

    async fn dataset(&self, file: &StagedFile, name: &Name) -> Result<Arc<Table>, Error> {
        let found = self.publisher.catalog().find(file.workspace, name).await?;
        found.ok_or_else(|| Error::UnknownDataset(name.to_string()))
    }
}

/// Digest of all that the caller sent: fields and file, in whatever order they came.
fn fingerprint(new: &NewUpload, file: &StagedFile) -> String {
    let fields = serde_json::to_vec(new).unwrap_or_default();
    let mut hash = Sha256::new();
    hash.update(fields);
    hash.update(file.sha256.as_bytes());
    hash.update(file.file_name.as_deref().unwrap_or_default().as_bytes());
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
