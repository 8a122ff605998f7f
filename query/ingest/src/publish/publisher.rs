//! The publisher: one writer a table in this process, optimistic across nodes.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use catalog::{Answer, Catalog, Intent, IntentKind, NewIntent, Publish, Table, Touched};
use chrono::{DateTime, Utc};
use identity::{IntentId, TableId};
use lake::{CommitError, CompactOptions, Lake, Location, failpoint};
use parking_lot::Mutex;
use serde_json::json;
use tokio::runtime::Handle;

use super::change::Changing;
use super::incoming::Incoming;
use super::settle::{Settled, publish, remove_files, settle};
use super::terms::{Attempt, Terms, commit_of, draft, is_void, kind_of, mark, may_redo, terms};
use super::widen::{described, joined};
use super::{Error, Published, Rows, Write};

/// Fresh snapshots that a write tries before it gives up to others.
const ATTEMPTS: usize = 8;
/// How often a long write shows that it is at work.
const SIGN_OF_LIFE: Duration = Duration::from_secs(60);
/// How long a failed write may look for what became of it, while its caller waits.
const AFTER_FAILURE: Duration = Duration::from_secs(3);

/// Writes tables. Cheap to clone; all clones share one lock a table.
#[derive(Clone)]
pub struct Publisher {
    inner: Arc<Inner>,
    runtime: Option<Handle>,
}

struct Inner {
    lake: Lake,
    catalog: Catalog,
    locks: Mutex<HashMap<TableId, Weak<tokio::sync::Mutex<()>>>>,
}

impl Publisher {
    pub fn new(lake: Lake, catalog: Catalog) -> Self {
        Self { inner: Arc::new(Inner { lake, catalog, locks: Mutex::default() }), runtime: None }
    }

    /// The same publisher, whose writes run on the runtime for heavy work: encoding must not hold up HTTP.
    #[must_use]
    pub fn on(self, runtime: Handle) -> Self {
        Self { runtime: Some(runtime), ..self }
    }

    pub fn lake(&self) -> &Lake {
        &self.inner.lake
    }

    pub fn catalog(&self) -> &Catalog {
        &self.inner.catalog
    }

    /// Writes to a table and makes it visible. The first write of a table makes it, with the columns of its rows.
    /// - A caller who leaves does not stop it.
    /// - A write whose `txn` was committed before changes nothing and is [`Published::repeated`]; its batch is noted all the same.
    /// - A write without rows that changes nothing else makes no version.
    /// - Errors: [`Error`]; after each but [`Error::Catalog`] nothing of it is or becomes visible.
    pub async fn write(&self, table: &Table, write: Write) -> Result<Published, Error> {
        let (inner, table) = (Arc::clone(&self.inner), table.clone());
        self.spawn(async move { inner.write(&table, write).await }).await
    }

    /// Puts small files together, those of each month of a column by themselves where `months` names one; the rows stay,
    /// and so do the regions' stamps. `None` where it would not pay. Errors: as [`Self::write`].
    pub async fn compact(
        &self,
        table: &Table,
        months: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<Option<Published>, Error> {
        let (inner, table, months) = (Arc::clone(&self.inner), table.clone(), months.map(str::to_owned));
        self.spawn(async move { inner.compact(&table, months, now).await }).await
    }

    /// Ends an intent that its writer has left open. Waits for a writer of this process that may still be at it.
    /// Errors: the lake or the catalog does not answer; then it stays open.
    pub async fn settle(&self, intent: &Intent, now: DateTime<Utc>) -> Result<Settled, Error> {
        let lock = self.inner.lock(intent.table);
        let _held = lock.lock().await;
        settle(&self.inner.lake, &self.inner.catalog, intent, now).await
    }

    async fn spawn<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, Error>> + Send + 'static,
    ) -> Result<T, Error> {
        let task = match &self.runtime {
            Some(runtime) => runtime.spawn(work),
            None => tokio::spawn(work),
        };
        task.await.unwrap_or_else(|error| Err(Error::Rows(Box::new(error))))
    }
}

impl Inner {
    fn lock(&self, table: TableId) -> Arc<tokio::sync::Mutex<()>> {
        let mut locks = self.locks.lock();
        if let Some(lock) = locks.get(&table).and_then(Weak::upgrade) {
            return lock;
        }
        locks.retain(|_, lock| lock.strong_count() > 0);
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        locks.insert(table, Arc::downgrade(&lock));
        lock
    }

    async fn write(&self, table: &Table, write: Write) -> Result<Published, Error> {
        let (rows, write) = terms(write);
        let lock = self.lock(table.id);
        let _held = lock.lock().await;
        let at: Location = table.location.parse()?;
        if let Some(before) = self.settle_earlier(table, write.answer.as_ref(), write.at).await? {
            return self.answered_before(before, &write).await;
        }
        if let Some(before) = self.repeated(table, &at, &write).await? {
            return Ok(before);
        }
        if is_void(table, &rows, &write) {
            return self.note_batch(table, &write, false).await;
        }
        let intent = self.intend(table, kind_of(table, &write.mode), write.at).await?;
        failpoint("publish.after-intent");
        let attempt = Attempt { table, at, intent };
        match self.alive(intent, self.commit(&attempt, rows, &write)).await {
            Ok((version, draft)) => self.make_visible(&attempt, version, draft).await,
            Err(error) => match self.after_failure(&attempt, &error).await {
                Some(table) => Ok(Published::of(table, false)),
                None => Err(error),
            },
        }
    }

    /// Publishes what earlier writes of this table have left in the log; nobody of this process works at them while the lock is held.
    /// - Shape: the table, where one of them was the very request that is to be answered so.
    async fn settle_earlier(
        &self,
        table: &Table,
        answer: Option<&Answer>,
        now: DateTime<Utc>,
    ) -> Result<Option<Arc<Table>>, Error> {
        let mut same = None;
        for intent in self.catalog.open_intents_of(table.id).await? {
            let at: Location = intent.location.parse()?;
            // Another node may still be at work on one without a commit.
            if self.lake.find_commit(&at, intent.id).await?.is_some()
                && let Settled::Published(table) = settle(&self.lake, &self.catalog, &intent, now).await?
                && answer.is_some_and(|answer| is_of(answer, &intent))
            {
                same = Some(table);
            }
        }
        Ok(same)
    }

    /// The end of a request that was done when it came first, and not told so.
    async fn answered_before(&self, table: Arc<Table>, write: &Terms) -> Result<Published, Error> {
        if let Some(job) = &write.job {
            let (jobs, owner) = (self.catalog.jobs(), self.catalog.owner());
            jobs.finish(job.id, owner, &job.outcome, write.at).await?;
        }
        Ok(Published::of(table, true))
    }

    /// The state of the table where the write's transaction is in its log already.
    async fn repeated(
        &self,
        table: &Table,
        at: &Location,
        write: &Terms,
    ) -> Result<Option<Published>, Error> {
        let Some((app, number)) = &write.txn else { return Ok(None) };
        let done = self.lake.txn_version(at, app).await?.is_some_and(|last| last >= *number);
        if !done {
            return Ok(None);
        }
        self.note_batch(table, write, true).await.map(Some)
    }

    async fn note_batch(&self, table: &Table, write: &Terms, repeated: bool) -> Result<Published, Error> {
        if let Some(batch) = &write.batch {
            self.catalog.batches().publish(&mark(batch), write.at).await?;
        }
        Ok(Published::of(Arc::new(table.clone()), repeated))
    }

    async fn intend(&self, table: &Table, kind: IntentKind, now: DateTime<Utc>) -> Result<IntentId, Error> {
        let new = NewIntent {
            kind,
            table: table.id,
            workspace: table.workspace,
            location: table.location.clone(),
            base_version: table.version,
        };
        Ok(self.catalog.intend(new, now).await?)
    }

    /// Does a write's work, and lets the other processes know meanwhile that it is not forgotten.
    async fn alive<T>(&self, intent: IntentId, work: impl Future<Output = T>) -> T {
        let mut tick = tokio::time::interval_at(tokio::time::Instant::now() + SIGN_OF_LIFE, SIGN_OF_LIFE);
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = tick.tick() => {
                    if let Err(error) = self.catalog.touch(intent, Utc::now()).await {
                        tracing::warn!(%error, %intent, "a write could not show that it is at work");
                    }
                }
            }
        }
    }

    /// Files, draft, log. Gives the version and what is to be published.
    async fn commit(
        &self,
        attempt: &Attempt<'_>,
        rows: Rows,
        write: &Terms,
    ) -> Result<(i64, Publish), Error> {
        let incoming = Incoming::take(&self.lake, attempt, rows, write).await?;
        let snapshot = attempt.newest(&self.lake, &incoming).await?;
        let columns = match write.widen {
            true => joined(&snapshot, &incoming)?,
            false => Arc::clone(snapshot.schema()),
        };
        let incoming = incoming.each_key_once(&write.mode, &columns)?;
        let mut draft = draft(attempt, write);
        for tried in 1.. {
            let change = Changing { lake: &self.lake, attempt, incoming: &incoming, write }.change().await?;
            if let Some(schema) = change.schema.as_ref().filter(|_| write.widen && write.columns.is_none()) {
                draft.columns = Some(described(&attempt.table.columns, schema));
            }
            failpoint("publish.after-parquet");
            let names: Vec<_> = change.add.iter().map(|file| file.path.as_str()).collect();
            self.catalog.prepare(attempt.intent, &json!(names), &draft, Utc::now()).await?;
            failpoint("publish.before-commit");
            match self.lake.commit(&attempt.at, commit_of(attempt, write, &change)).await {
                Ok(committed) => {
                    failpoint("publish.after-commit");
                    return Ok((committed.version, draft));
                }
                Err(CommitError::Unknown(error)) => return self.look_again(attempt, draft, error).await,
                Err(CommitError::Conflict { .. }) if tried < ATTEMPTS && may_redo(&incoming, &write.mode) => {
                    remove_files(&self.lake, &attempt.at, attempt.intent).await?;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::Conflict)
    }

    /// The store did not say whether the commit is there: look before anything is removed.
    async fn look_again(
        &self,
        attempt: &Attempt<'_>,
        draft: Publish,
        error: lake::Error,
    ) -> Result<(i64, Publish), Error> {
        match self.lake.find_commit(&attempt.at, attempt.intent).await? {
            Some(version) => Ok((version, draft)),
            None => Err(error.into()),
        }
    }

    async fn make_visible(
        &self,
        attempt: &Attempt<'_>,
        version: i64,
        draft: Publish,
    ) -> Result<Published, Error> {
        let first = publish(&self.lake, &self.catalog, &attempt.at, version, draft.clone()).await;
        let table = match first {
            // The same call finds out whether the first one was done.
            Err(error) if error.is_transient() => {
                publish(&self.lake, &self.catalog, &attempt.at, version, draft).await?
            }
            other => other?,
        };
        failpoint("publish.after-catalog");
        Ok(Published { version, rows: table.rows, bytes: table.bytes, table, repeated: false })
    }

    /// Ends a failed write: it is cleared, or found in the log after all and published. What cannot be told now is left for
    /// recovery.
    async fn after_failure(&self, attempt: &Attempt<'_>, error: &Error) -> Option<Arc<Table>> {
        let intent = attempt.intent;
        match tokio::time::timeout(AFTER_FAILURE, self.settle_own(attempt)).await {
            Ok(Ok(Settled::Cleared)) => {}
            Ok(Ok(Settled::Published(table))) => {
                tracing::warn!(%error, %intent, "a write seemed to fail, and is there");
                return Some(table);
            }
            Ok(Err(unsettled)) => tracing::warn!(%unsettled, %intent, "a failed write is left for recovery"),
            Err(_) => tracing::warn!(%error, %intent, "a failed write is left for recovery"),
        }
        None
    }

    async fn settle_own(&self, attempt: &Attempt<'_>) -> Result<Settled, Error> {
        let open = self.catalog.open_intents_of(attempt.table.id).await?;
        match open.iter().find(|intent| intent.id == attempt.intent) {
            Some(intent) => settle(&self.lake, &self.catalog, intent, Utc::now()).await,
            None => Ok(Settled::Cleared),
        }
    }

    async fn compact(
        &self,
        table: &Table,
        months: Option<String>,
        now: DateTime<Utc>,
    ) -> Result<Option<Published>, Error> {
        let lock = self.lock(table.id);
        let _held = lock.lock().await;
        let at: Location = table.location.parse()?;
        self.settle_earlier(table, None, now).await?;
        let intent = self.intend(table, IntentKind::Compact, now).await?;
        let attempt = Attempt { table, at, intent };
        let draft = Publish {
            touched: Touched::Nothing,
            operation: "compact".to_owned(),
            ..Publish::new(intent, table.id, 0, now)
        };
        self.catalog.prepare(intent, &json!([]), &draft, Utc::now()).await?;
        failpoint("publish.half-compaction");
        let options = CompactOptions { sort: table.sort.clone(), months, ..CompactOptions::default() };
        match self.alive(intent, self.lake.compact(&attempt.at, &options, intent)).await {
            Ok(Some(compacted)) => {
                failpoint("publish.after-commit");
                self.make_visible(&attempt, compacted.version, draft).await.map(Some)
            }
            Ok(None) => {
                self.catalog.abandon(intent, now).await?;
                Ok(None)
            }
            Err(error) => {
                let error = error.into();
                match self.after_failure(&attempt, &error).await {
                    Some(table) => Ok(Some(Published::of(table, false))),
                    None => Err(error),
                }
            }
        }
    }
}

/// Whether an intent is of the request with that key and body.
fn is_of(answer: &Answer, intent: &Intent) -> bool {
    let of = |answer: &Answer| {
        (answer.workspace, answer.route.clone(), answer.key.clone(), answer.body_hash.clone())
    };
    intent.draft.as_ref().and_then(|draft| draft.answer.as_ref()).is_some_and(|its| of(its) == of(answer))
}
