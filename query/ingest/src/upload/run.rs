//! From a staged file to a published dataset, waited for or as a job.
//!
//! ```text
//! finish ─▶ claim the key ─▶ work in a task of its own ─ within the wait ─▶ Created | Updated
//!                                     └── longer ─▶ job row; the same task goes on and ends the job with its commit
//! ```

use std::sync::Arc;
use std::time::Duration;

use arrow::datatypes::{Field, Schema, SchemaRef};
use catalog::{Job, JobOutcome, NewJob, Outcome, Run, Table};
use chrono::{DateTime, TimeDelta, Utc};
use identity::{JobId, Principal};
use lake::{DataFile, Location, failpoint};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Mutex, oneshot};

use super::decode::request::{Decoded, DecodedColumn};
use super::keyed::{Claim, Kept, Key};
use super::target::{Target, columns};
use super::task::{Converted, Progress};
use super::{Error, JOB_KIND, NewUpload, Notes, Staged, StagedFile, UploadMode, Uploaded, Uploads};
use crate::publish::{Finished, Mode, Published, Regions, Rejects, Rows, Write};

/// How often an upsert reads the dataset anew after others changed it.
const UPSERT_ATTEMPTS: usize = 4;

/// All that is needed to do an upload again after a restart.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Payload {
    new: NewUpload,
    file: StagedFile,
    principal: Principal,
}

/// Who waits for the work: its caller, or a job. Settled before the commit, so that the job ends with it.
#[derive(Default)]
struct Waiting {
    job: Option<JobId>,
    /// The commit is under way: too late to become a job.
    committing: bool,
}

/// One upload at work.
#[derive(Clone)]
struct Work {
    uploads: Uploads,
    principal: Principal,
    new: NewUpload,
    file: StagedFile,
    key: Option<Key>,
    waiting: Arc<Mutex<Waiting>>,
    run: Arc<std::sync::OnceLock<Run>>,
}

impl Uploads {
    /// Makes a dataset of a staged file. It is all there, or nothing of it is; the raw object is removed in any case.
    /// - Answered within the wait, else with a job that goes on.
    /// - The same `Idempotency-Key`, file and fields again give the first answer.
    /// - Errors: [`Error`].
    pub async fn finish(
        &self,
        principal: &Principal,
        new: NewUpload,
        staged: Staged,
        now: DateTime<Utc>,
    ) -> Result<Uploaded, Error> {
        let key = match self.claim(&new, &staged.file, now).await {
            Ok(Claim::Work(key)) => key,
            other => {
                self.discard(staged).await;
                return match other? {
                    Claim::Done(before) => Ok(before),
                    Claim::Work(_) => Err(Error::IdempotencyInFlight),
                };
            }
        };
        let wait = new.wait.unwrap_or(self.config.wait);
        let work = Work {
            uploads: self.clone(),
            principal: principal.clone(),
            new,
            file: staged.keep(),
            key,
            waiting: Arc::default(),
            run: Arc::default(),
        };
        let (mut tell, told) = oneshot::channel();
        let background = work.clone();
        tokio::spawn(async move {
            let done = background.to_the_end(&mut tell).await;
            // A caller who became a job, or left, no longer listens.
            let _ = tell.send(done);
        });
        work.wait(told, wait, now).await
    }

    /// Does a queued upload's job, after a restart. The raw object stays until the job has ended, so that it can be begun again.
    pub async fn run_job(&self, job: &Job, now: DateTime<Utc>) -> Outcome {
        let payload: Payload = match serde_json::from_value(job.payload.clone()) {
            Ok(payload) => payload,
            Err(error) => return Outcome::Failed { problem: problem(&Error::Internal(Box::new(error))) },
        };
        let work = Work {
            uploads: self.clone(),
            principal: payload.principal,
            key: None,
            new: payload.new,
            file: payload.file,
            waiting: Arc::new(Mutex::new(Waiting { job: Some(job.id), committing: false })),
            run: Arc::default(),
        };
        let outcome = match work.publish().await {
            Ok(done) => Outcome::Succeeded { result: Some(work.result()), meta: meta(&done) },
            Err(error @ (Error::Busy { .. } | Error::Lake(_) | Error::Catalog(_))) => {
                return Outcome::Retry { at: now + TimeDelta::seconds(5), problem: problem(&error) };
            }
            Err(error) => Outcome::Failed { problem: problem(&error) },
        };
        self.remove(&work.file).await;
        outcome
    }
}

#[async_trait::async_trait]
impl crate::jobs::Handler for Uploads {
    fn kind(&self) -> &'static str {
        JOB_KIND
    }

    async fn run(&self, job: &Job, run: &Run) -> Outcome {
        tokio::select! {
            outcome = self.run_job(job, Utc::now()) => outcome,
            // The raw object of a cancelled job is removed by recovery; a process that ends leaves it to the next one.
            () = run.cancelled().cancelled() => Outcome::Cancelled,
        }
    }
}

impl Work {
    /// The answer, if it comes in time; else a job that gives it.
    async fn wait(
        &self,
        mut told: oneshot::Receiver<Result<Uploaded, Error>>,
        wait: Duration,
        now: DateTime<Utc>,
    ) -> Result<Uploaded, Error> {
        let lost = |_| Err(Error::Internal("the upload's task ended".into()));
        if let Ok(done) = tokio::time::timeout(wait, &mut told).await {
            return done.unwrap_or_else(lost);
        }
        match self.become_job(now).await? {
            Some(job) => Ok(Uploaded::Job(Box::new(job))),
            None => told.await.unwrap_or_else(lost),
        }
    }

    /// A job row for the work under way; `None` where its commit is under way too.
    async fn become_job(&self, now: DateTime<Utc>) -> Result<Option<Job>, Error> {
        let mut waiting = self.waiting.lock().await;
        if waiting.committing {
            return Ok(None);
        }
        let payload =
            Payload { new: self.new.clone(), file: self.file.clone(), principal: self.principal.clone() };
        let payload = serde_json::to_value(payload).map_err(|error| Error::Internal(Box::new(error)))?;
        let principal = serde_json::to_value(&self.principal).unwrap_or_default();
        let new = NewJob { principal, ..NewJob::new(JOB_KIND, payload, now).of(self.file.workspace) };
        let catalog = self.uploads.publisher.catalog();
        let lease = self.uploads.config.lease;
        let job = catalog.jobs().start(new, catalog.owner(), lease, now).await?;
        waiting.job = Some(job.id);
        let _ = self.run.set(catalog.jobs().run(job.id, catalog.owner(), lease));
        self.uploads.keep_job(&self.file, self.key.as_ref(), job.id, now).await?;
        Ok(Some(job))
    }

    /// Does the work and clears up after it. It stops when its job is cancelled, or when its caller leaves before it is one.
    async fn to_the_end(
        &self,
        caller: &mut oneshot::Sender<Result<Uploaded, Error>>,
    ) -> Result<Uploaded, Error> {
        let done = tokio::select! {
            done = self.publish() => done,
            () = self.cancelled() => Err(Error::Cancelled),
            () = self.abandoned(caller) => Err(Error::Cancelled),
        };
        self.uploads.remove(&self.file).await;
        failpoint("upload.before-answer");
        let job = self.waiting.lock().await.job;
        match (&done, job) {
            (Ok(_), _) => {}
            (Err(error), Some(job)) => self.fail_job(job, error).await,
            (Err(_), None) => self.uploads.unclaim(&self.principal, self.key.as_ref()).await,
        }
        done
    }

    /// Ready once the upload's job is cancelled; never before it is one.
    async fn cancelled(&self) {
        loop {
            if let Some(run) = self.run.get() {
                return run.cancelled().cancelled().await;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Ready once nobody waits for the work any more: no caller, no job, no commit that is under way.
    async fn abandoned(&self, caller: &mut oneshot::Sender<Result<Uploaded, Error>>) {
        caller.closed().await;
        let waiting = self.waiting.lock().await;
        if waiting.job.is_some() || waiting.committing {
            drop(waiting);
            std::future::pending::<()>().await;
        }
    }

    async fn fail_job(&self, job: JobId, error: &Error) {
        let outcome = match error {
            Error::Cancelled => Outcome::Cancelled,
            error => Outcome::Failed { problem: problem(error) },
        };
        let catalog = self.uploads.publisher.catalog();
        if let Err(error) = catalog.jobs().finish(job, catalog.owner(), &outcome, Utc::now()).await {
            tracing::warn!(%error, %job, "a failed upload's job is ended by its lease");
        }
    }

    /// Converts and publishes.
    async fn publish(&self) -> Result<Uploaded, Error> {
        let mut tried = 1;
        loop {
            match self.publish_once().await {
                Err(Error::Conflict) if tried < UPSERT_ATTEMPTS && self.new.mode == UploadMode::Upsert => {
                    tried += 1
                }
                done => return done,
            }
        }
    }

    async fn publish_once(&self) -> Result<Uploaded, Error> {
        let target = self.uploads.target(&self.file, &self.new).await?;
        let existing = self.existing(&target).await?;
        let read_version = existing.as_ref().map(|(_, version, _)| *version);
        let existing = existing.map(|(at, _, files)| (at, files));
        let converted =
            self.uploads.convert(&self.file, &self.new, &target, existing, self.progress()).await?;
        let now = Utc::now();
        let created = target.table.is_none();
        let job = {
            let mut waiting = self.waiting.lock().await;
            waiting.committing = true;
            waiting.job
        };
        let table =
            self.uploads.take_name(&self.principal, &self.new, &target, &converted.decoded, now).await?;
        failpoint("upload.before-commit");
        let write = self.write(&target, &converted, read_version, job, now)?;
        let published = self.uploads.publisher.write(&table, write).await?;
        drop(converted.lease);
        failpoint("upload.after-commit");
        Ok(answer(created, published, notes(&converted.decoded)))
    }

    /// For an upsert, the dataset's files at the version that is built upon.
    async fn existing(&self, target: &Target) -> Result<Option<(Location, i64, Vec<DataFile>)>, Error> {
        let Some(table) = target.table.as_ref().filter(|_| self.new.mode == UploadMode::Upsert) else {
            return Ok(None);
        };
        let lake = self.uploads.publisher.lake();
        let at: Location = table.location.parse()?;
        let Some(version) = lake.latest(&at).await? else { return Ok(None) };
        let snapshot = lake.snapshot(&at, version).await?;
        let files = snapshot.files().iter().map(|file| (**file).clone()).collect();
        Ok(Some((at, version, files)))
    }

    fn write(
        &self,
        target: &Target,
        converted: &Converted,
        read_version: Option<i64>,
        job: Option<JobId>,
        now: DateTime<Utc>,
    ) -> Result<Write, Error> {
        let decoded = &converted.decoded;
        let scratch = converted.lease.scratch();
        let finished = |file: &DataFile| Finished { local: scratch.join(&file.path), file: file.clone() };
        let files = decoded.files.iter().map(finished).collect();
        let mode = match (self.new.mode, read_version) {
            (UploadMode::Create | UploadMode::Replace, _) => Mode::Overwrite,
            (UploadMode::Upsert, Some(read_version)) => {
                Mode::ReplaceFiles { remove: decoded.replaced.clone(), read_version }
            }
            (UploadMode::Append | UploadMode::Upsert, _) => Mode::Append,
        };
        let before = target.table.as_deref().filter(|_| self.new.mode != UploadMode::Replace);
        let rejects = i64::try_from(decoded.rejects).unwrap_or(i64::MAX);
        Ok(Write {
            regions: Regions::None,
            metadata: self.metadata(),
            columns: Some(described(columns(decoded, before), self.new.mode)),
            rejects: Some(Rejects { count: rejects, rows: converted.rejects.clone() }),
            job: job.map(|id| JobOutcome {
                id,
                outcome: Outcome::Succeeded { result: Some(self.result()), meta: noted(&notes(decoded)) },
            }),
            answer: self
                .key
                .as_ref()
                .map(|key| key.answer(&self.file, &self.kept(target, job, notes(decoded)))),
            ..Write::new(Rows::Finished(schema(decoded), files), mode, now)
        })
    }

    fn kept(&self, target: &Target, job: Option<JobId>, notes: Notes) -> Kept {
        let name = self.new.name.clone();
        match (job, &target.table) {
            (Some(id), _) => Kept::Job { id },
            (None, None) => Kept::Created { name, notes },
            (None, Some(_)) => Kept::Updated { name, notes },
        }
    }

    fn metadata(&self) -> serde_json::Map<String, Value> {
        let upload = self.file.path.rsplit('/').next().unwrap_or_default();
        let mut kept = serde_json::Map::new();
        kept.insert("upload".to_owned(), json!(upload));
        kept.insert("sha256".to_owned(), json!(self.file.sha256));
        kept.insert("file_name".to_owned(), json!(self.file.file_name));
        kept
    }

    fn result(&self) -> Value {
        json!({ "name": self.new.name, "table": format!("{}.{}", self.principal.slug, self.new.name) })
    }

    /// Rows and share of the file so far, told to the job once it is one.
    fn progress(&self) -> Option<Progress> {
        let run = Arc::clone(&self.run);
        Some(Arc::new(move |told| {
            if let Some(run) = run.get() {
                let rows = told["rows"].as_i64().unwrap_or_default();
                run.progress(told["percent"].as_f64().unwrap_or_default(), rows);
            }
        }))
    }
}

fn answer(created: bool, published: Published, notes: Notes) -> Uploaded {
    let table: Arc<Table> = published.table;
    if created { Uploaded::Created(table, notes) } else { Uploaded::Updated(table, notes) }
}

fn notes(decoded: &Decoded) -> Notes {
    let note = |column: &DecodedColumn| Some((column.name.clone(), column.note.clone()?));
    decoded.columns.iter().filter_map(note).collect()
}

/// What a job's row says beside its result.
fn noted(notes: &Notes) -> Option<Value> {
    (!notes.is_empty()).then(|| json!({ "notes": notes }))
}

fn meta(done: &Uploaded) -> Option<Value> {
    match done {
        Uploaded::Created(_, notes) | Uploaded::Updated(_, notes) => noted(notes),
        Uploaded::Job(_) => None,
    }
}

/// How many nulls there are after an upsert, only its files know.
fn described(mut columns: Vec<catalog::Column>, mode: UploadMode) -> Vec<catalog::Column> {
    if mode == UploadMode::Upsert {
        columns.iter_mut().for_each(|column| column.nulls = None);
    }
    columns
}

fn schema(decoded: &Decoded) -> SchemaRef {
    let field = |column: &DecodedColumn| Field::new(&column.name, column.of.arrow(), true);
    Arc::new(Schema::new(decoded.columns.iter().map(field).collect::<Vec<_>>()))
}

/// A failed job's problem; the gateway adds what its code says.
pub(crate) fn problem(error: &Error) -> Value {
    match error {
        Error::Internal(source) | Error::Lake(source) | Error::Catalog(source) => {
            tracing::error!(%source, "an upload failed")
        }
        _ => {}
    }
    json!({ "code": error.code(), "detail": error.to_string(), "errors": error.errors() })
}
