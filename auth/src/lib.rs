//! Who may come in, and how often.
//!
//! ```text
//! credential ─▶ seen before? ──hit──▶ denied by now? ──no──▶ Principal          (a look-up in memory)
//!                  │ miss                  ▲
//!                  ▼                       │ every 2 s: keys revoked, customers suspended
//!     failures limited ─▶ key: hash in the database          (beyond the limits: only one that is right, `live`)
//!                         token: signature, claims, and the key behind it ─▶ Principal
//! ```
//! A revocation holds at once on the node that made it and within 5 s on every other, and it goes on holding while the
//! database is down. Absent on purpose: HTTP types, and passwords.

mod admission;
mod api_key;
mod audit;
mod authenticate;
mod bucket;
mod config;
mod customers;
mod denied;
mod error;
mod keys;
mod live;
mod seen;
mod signing;
mod tasks;
mod tokens;
mod usage;

use std::fmt;
use std::sync::Arc;

use database::Db;

pub use admission::RateState;
pub use api_key::is_key;
pub use audit::{AuditEvent, AuditLine, Outcome};
pub use config::{AuthConfig, LimitConfig};
pub use customers::{Customer, Status};
pub use error::{AuthError, Error, KeyRefusal};
pub use keys::{KeyInfo, KeyOrder, NewKey};
pub use signing::{KeyError, generate_signing_key_pem};
pub use tokens::Token;
pub use usage::Measure;

/// Keys, tokens, limits and the audit. Cheap to clone: all clones share one state.
#[derive(Clone)]
pub struct Auth(Arc<Inner>);

struct Inner {
    db: Db,
    config: AuthConfig,
    signing: signing::SigningKey,
    seen: seen::Seen,
    denied: denied::Denied,
    rates: admission::Rates,
    failures: admission::Failures,
    live: live::Live,
    usage: usage::Usage,
}

impl Auth {
    /// Reads the signing key, learns which keys are denied, and starts the tasks that keep that knowledge fresh; they
    /// end with the last clone. Needs a tokio runtime. Errors: [`Error::SigningKey`], [`Error::Database`].
    pub async fn open(db: Db, config: AuthConfig) -> Result<Auth, Error> {
        let signing = signing::SigningKey::read(&config.signing_key_pem)?;
        let inner = Inner {
            signing,
            seen: seen::Seen::new(&config),
            denied: denied::Denied::default(),
            rates: admission::Rates::new(&config.limits),
            failures: admission::Failures::new(&config.limits),
            live: live::Live::default(),
            usage: usage::Usage::default(),
            db,
            config,
        };
        inner.denied.refresh(&inner.db, chrono::Utc::now()).await?;
        let auth = Auth(Arc::new(inner));
        auth.start_tasks();
        Ok(auth)
    }

    /// The public keys that tokens are verified with (RFC 7517).
    pub fn jwks(&self) -> serde_json::Value {
        self.0.signing.jwks()
    }

    fn db(&self) -> &Db {
        &self.0.db
    }
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Auth").field("issuer", &self.0.config.issuer).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod testing;
