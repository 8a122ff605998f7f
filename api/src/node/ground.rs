//! The database and who may come in.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use auth::{Auth, LimitConfig};
use database::{DatabaseConfig, Db};
use identity::Secret;

use crate::config::Config;

/// How long a start waits for the database.
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(500);

/// What every verb with a configuration needs.
pub struct Ground {
    pub db: Db,
    pub auth: Auth,
}

impl Ground {
    /// Connects, migrates, and reads the signing key. Errors: what cannot be opened, with its topic.
    pub async fn open(config: &Config) -> anyhow::Result<Self> {
        patiently(async || {
            let db = connect(config).await?;
            db.migrate().await.context("database: migrate")?;
            let auth = Auth::open(db.clone(), settings(config)?).await.context("auth")?;
            Ok(Self { db, auth })
        })
        .await
    }
}

/// Does a step of a start, again and again while the database is away or busy: a node may start before its database.
/// Errors: the step's own, and what the database still says after [`PATIENCE`].
pub async fn patiently<T>(step: impl AsyncFn() -> anyhow::Result<T>) -> anyhow::Result<T> {
    let began = Instant::now();
    loop {
        match step().await {
            Err(error) if is_transient(&error) && began.elapsed() < PATIENCE => {
                tracing::warn!(error = words(&error), "the database is not ready; trying again");
                tokio::time::sleep(PAUSE).await;
            }
            done => return done,
        }
    }
}

/// Whether the database may do it a little later.
pub fn is_transient(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|cause| cause.downcast_ref::<database::Error>());
    causes.any(database::Error::is_transient)
}

/// An error and its causes in one line. What a cause repeats of the one before is left out: some libraries tell theirs twice.
pub fn words(error: &anyhow::Error) -> String {
    let texts = error.chain().map(ToString::to_string);
    let join =
        |told: String, text: String| if told.ends_with(&text) { told } else { format!("{told}: {text}") };
    texts.reduce(join).unwrap_or_default()
}

/// Connects to the catalog database; the folder of an SQLite file is made.
pub async fn connect(config: &Config) -> anyhow::Result<Db> {
    let url = config.database.url.reveal();
    if let Some(folder) = folder_of(url) {
        std::fs::create_dir_all(&folder).with_context(|| format!("database: make {}", folder.display()))?;
    }
    let settings = DatabaseConfig {
        max_connections: config.database.max_connections,
        busy_timeout_ms: config.database.busy_timeout_ms,
        fsync: config.storage.fsync,
        ..DatabaseConfig::at(url)
    };
    Db::connect(&settings).await.context("database: connect")
}

/// The folder of an SQLite file; `None` for other databases.
pub fn folder_of(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    let path = path.strip_prefix("//").unwrap_or(path);
    let path = path.split('?').next().unwrap_or_default();
    let folder = Path::new(path).parent().filter(|folder| !folder.as_os_str().is_empty());
    (!path.starts_with(":memory:")).then(|| folder.map_or_else(|| PathBuf::from("."), Path::to_owned))
}

fn settings(config: &Config) -> anyhow::Result<auth::AuthConfig> {
    let auth = &config.auth;
    let limits = LimitConfig {
        requests_per_minute: auth.calls_per_minute,
        failures_per_address_per_minute: auth.failures_per_minute,
        failures_per_key_per_minute: auth.key_failures_per_minute,
    };
    Ok(auth::AuthConfig {
        issuer: auth.issuer.clone(),
        audience: auth.audience.clone(),
        token_ttl_secs: auth.token_ttl_secs,
        signing_key_pem: Secret::new(auth.signing_key()?.reveal()),
        cache_secs: auth.cache_secs,
        limits,
        ..auth::AuthConfig::default()
    })
}
