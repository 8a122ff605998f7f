//! The configuration: one TOML file, one struct a topic, read once in `main`.
//!
//! ```text
//! defaults ◀─ file.toml ◀─ LAKEFRONT__SECTION__KEY ─▶ Config ─▶ check ─▶ main
//! ```
//! Unknown keys are refused, wherever they come from. Secrets come from files or the environment, are printed as
//! `***`, and are refused when they are short or well known.

mod alerts;
mod listen;
mod load;
mod place;
mod secrets;
mod topics;
mod written;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use alerts::Alerts;
pub use listen::Listen;
pub use load::{load, strangers};
pub use secrets::Hidden;
pub use topics::{
    AuthConfig, CacheConfig, Database, LakeFile, Log, LogFormat, Queries, Server, Storage, Uploads, Workers,
};

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: std::io::Error },
    /// `origin` is file and line, or a variable of the environment.
    #[error("{origin}: {reason}")]
    Refused { origin: String, reason: String },
    #[error("{name} is no configuration key: LAKEFRONT__SECTION__KEY is the form")]
    Name { name: String },
    #[error("{key} {reason}")]
    Value { key: &'static str, reason: String },
}

/// All topics, each with its defaults.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    pub server: Server,
    pub database: Database,
    pub storage: Storage,
    pub auth: AuthConfig,
    pub workers: Workers,
    pub queries: Queries,
    pub uploads: Uploads,
    pub cache: CacheConfig,
    pub lake: LakeFile,
    pub alerts: Alerts,
    pub log: Log,
}

impl Config {
    /// What can be judged without opening anything. Errors: the first key whose value cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        self.server.check()?;
        self.auth.check()?;
        self.database.check()?;
        self.storage.check()?;
        self.workers.check()?;
        self.cache.check()?;
        self.alerts.check()?;
        self.log.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example says what the defaults are; taken out of its comments it must be the default.
    #[test]
    fn the_example_shows_every_default() {
        let text = include_str!("../../deploy/config/lakefront.toml");
        let skip = ["scratch", "signing_key", "file = ", "webhook", "redis_url", "[storage.options]"];
        let shown: Vec<&str> = text
            .lines()
            .filter_map(|line| line.strip_prefix("# ").or_else(|| line.starts_with('[').then_some(line)))
            .filter(|line| line.starts_with('[') || line.contains(" = "))
            .filter(|line| !skip.iter().any(|word| line.starts_with(word)))
            .filter(|line| !line.starts_with("Lakefront") && !line.starts_with("(LAKE"))
            .collect();
        let config: Config = toml::from_str(&shown.join("\n")).unwrap();
        assert_eq!(toml::to_string(&config).unwrap(), toml::to_string(&Config::default()).unwrap());
        assert_eq!(config.database.url, Config::default().database.url);
    }
}
