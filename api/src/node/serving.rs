//! A node that serves: workers, engine, uploads, jobs and HTTP over a store.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use auth::Auth;
use bytes::Bytes;
use chrono::Utc;
use database::Redis;
use engine::sql::SqlLimits;
use engine::{Engine, EngineConfig};
use http::HeaderValue;
use ingest::jobs::{Runner, RunnerConfig};
use ingest::materialise::Materialise;
use ingest::recovery::Recovery;
use ingest::schedules::Clock;
use ingest::upload::{DecodeCaps, Uploads, UploadsConfig};
use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use worker::Pool;

use super::ground::patiently;
use super::store::Store;
use super::{jobs, upkeep};
use crate::config::Config;
use crate::document;
use crate::middleware::access_log::AccessLog;
use crate::middleware::cors::Cors;
use crate::middleware::front::{Front, Patience};
use crate::middleware::listener::{self, Door, Limits};
use crate::middleware::meters::{self, ServerMeters};
use crate::repeats::Repeats;
use crate::router;
use crate::state::{self, App, Parts};

/// How long a run of an analysis waits for a worker.
const QUEUE: Duration = Duration::from_secs(60);

/// A running node.
pub struct Node {
    pub app: App,
    pub store: Store,
    front: Arc<Front>,
    runner: Runner,
    /// Of the operator's jobs: long ones do not keep customers' waiting.
    pipelines: Option<Runner>,
    tasks: JoinSet<()>,
    stop: CancellationToken,
    limits: Limits,
}

impl Node {
    /// Builds everything above the store. It is not ready yet: see [`Node::ready`].
    pub async fn open(config: &Config, store: Store) -> anyhow::Result<Self> {
        let metrics = meters::install().context("metrics")?;
        let pool = store.workers.pool().context("workers")?;
        let engine = Engine::new(
            engine_settings(config, &store)?,
            store.lake.clone(),
            store.catalog.clone(),
            pool.clone(),
        )
        .context("engine")?;
        let uploads = Uploads::new(store.publisher.clone(), pool.clone(), upload_limits(config));
        let materialise = materialise(config, &engine, &store, pool);
        let handlers = jobs::handlers(&engine, &uploads, materialise);
        let recovery = recovery(&store, &uploads);
        patiently(async || recovery.at_start(Utc::now()).await.context("recovery")).await?;
        let runner = Runner::start(store.catalog.clone(), handlers, RunnerConfig::default());
        let (router, table, document) = router::build();
        router::agree(&table, &document).map_err(|why| anyhow::anyhow!("policy: {why}"))?;
        let app = App::new(Parts {
            db: store.ground.db.clone(),
            auth: store.ground.auth.clone(),
            catalog: store.catalog.clone(),
            engine,
            uploads,
            arrivals: store.arrivals.clone(),
            table,
            repeats: Repeats::default(),
            limits: state::Limits { body_bytes: config.server.body_bytes },
            metrics,
            openapi: Bytes::from(document::text(&document)?),
            readiness: state::Readiness::default(),
        });
        let front = Arc::new(front(config, app.clone(), router.with_state(app.clone()))?);
        let stop = CancellationToken::new();
        let mut tasks = upkeep::start(&store, recovery, &stop);
        tasks.spawn(held(upkeep::alerts(&store, &config.alerts, &stop)?));
        let limits = transport(config);
        Ok(Self { app, store, front, runner, pipelines: None, tasks, stop, limits })
    }

    /// Listens and answers from now on, in a task. Errors: the address is taken after all.
    pub fn listen(&mut self, door: Door) -> anyhow::Result<SocketAddr> {
        let (listener, address) = door.open().context("listen")?;
        self.tasks.spawn(listener::serve(listener, Arc::clone(&self.front), self.limits, self.stop.clone()));
        Ok(address)
    }

    /// Catches up with what the sources left, warms the regions, and says that it is ready.
    pub async fn ready(&mut self, sources: bool) -> anyhow::Result<()> {
        // Whoever rebuilds looks for servers when it has begun, and a server for a rebuild when it can be seen.
        loop {
            jobs::unfinished(&self.store).await.context("a rebuild that was cut short")?;
            self.store.arrivals.serve().await.context("the other nodes")?;
            if !jobs::is_unfinished(&self.store).await.context("a rebuild")? {
                break;
            }
            self.store.arrivals.leave().await;
        }
        self.store.arrivals.catch_up(Utc::now()).await.context("sources: catch up")?;
        if let Err(error) = self.app.engine.warm().await {
            tracing::warn!(%error, "the region tables could not be read ahead");
        }
        self.pipelines = Some(jobs::pipelines(&self.store));
        if sources {
            self.tasks.spawn(held(self.store.arrivals.start(&self.stop)));
            let clock = Clock::open(&self.store.lakefile, self.store.catalog.clone(), Utc::now()).await;
            self.tasks.spawn(clock.context("schedules")?.tick(self.stop.clone()));
        }
        self.app.readiness.set(true);
        Ok(())
    }

    /// A token that ends everything when it is cancelled.
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Waits for a signal (or the token), then ends in order: no new connections, running requests, jobs, sources.
    pub async fn run(mut self) {
        tokio::select! {
            () = signalled() => {}
            () = self.stop.cancelled() => {}
        }
        tracing::info!("stopping");
        self.app.readiness.set(false);
        self.stop.cancel();
        let ended = async { while self.tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(self.limits.grace + Duration::from_secs(2), ended).await;
        self.runner.stop().await;
        if let Some(pipelines) = self.pipelines {
            pipelines.stop().await;
        }
        self.store.arrivals.leave().await;
        self.front.log.flush();
        if let Err(error) = self.app.auth.close().await {
            tracing::warn!(%error, "when keys were last used could not be noted");
        }
        self.app.db.close().await;
        tracing::info!("stopped");
    }
}

async fn held(mut tasks: JoinSet<()>) {
    while tasks.join_next().await.is_some() {}
}

/// Ctrl-C, or the signal by which services are stopped.
async fn signalled() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut terminate) = signal(SignalKind::terminate()) else {
        let _ = tokio::signal::ctrl_c().await;
        return;
    };
    tokio::select! {
        _ = tokio::signal::ctrl_c() => {}
        _ = terminate.recv() => {}
    }
}

fn front(config: &Config, app: App, router: axum::Router) -> anyhow::Result<Front> {
    let server = &config.server;
    let policy = policies(&app.auth)?;
    Ok(Front {
        router,
        app,
        log: AccessLog::start(config.log.access),
        meters: ServerMeters::new(),
        cors: Cors::new(&server.cors_origins).context("server.cors_origins")?,
        patience: Patience {
            answer: Duration::from_millis(server.answer_timeout_ms),
            upload: Duration::from_millis(server.upload_timeout_ms),
            idle: Duration::from_millis(server.body_idle_timeout_ms),
        },
        proxies: server.trusted_proxies.clone(),
        policy,
    })
}

/// `RateLimit-Policy`.
fn policies(auth: &Auth) -> anyhow::Result<HeaderValue> {
    let policies = auth.policies().map(|(name, count)| format!("\"{name}\";q={count};w=60"));
    Ok(HeaderValue::try_from(policies.join(", "))?)
}

fn transport(config: &Config) -> Limits {
    let server = &config.server;
    Limits {
        connections: server.max_connections,
        head_bytes: server.head_bytes,
        head_fields: server.head_fields,
        head_time: Duration::from_millis(server.head_timeout_ms),
        grace: Duration::from_millis(server.shutdown_grace_ms),
    }
}

fn engine_settings(config: &Config, store: &Store) -> anyhow::Result<EngineConfig> {
    let mut sql = SqlLimits {
        inline: Duration::from_millis(config.queries.inline_ms),
        job: Duration::from_secs(config.queries.job_secs),
        ..SqlLimits::default()
    };
    if config.workers.spill_bytes > 0 {
        sql.task.spill = config.workers.spill_bytes;
    }
    Ok(EngineConfig {
        cache_bytes: if config.cache.enabled { config.cache.bytes } else { 0 },
        entry_bytes: config.cache.entry_bytes,
        series_bytes: config.cache.series_bytes,
        currency: store.lakefile.currency.clone(),
        cursor_key: derived(config.auth.signing_key()?.reveal(), b"cursor"),
        shared: shared(config)?,
        sql,
        ..EngineConfig::default()
    })
}

/// Redis and the key that seals pages in it, where the configuration names one.
fn shared(config: &Config) -> anyhow::Result<Option<(Redis, [u8; 32])>> {
    let Some(url) = config.cache.redis_url.as_ref().filter(|_| config.cache.enabled) else { return Ok(None) };
    let redis = Redis::new(url.reveal()).context("cache.redis_url")?;
    Ok(Some((redis, derived(config.auth.signing_key()?.reveal(), b"shared cache"))))
}

/// A key for one purpose, the same on every node that has the signing key.
fn derived(secret: &str, purpose: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(purpose).chain_update([0]).chain_update(secret).finalize().into()
}

fn upload_limits(config: &Config) -> UploadsConfig {
    let (uploads, defaults) = (&config.uploads, UploadsConfig::default());
    let caps = DecodeCaps {
        rows: uploads.rows,
        columns: uploads.columns,
        cell_bytes: uploads.cell_bytes,
        ratio: uploads.ratio,
        ..defaults.caps
    };
    let wait = Duration::from_millis(config.queries.inline_ms);
    UploadsConfig { file_bytes: uploads.file_bytes, wait, caps, ..defaults }
}

fn recovery(store: &Store, uploads: &Uploads) -> Recovery {
    // An SQLite file has one process at work on it, so whatever is open at its start was left by a dead one.
    let alone = store.ground.db.kind() == database::Kind::Sqlite;
    Recovery::new(uploads, alone)
}

fn materialise(config: &Config, engine: &Engine, store: &Store, pool: Pool) -> Materialise {
    let task = Duration::from_secs(config.queries.job_secs);
    Materialise::new(engine.clone(), store.publisher.clone(), pool, task, QUEUE)
}
