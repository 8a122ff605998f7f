//! One struct a topic. Every field has a default; the units are in the names.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::secrets::PASSWORD;
use super::{ConfigError, Hidden, Listen};

/// `[server]`: the listening side.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Server {
    /// `HOST:PORT`.
    pub listen: Listen,
    /// Name of this node among those that share the database.
    pub node: String,
    /// Threads that speak HTTP; 0: as many as cores.
    pub threads: usize,
    pub max_connections: usize,
    pub head_bytes: usize,
    pub head_fields: usize,
    pub head_timeout_ms: u64,
    /// For the next piece of a request's body.
    pub body_idle_timeout_ms: u64,
    /// For a whole answer, uploads excepted.
    pub answer_timeout_ms: u64,
    /// For a whole upload.
    pub upload_timeout_ms: u64,
    pub shutdown_grace_ms: u64,
    /// Body of a call that is no upload.
    pub body_bytes: usize,
    /// Origins that may call from a browser; `*` for all.
    pub cors_origins: Vec<String>,
    /// Peers whose `X-Forwarded-For` is believed.
    pub trusted_proxies: Vec<IpAddr>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: Listen::default(),
            node: "local".into(),
            threads: 0,
            max_connections: 10_000,
            head_bytes: 32 << 10,
            head_fields: 100,
            head_timeout_ms: 10_000,
            body_idle_timeout_ms: 30_000,
            answer_timeout_ms: 60_000,
            upload_timeout_ms: 3_600_000,
            shutdown_grace_ms: 20_000,
            body_bytes: 1 << 20,
            cors_origins: Vec::new(),
            trusted_proxies: Vec::new(),
        }
    }
}

impl Server {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |key, reason: &str| Err(ConfigError::Value { key, reason: reason.into() });
        if self.max_connections == 0 {
            return refuse("server.max_connections", "must be at least 1");
        }
        if !(8192..=1 << 20).contains(&self.head_bytes) {
            return refuse("server.head_bytes", "must be between 8192 and 1048576");
        }
        Ok(())
    }
}

/// `[database]`: the catalog.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// `sqlite://path/catalog.db` or `postgres://…`. May hold a password, so it is not printed.
    pub url: Hidden,
    pub max_connections: u32,
    pub busy_timeout_ms: u64,
}

impl Default for Database {
    fn default() -> Self {
        Self {
            url: Hidden::new("sqlite://.lakefront/catalog.db".into()),
            max_connections: 10,
            busy_timeout_ms: 3_000,
        }
    }
}

impl Database {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let known = ["sqlite:", "postgres:", "postgresql:"];
        if known.iter().any(|scheme| self.url.reveal().starts_with(scheme)) {
            return self.url.check_passwords("database.url (password)");
        }
        Err(ConfigError::Value { key: "database.url", reason: "must start with sqlite: or postgres:".into() })
    }
}

/// `[storage]`: the object store of the lake.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Storage {
    /// `file:///path`, `memory:///`, `s3://bucket/prefix`, `gs://…`, `az://…`; a path without scheme is a folder.
    pub url: String,
    /// Options of the store, such as `aws_region`; secrets belong into the environment.
    #[serde(deserialize_with = "texts")]
    pub options: BTreeMap<String, Hidden>,
    /// Promises hold over power loss, not only over a killed process.
    pub fsync: bool,
    /// Scratch space of workers and uploads.
    pub scratch: Option<PathBuf>,
}

/// `true` and `5` are texts here too: an environment variable cannot tell them apart.
fn texts<'de, D: serde::Deserializer<'de>>(values: D) -> Result<BTreeMap<String, Hidden>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Scalar {
        Text(String),
        Flag(bool),
        Number(i64),
    }
    let text = |value| match value {
        Scalar::Text(text) => text,
        Scalar::Flag(flag) => flag.to_string(),
        Scalar::Number(number) => number.to_string(),
    };
    let values = BTreeMap::<String, Scalar>::deserialize(values)?;
    Ok(values.into_iter().map(|(key, value)| (key, Hidden::new(text(value)))).collect())
}

/// Schemes of the stores that `lake` opens.
const STORES: &[&str] = &["file", "memory", "s3", "s3a", "gs", "az", "azure", "abfs", "abfss"];

impl Storage {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.check_options()?;
        let refuse = |reason: String| Err(ConfigError::Value { key: "storage.url", reason });
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return if self.url.is_empty() { refuse("is empty".into()) } else { Ok(()) };
        };
        if !STORES.contains(&scheme) {
            return refuse(format!("names no store: a folder, or one of {}", STORES.join(", ")));
        }
        if !matches!(scheme, "file" | "memory") && matches!(rest.chars().next(), None | Some('/')) {
            return refuse(format!("names no bucket: {scheme}://bucket/prefix is the form"));
        }
        if url::Url::parse(&self.url).is_err() {
            return refuse("is no URL".into());
        }
        Ok(())
    }

    /// Refuses a secret that is none.
    fn check_options(&self) -> Result<(), ConfigError> {
        let secrets = self.options.iter().filter(|(name, _)| is_secret(name));
        let mut weak = secrets.filter_map(|(name, value)| Some((name, value.weakness(PASSWORD)?)));
        match weak.next() {
            Some((name, why)) => {
                Err(ConfigError::Value { key: "storage.options", reason: format!("`{name}` {why}") })
            }
            None => Ok(()),
        }
    }
}

/// Whether an option of a store is a secret, by its name: `aws_secret_access_key` is one, `aws_access_key_id` and what names a file or
/// an address are none.
fn is_secret(option: &str) -> bool {
    const WORDS: &[&str] = &[
        "secret",
        "password",
        "token",
        "access_key",
        "account_key",
        "customer_key",
        "sas_key",
        "private_key",
    ];
    const PLACES: &[&str] = &["_id", "_file", "_path", "_uri", "_url", "_endpoint", "_name"];
    let name = option.to_ascii_lowercase();
    WORDS.iter().any(|word| name.contains(word)) && !PLACES.iter().any(|place| name.ends_with(place))
}

impl Default for Storage {
    fn default() -> Self {
        Self { url: ".lakefront/lake".into(), options: BTreeMap::new(), fsync: false, scratch: None }
    }
}

/// `[auth]`: credentials and rate limits.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    pub issuer: String,
    pub audience: String,
    pub token_ttl_secs: u32,
    pub cache_secs: u32,
    /// PEM file (PKCS 8, Ed25519).
    pub signing_key_file: Option<PathBuf>,
    /// The same as text, for the environment.
    pub signing_key: Option<Hidden>,
    /// Weighted calls a minute a key; cached reads and 304s are free.
    pub calls_per_minute: u32,
    /// Failed credentials a minute, an address.
    pub failures_per_minute: u32,
    /// Failed credentials a minute, a key's prefix.
    pub key_failures_per_minute: u32,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            issuer: "lakefront".into(),
            audience: "lakefront".into(),
            token_ttl_secs: 900,
            cache_secs: 30,
            signing_key_file: None,
            signing_key: None,
            calls_per_minute: 600,
            failures_per_minute: 120,
            key_failures_per_minute: 30,
        }
    }
}

impl AuthConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if !(60..=86_400).contains(&self.token_ttl_secs) {
            return Err(ConfigError::Value {
                key: "auth.token_ttl_secs",
                reason: "must be between 60 and 86400".into(),
            });
        }
        match &self.signing_key {
            Some(key) => key.check("auth.signing_key", 80),
            None => Ok(()),
        }
    }

    /// The PEM text. Errors: neither key nor file is given, or it is no secret.
    pub fn signing_key(&self) -> Result<Hidden, ConfigError> {
        let key = match (&self.signing_key, &self.signing_key_file) {
            (Some(key), _) => key.clone(),
            (None, Some(path)) => Hidden::read(path)?,
            (None, None) => {
                let reason = "or auth.signing_key_file is needed (`lakefront key signing` makes one)".into();
                return Err(ConfigError::Value { key: "auth.signing_key", reason });
            }
        };
        key.check("auth.signing_key", 80)?;
        Ok(key)
    }
}

/// `[workers]`: the processes in which customers' SQL and files are handled.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Workers {
    /// 0: cores + 2.
    pub count: usize,
    /// 0: min(4, count - 2).
    pub per_workspace: usize,
    /// Memory of a task; 0: 1 GiB.
    pub memory_bytes: u64,
    /// Spill of a task; 0: 10 GiB.
    pub spill_bytes: u64,
    /// CPU time of a task; 0: the default of the pool.
    pub cpu_secs: u64,
}

impl Workers {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.count == 1 || self.count == 2 {
            return Err(ConfigError::Value {
                key: "workers.count",
                reason: "must be 0 or at least 3".into(),
            });
        }
        Ok(())
    }
}

/// `[queries]`: SQL and rows.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Queries {
    /// After this long an answer becomes a job.
    pub inline_ms: u64,
    pub job_secs: u64,
    /// `as_of` reaches back this far.
    pub retention_days: u32,
}

impl Default for Queries {
    fn default() -> Self {
        Self { inline_ms: 10_000, job_secs: 600, retention_days: 7 }
    }
}

/// `[uploads]`: limits of customers' files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Uploads {
    pub file_bytes: u64,
    pub rows: u64,
    pub columns: usize,
    pub cell_bytes: usize,
    pub ratio: u64,
}

impl Default for Uploads {
    fn default() -> Self {
        Self { file_bytes: 5 << 30, rows: 1_000_000_000, columns: 2_000, cell_bytes: 1 << 20, ratio: 100 }
    }
}

/// `[cache]`: the result cache in the process, and the one that nodes may share.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheConfig {
    pub enabled: bool,
    pub bytes: u64,
    pub entry_bytes: usize,
    /// Daily rows kept in memory for region routes.
    pub series_bytes: u64,
    /// `redis://…`: a second tier that nodes share; its absence or failure is never an error.
    pub redis_url: Option<Hidden>,
}

impl Default for CacheConfig {
    fn default() -> Self {
        Self {
            enabled: true,
            bytes: 128 << 20,
            entry_bytes: 4 << 20,
            series_bytes: 128 << 20,
            redis_url: None,
        }
    }
}

impl CacheConfig {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        self.redis_url.iter().try_for_each(|url| url.check_passwords("cache.redis_url (password)"))
    }
}

/// `[lake]`: which lake is served.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct LakeFile {
    /// A lake's folder or its `lake.toml`; without it the built-in `weather-market`.
    pub file: Option<PathBuf>,
    /// Folder of the sources' own state: logs of pushed events, folders watched for files.
    pub state: PathBuf,
    /// Whether this node asks the lake's sources.
    pub sources: bool,
}

impl Default for LakeFile {
    fn default() -> Self {
        Self { file: None, state: ".lakefront/sources".into(), sources: true }
    }
}

/// `[log]`: what is written to standard error.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// As in `RUST_LOG`.
    pub filter: String,
    /// `json` or `text`.
    pub format: LogFormat,
    /// One line a request.
    pub access: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    #[default]
    Json,
    Text,
}

impl Default for Log {
    fn default() -> Self {
        Self { filter: "info".into(), format: LogFormat::Json, access: true }
    }
}

impl Log {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        let refuse = |error: tracing_subscriber::filter::ParseError| ConfigError::Value {
            key: "log.filter",
            reason: format!("is no filter such as `info` or `warn,lakefront=debug`: {error}"),
        };
        tracing_subscriber::EnvFilter::try_new(&self.filter).map(drop).map_err(refuse)
    }
}
