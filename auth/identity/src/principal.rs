//! The caller, once the credential is verified.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::{CustomerId, KeyId, Scope, Scopes, Slug, WorkspaceId};

/// Who is asking. Made by `auth` from a verified credential, and by nothing else of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Principal {
    pub customer: CustomerId,
    pub workspace: WorkspaceId,
    /// The workspace's schema name in SQL and URLs; `my` is its alias.
    pub slug: Slug,
    /// The API key behind the request, also where a token was shown.
    pub key: KeyId,
    pub scopes: Scopes,
    /// Fingerprint of the policies that hold for this caller; answers are shared among equal ones.
    pub policy: String,
    /// When the credential ends; `None` for a key without an end.
    pub expires_at: Option<DateTime<Utc>>,
}

impl Principal {
    /// The fingerprint where no policy narrows what the platform's tables show.
    pub const DEFAULT_POLICY: &'static str = "default";

    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(scope)
    }
}
