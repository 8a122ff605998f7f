//! `[alerts]`: whom to tell when a test fails, a source is overdue, a volume jumps, a batch is set aside.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use url::Url;

use super::{ConfigError, Hidden};

/// Where alerts go. Without an address they are kept in the catalog alone.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Alerts {
    /// Called by POST. May hold a token, so it is not printed.
    pub webhook: Option<Hidden>,
    /// Signs each call.
    pub webhook_secret: Option<Hidden>,
    /// The same from a file.
    pub webhook_secret_file: Option<PathBuf>,
    /// Whether the address may be of this machine or a private network, and without TLS.
    pub allow_private: bool,
    pub attempts: u32,
    /// Before the second attempt; four times as long before each further one.
    pub retry_ms: u64,
    pub timeout_ms: u64,
}

impl Default for Alerts {
    fn default() -> Self {
        Self {
            webhook: None,
            webhook_secret: None,
            webhook_secret_file: None,
            allow_private: false,
            attempts: 8,
            retry_ms: 2_000,
            timeout_ms: 10_000,
        }
    }
}

impl Alerts {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if let Some(url) = self.url()? {
            let safe = url.scheme() == "https" || (self.allow_private && url.scheme() == "http");
            if !safe {
                return Err(wrong("alerts.webhook", "must be an https address"));
            }
            let secret = self.webhook_secret.is_some() || self.webhook_secret_file.is_some();
            if !secret {
                return Err(wrong("alerts.webhook_secret", "or alerts.webhook_secret_file is needed"));
            }
        }
        self.webhook_secret.as_ref().map_or(Ok(()), |secret| secret.check("alerts.webhook_secret", 16))
    }

    /// The address. Errors: it is none.
    pub fn url(&self) -> Result<Option<Url>, ConfigError> {
        let Some(text) = &self.webhook else { return Ok(None) };
        Url::parse(text.reveal()).map(Some).map_err(|_| wrong("alerts.webhook", "is no URL"))
    }

    /// What signs each call. Errors: there is none, it cannot be read, or it is no secret.
    pub fn secret(&self) -> Result<Hidden, ConfigError> {
        let secret = match (&self.webhook_secret, &self.webhook_secret_file) {
            (Some(secret), _) => secret.clone(),
            (None, Some(path)) => Hidden::read(path)?,
            (None, None) => return Err(wrong("alerts.webhook_secret", "is needed")),
        };
        secret.check("alerts.webhook_secret", 16)?;
        Ok(secret)
    }
}

fn wrong(key: &'static str, reason: &str) -> ConfigError {
    ConfigError::Value { key, reason: reason.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_needs_tls_and_a_secret() {
        let alerts = |text: &str| toml::from_str::<Alerts>(text).unwrap().check().map_err(|e| e.to_string());
        assert_eq!(alerts(""), Ok(()));
        let secret = "webhook_secret = \"p9f7W-2kkQz81hsd\"";
        assert_eq!(alerts(&format!("webhook = \"https://hooks.example/x\"\n{secret}")), Ok(()));
        assert!(
            alerts(&format!("webhook = \"http://hooks.example/x\"\n{secret}")).unwrap_err().contains("https")
        );
        assert_eq!(
            alerts(&format!("webhook = \"http://127.0.0.1:9/\"\nallow_private = true\n{secret}")),
            Ok(())
        );
        assert!(alerts("webhook = \"https://hooks.example/x\"").unwrap_err().contains("is needed"));
        let short = alerts("webhook = \"https://hooks.example/x\"\nwebhook_secret = \"short\"");
        assert!(short.unwrap_err().contains("shorter"));
    }
}
