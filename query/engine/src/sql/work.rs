//! One statement made ready, and its run in a worker.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use identity::{Principal, TableName, WorkspaceId};
use parking_lot::Mutex;
use serde_json::Value;
use sha2::{Digest, Sha256};
use worker::{Class, Lease, NoFiles, Promoter, Reply, TaskError};

use super::names::{Asker, Pin, Pinned, table_names};
use super::plan::{TaskFiles, lay};
use super::{Sql, missing};
use crate::cache::{Tag, TagBuilder};
use crate::sandbox::{Answered, Plan, Resolved};
use crate::{Format, QueryError};

/// A statement with everything that decides its answer.
#[derive(Clone, Debug)]
pub(crate) struct Statement {
    pub sql: String,
    pub params: Vec<Value>,
    pub limit: u64,
    /// Trailing columns that are not answered.
    pub hidden: usize,
    /// Rows in stored order.
    pub sequential: bool,
    pub format: Format,
    pub as_of: Option<DateTime<Utc>>,
    /// Distinguishes answers whose envelope differs: `sql`, `rows`.
    pub shape: String,
}

/// A statement whose tables are pinned: it can be named, run, or both.
#[derive(Clone)]
pub(crate) struct Ready {
    pub statement: Statement,
    pub principal: Arc<Principal>,
    pub pinned: Pinned,
    pub volatile: bool,
    pub tag: Tag,
    pub now: DateTime<Utc>,
}

/// Turns a running inline task into a long one, once it has a worker.
#[derive(Clone, Default)]
pub(crate) struct Promotion {
    lease: Arc<Mutex<(bool, Option<Promoter>)>>,
}

impl Promotion {
    /// From now on the task is long, whether it has its worker yet or not. False where no more long tasks fit: it stays what it was.
    pub fn promote(&self) -> bool {
        let mut lease = self.lease.lock();
        let fits = lease.1.as_ref().is_none_or(Promoter::into_long);
        lease.0 |= fits;
        fits
    }

    fn leased(&self, promoter: Promoter) {
        let mut lease = self.lease.lock();
        if lease.0 {
            promoter.into_long();
        }
        lease.1 = Some(promoter);
    }
}

/// A worker that is asked for when it is first needed.
pub(crate) struct Seat {
    lease: Option<Lease>,
    workspace: WorkspaceId,
    class: Class,
    deadline: Instant,
}

impl Seat {
    pub fn new(workspace: WorkspaceId, class: Class, patience: Duration) -> Self {
        Self { lease: None, workspace, class, deadline: Instant::now() + patience }
    }
}

impl Sql {
    /// Finds the names, pins the tables and builds the tag. Runs nothing but, for a text not seen before, its parsing in a worker.
    pub async fn ready(
        &self,
        principal: &Principal,
        statement: Statement,
        pins: Option<&BTreeMap<TableName, Pin>>,
        now: DateTime<Utc>,
        seat: &mut Seat,
    ) -> Result<Ready, QueryError> {
        let resolved = self.resolve(principal.workspace, &statement.sql, seat).await?;
        if resolved.params != statement.params.len() {
            let detail = format!(
                "the statement has {} parameters and {} values were given",
                resolved.params,
                statement.params.len()
            );
            return Err(QueryError::parameter("params", detail));
        }
        let names = match table_names(&resolved.tables) {
            Ok(names) => names,
            Err(impossible) => return Err(missing::unknown(&impossible, principal, &self.catalog).await),
        };
        let asker = Asker { principal, as_of: statement.as_of, now };
        let mut pinned = Pinned::of(&names, asker, &self.catalog).await?;
        if let Some(pins) = pins {
            pinned = pinned.at_versions(pins)?;
        }
        let mut ready = self.ready_with(principal, statement, pinned, now, seat).await?;
        ready.volatile |= resolved.volatile;
        Ok(ready)
    }

    /// The same for a statement of ours, whose names are known and pinned.
    pub async fn ready_with(
        &self,
        principal: &Principal,
        statement: Statement,
        pinned: Pinned,
        now: DateTime<Utc>,
        seat: &mut Seat,
    ) -> Result<Ready, QueryError> {
        let tag = tag(&statement, &pinned, principal, now)?;
        let volatile = self.views_volatile(principal.workspace, &pinned, seat).await?;
        Ok(Ready { statement, principal: Arc::new(principal.clone()), pinned, volatile, tag, now })
    }

    /// Whether a view among the tables asks for the time or for chance.
    async fn views_volatile(
        &self,
        workspace: WorkspaceId,
        pinned: &Pinned,
        seat: &mut Seat,
    ) -> Result<bool, QueryError> {
        for view in pinned
            .tables
            .values()
            .filter_map(|table| table.sql.as_ref().filter(|_| table.kind == catalog::Kind::View))
        {
            if self.resolve(workspace, view, seat).await?.volatile {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The names in a text, remembered by workspace and text. Errors: the worker's refusals, `busy`.
    pub async fn resolve(
        &self,
        workspace: WorkspaceId,
        sql: &str,
        seat: &mut Seat,
    ) -> Result<Arc<Resolved>, QueryError> {
        if sql.len() > self.limits.text_bytes {
            let detail = format!("the statement is longer than {} KiB", self.limits.text_bytes >> 10);
            return Err(QueryError::Refused {
                code: "query-too-complex".to_owned(),
                detail,
                errors: Vec::new(),
            });
        }
        let key: (WorkspaceId, [u8; 32]) = (workspace, Sha256::digest(sql).into());
        if let Some(known) = self.resolved.get(&key) {
            return Ok(known);
        }
        let request = serde_json::json!({ "sql": sql });
        let lease = self.take(seat, &Promotion::default()).await?;
        let reply = lease
            .run("resolve", &request, Arc::new(NoFiles), self.limits.inline)
            .await
            .map_err(|error| refused(error, self.limits.inline))?;
        let resolved: Arc<Resolved> =
            Arc::new(serde_json::from_value(reply.head).map_err(QueryError::engine)?);
        self.resolved.insert(key, Arc::clone(&resolved));
        Ok(resolved)
    }

    async fn take<'a>(&self, seat: &'a mut Seat, promotion: &Promotion) -> Result<&'a mut Lease, QueryError> {
        let lease = match seat.lease.take() {
            Some(lease) => lease,
            None => self.pool.lease(seat.workspace, seat.class, seat.deadline).await.map_err(busy)?,
        };
        promotion.leased(lease.promoter());
        Ok(seat.lease.insert(lease))
    }

    /// Runs a statement. Shape: the head and the encoded rows. Errors: the worker's refusals, `busy`, `query-timeout`, `query-too-large`.
    pub async fn run_on(
        &self,
        ready: &Ready,
        seat: &mut Seat,
        promotion: &Promotion,
    ) -> Result<(Answered, bytes::Bytes), QueryError> {
        let (plan, files) = self.plan(ready).await?;
        let request = serde_json::to_value(&plan).map_err(QueryError::engine)?;
        let lease = self.take(seat, promotion).await?;
        let Reply { head, body } = lease
            .run("query", &request, files, self.limits.job)
            .await
            .map_err(|error| refused(error, self.limits.job))?;
        let answered: Answered = serde_json::from_value(head).map_err(QueryError::engine)?;
        if body.len() as u64 > crate::PAGE_BYTES + (1 << 20) {
            return Err(QueryError::TooLarge {
                detail: "the answer is larger than a page may be".to_owned(),
            });
        }
        Ok((answered, body))
    }

    /// The task of a statement and the files it may read.
    pub async fn plan(&self, ready: &Ready) -> Result<(Plan, Arc<TaskFiles>), QueryError> {
        let laid = lay(&ready.pinned, &ready.principal, &self.lake).await?;
        let Statement { sql, params, limit, hidden, sequential, format, .. } = ready.statement.clone();
        let plan = Plan {
            sql,
            params,
            limit: Some(limit),
            format,
            bom: false,
            now: ready.now,
            scope: laid.scope,
            objects: laid.objects,
            limits: self.limits.task,
            hidden,
            sequential,
        };
        Ok((plan, TaskFiles::new(self.lake.clone(), laid.files)))
    }
}

fn tag(
    statement: &Statement,
    pinned: &Pinned,
    principal: &Principal,
    now: DateTime<Utc>,
) -> Result<Tag, QueryError> {
    let mut tag = TagBuilder::new(&statement.shape, &principal.policy, statement.format);
    let params = serde_json::to_string(&statement.params).map_err(QueryError::engine)?;
    tag.text(&statement.sql).text(&params).number(statement.limit as i64);
    pinned.write(principal, now, &mut tag);
    Ok(tag.finish())
}

fn busy(admission: worker::Admission) -> QueryError {
    match admission {
        worker::Admission::Busy { retry_after } => {
            QueryError::Busy { retry_after_secs: retry_after.as_secs().max(1) }
        }
        worker::Admission::Closed => QueryError::Busy { retry_after_secs: 1 },
    }
}

/// A task's failure as the caller's problem; `limit` is the time it had.
pub(crate) fn refused(error: TaskError, limit: Duration) -> QueryError {
    match error {
        TaskError::Refused(refusal) => {
            QueryError::Refused { code: refusal.code, detail: refusal.detail, errors: refusal.errors }
        }
        TaskError::Deadline => QueryError::Timeout { limit_secs: limit.as_secs() },
        TaskError::Died(worker::Death::Cpu) => QueryError::Timeout { limit_secs: limit.as_secs() },
        TaskError::Died(death) => {
            QueryError::TooLarge { detail: format!("the query was stopped: {}", death.limit()) }
        }
        TaskError::Io(_) => QueryError::engine(error),
    }
}
