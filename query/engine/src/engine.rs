//! The one front of this crate: region routes on their own runtime, customers' statements in workers, one cache before both.

use std::sync::Arc;

use catalog::{Catalog, Job, Outcome};
use chrono::{DateTime, Utc};
use database::Redis;
use identity::{Principal, TableName};
use lake::Lake;
use serde_json::Value;
use tokio::runtime::{Builder, Handle, Runtime};
use worker::Pool;

use crate::cache::{Cache, Shared, Tag};
use crate::cursor::Seal;
use crate::regions::{Asked, Lasting, RegionQuery, Regions};
use crate::rows::{RowsAnswer, RowsRequest};
use crate::sql::{Described, Expanded, Sql, SqlAnswer, SqlLimits, SqlRequest};
use crate::{Answer, Format, Page, QueryError};

/// Sizes and secrets of an engine.
#[derive(Clone)]
pub struct EngineConfig {
    /// Bytes of finished pages kept; 0 keeps none.
    pub cache_bytes: u64,
    /// Larger pages are not kept.
    pub entry_bytes: usize,
    /// Bytes of daily rows kept in memory for region routes.
    pub series_bytes: u64,
    /// Threads of the region routes' runtime.
    pub threads: usize,
    /// ISO 4217, as the lake's file names it.
    pub currency: String,
    /// Signs cursors; the same on all nodes.
    pub cursor_key: [u8; 32],
    /// Redis with the pages of all nodes, and the key that seals them there; the same on all nodes.
    pub shared: Option<(Redis, [u8; 32])>,
    pub sql: SqlLimits,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            cache_bytes: 128 << 20,
            entry_bytes: 4 << 20,
            series_bytes: 128 << 20,
            threads: std::thread::available_parallelism().map_or(2, usize::from),
            currency: "EUR".to_owned(),
            cursor_key: [0; 32],
            shared: None,
            sql: SqlLimits::default(),
        }
    }
}

/// Answers questions. Cheap to clone; everything inside is shared.
#[derive(Clone)]
pub struct Engine {
    cache: Cache,
    regions: Regions,
    sql: Sql,
    runtime: Arc<Own>,
}

/// The region routes' runtime. It may be dropped where blocking is not allowed.
struct Own {
    handle: Handle,
    runtime: Option<Runtime>,
}

impl Drop for Own {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// Starts the engine's runtime. Errors: the system gives no threads.
    pub fn new(config: EngineConfig, lake: Lake, catalog: Catalog, pool: Pool) -> std::io::Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(config.threads.max(1))
            .thread_name("regions")
            .enable_all()
            .build()?;
        let shared = config.shared.map(|(redis, key)| Shared::new(redis, Seal::new(key)));
        let cache = Cache::new(config.cache_bytes, config.entry_bytes).before(shared);
        let seal = Seal::new(config.cursor_key);
        let regions =
            Regions::new(catalog.clone(), lake.clone(), config.series_bytes, seal.clone(), &config.currency);
        let sql = Sql::new(catalog, lake, pool, cache.clone(), config.sql, seal);
        let runtime = Arc::new(Own { handle: runtime.handle().clone(), runtime: Some(runtime) });
        Ok(Self { cache, regions, sql, runtime })
    }

    /// The tag of a region route's answer, from memory alone: no query, no database, no wait. `None` where that does not do (an unknown
    /// region, a cursor, a moment of the past not asked for before): then [`Engine::regions`] says what is the matter.
    pub fn tag(
        &self,
        query: &RegionQuery,
        format: Format,
        principal: &Principal,
        now: DateTime<Utc>,
    ) -> Option<Lasting> {
        self.regions.tag(query, Asked { format, policy: &principal.policy, now })
    }

    /// Whether a tag is still that of its question: two comparisons.
    pub fn lasts(&self, tag: &Lasting, now: DateTime<Utc>) -> bool {
        self.regions.lasts(tag, now)
    }

    /// A page that is there already.
    pub fn cached(&self, tag: &Tag) -> Option<Arc<Page>> {
        self.cache.get(tag)
    }

    /// Answers a region route. Errors: `unknown-region`, `invalid-parameter`, `invalid-period`, `as-of-expired`, `query-too-large`,
    /// `lake-unavailable`. Source: the tables in `meta.tables`.
    pub async fn regions(
        &self,
        principal: &Principal,
        query: RegionQuery,
        format: Format,
        now: DateTime<Utc>,
    ) -> Result<Answer, QueryError> {
        let asked = Asked { format, policy: &principal.policy, now };
        // On the heap: a route's future is moved several times, and 35 KB of it would be for this alone.
        Box::pin(self.regions.answer(query, asked, &self.cache, &self.runtime.handle)).await
    }

    /// Reads the daily tables into memory ahead of the first question. Shape: (region, table) pairs read.
    pub async fn warm(&self) -> Result<usize, QueryError> {
        let regions = self.regions.clone();
        self.runtime.handle.spawn(async move { regions.warm().await }).await.map_err(QueryError::engine)?
    }

    /// Answers a statement, or makes a job of it. Errors: `unknown-table`, `invalid-parameter`, `as-of-expired`, `query-too-large`,
    /// `query-timeout`, `busy`, and what the worker refuses.
    pub async fn sql(
        &self,
        principal: &Principal,
        request: SqlRequest,
        now: DateTime<Utc>,
    ) -> Result<SqlAnswer, QueryError> {
        self.sql.ask(principal, request, now).await
    }

    /// What a statement would answer and what it reads, without running it. Errors: as [`Engine::sql`].
    pub async fn describe(
        &self,
        principal: &Principal,
        sql: &str,
        params: &[Value],
        now: DateTime<Utc>,
    ) -> Result<Described, QueryError> {
        self.sql.describe(principal, sql, params, now).await
    }

    /// The task of a statement whose result will be stored. Errors: as [`Engine::sql`].
    pub async fn expand(
        &self,
        principal: &Principal,
        sql: &str,
        params: &[Value],
        as_of: Option<DateTime<Utc>>,
        now: DateTime<Utc>,
    ) -> Result<Expanded, QueryError> {
        self.sql.expand(principal, sql, params, as_of, now).await
    }

    /// Rows of any table the caller sees. `known` is the tag the caller already has. Errors: as [`Engine::sql`], `unknown-parameter`.
    pub async fn rows(
        &self,
        principal: &Principal,
        table: TableName,
        request: RowsRequest,
        known: Option<&str>,
        now: DateTime<Utc>,
    ) -> Result<RowsAnswer, QueryError> {
        Box::pin(crate::rows::answer(&self.sql, principal, table, request, known, now)).await
    }

    /// The error of a table that is not there or not the caller's, with those of the caller's that it may have meant.
    pub async fn unknown_table(&self, principal: &Principal, table: &TableName) -> QueryError {
        self.sql.unknown_table(principal, table).await
    }

    /// Runs a queued job of kind `sql` to its end; stops when dropped.
    pub async fn run_job(&self, job: &Job, now: DateTime<Utc>) -> Outcome {
        self.sql.run_job(job, now).await
    }

    /// The stored result of a job. Errors: `unknown-job` where the job has none.
    pub async fn result(&self, principal: &Principal, job: &Job) -> Result<Answer, QueryError> {
        self.sql.result(principal.workspace, job).await
    }
}
