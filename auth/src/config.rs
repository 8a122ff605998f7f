//! What can be set.

use identity::Secret;
use serde::Deserialize;

/// How credentials are made and judged.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// `iss` of our tokens: the address customers know the server by.
    pub issuer: String,
    /// `aud` of our tokens.
    pub audience: String,
    /// How long a token lives; at most a day.
    pub token_ttl_secs: u32,
    /// Ed25519 private key, PKCS #8 in PEM; the same on every node.
    pub signing_key_pem: Secret,
    /// How long a verified credential is believed before the database is asked again. Revocations do not wait for it.
    pub cache_secs: u32,
    /// How long a verified credential is believed while the database cannot be asked.
    pub outage_secs: u32,
    pub limits: LimitConfig,
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self {
            issuer: "lakefront".to_owned(),
            audience: "lakefront".to_owned(),
            token_ttl_secs: 15 * 60,
            signing_key_pem: Secret::default(),
            cache_secs: 30,
            outage_secs: 15 * 60,
            limits: LimitConfig::default(),
        }
    }
}

/// How often somebody may ask. All are buckets that hold a minute's worth and fill steadily.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LimitConfig {
    /// Calls that cost something, a minute and key; all keys of a workspace together have four times as many.
    pub requests_per_minute: u32,
    /// Wrong credentials, a minute and address (IPv6: a minute and /64).
    pub failures_per_address_per_minute: u32,
    /// Wrong credentials, a minute and key prefix.
    pub failures_per_key_per_minute: u32,
}

impl Default for LimitConfig {
    fn default() -> Self {
        Self {
            requests_per_minute: 600,
            failures_per_address_per_minute: 120,
            failures_per_key_per_minute: 30,
        }
    }
}
