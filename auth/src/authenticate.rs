//! From a credential to a principal.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use chrono::{DateTime, Utc};
use database::reading;
use identity::{CustomerId, KeyId, Principal, Scopes, Slug, WorkspaceId};
use subtle::ConstantTimeEq;
use uuid::Uuid;

use crate::api_key::{self, KeyHash};
use crate::customers::Status;
use crate::seen::{Entry, Known};
use crate::tokens::Claims;
use crate::{Auth, AuthError};

/// Longer is no credential of ours.
const MAX_LENGTH: usize = 8 * 1024;

database::row! {
    /// A key with all that decides whether it is right now, in one read.
    struct KeyRow {
        key_hash: Vec<u8>,
        scopes: Scopes as String,
        expires_at: Option<DateTime<Utc>>,
        revoked_at: Option<DateTime<Utc>>,
        workspace_id: WorkspaceId as Uuid,
        slug: Slug as String,
        customer_id: CustomerId as Uuid,
        status: Status as String,
    }
}

/// A credential of the right form: a key whose secret is not compared yet, or a token with our signature.
enum Shown {
    Key(KeyId),
    Token(Claims),
}

impl Auth {
    /// Who shows this key or token. One that was right before costs a look-up in memory.
    /// Errors: [`AuthError::Missing`], [`AuthError::Invalid`], [`AuthError::Unavailable`].
    pub async fn authenticate(
        &self,
        credential: &str,
        now: DateTime<Utc>,
    ) -> Result<Arc<Principal>, AuthError> {
        match self.recognise(credential, now) {
            Some(principal) => Ok(principal),
            None => self.ask_and_keep(credential, self.read(credential, now), now).await,
        }
    }

    /// The same for a caller at an address: failures are counted and, beyond the limits, refused unseen.
    /// Errors: those of [`Auth::authenticate`], and [`AuthError::TooManyFailures`].
    pub async fn authenticate_from(
        &self,
        credential: &str,
        address: IpAddr,
        now: DateTime<Utc>,
    ) -> Result<Arc<Principal>, AuthError> {
        match self.recognise(credential, now) {
            Some(principal) => Ok(principal),
            None => self.verify_limited(credential, address, now).await,
        }
    }

    /// The principal of a credential that was right before, without waiting for anything; `None` says nothing yet.
    ///
    /// What was verified a while ago is asked again beside the request: of what can end a credential, its own end is
    /// known here and a revocation arrives by itself, so the answer would only confirm it.
    pub fn recognise(&self, credential: &str, now: DateTime<Utc>) -> Option<Arc<Principal>> {
        let (principal, entry) = match self.0.seen.find(credential, now) {
            Known::Right(principal) => (principal, None),
            Known::AskAgain(entry) => (entry.principal.clone(), Some(entry)),
            Known::Nothing => return None,
        };
        if self.0.denied.holds(&principal) {
            return None;
        }
        if let Some(entry) = entry {
            tokio::spawn(self.clone().confirm(credential.to_owned(), entry, now));
        }
        Some(principal)
    }

    async fn verify_limited(
        &self,
        credential: &str,
        address: IpAddr,
        now: DateTime<Utc>,
    ) -> Result<Arc<Principal>, AuthError> {
        let (claimed, read) = (api_key::claimed_id(credential), self.read(credential, now));
        self.let_pass(credential, &read, (address, claimed)).await?;
        let verified = self.ask_and_keep(credential, read, now).await;
        if matches!(verified, Err(AuthError::Invalid)) {
            self.note_failure(address, claimed);
        }
        verified
    }

    /// Refuses those who failed too often. Nobody guesses a signature or 256 random bits: one that is right comes in from beside a
    /// guesser too. Guesses at one key are limited there as well. Errors: [`AuthError::TooManyFailures`].
    async fn let_pass(
        &self,
        credential: &str,
        read: &Result<Shown, AuthError>,
        (address, claimed): (IpAddr, Option<KeyId>),
    ) -> Result<(), AuthError> {
        let (now, failures) = (Instant::now(), &self.0.failures);
        let id = match read {
            Ok(Shown::Token(_)) => return Ok(()),
            Ok(Shown::Key(id)) => Some(*id),
            Err(_) => None,
        };
        let Err(refused) = failures.check(address, claimed, now) else { return Ok(()) };
        let Some(id) = id.filter(|id| failures.may_compare(address, *id, now)) else { return Err(refused) };
        if self.0.live.holds(self.db(), id, credential, now).await {
            return Ok(());
        }
        failures.note_compared(address, id, now);
        Err(refused)
    }

    async fn ask_and_keep(
        &self,
        credential: &str,
        read: Result<Shown, AuthError>,
        now: DateTime<Utc>,
    ) -> Result<Arc<Principal>, AuthError> {
        let principal = Arc::new(self.ask(credential, read?, now).await?);
        self.0.seen.insert(credential, &principal, now);
        Ok(principal)
    }

    /// Asks the database again about what was right. While that cannot be asked, what was right stays so for a while.
    async fn confirm(self, credential: String, entry: Entry, now: DateTime<Utc>) {
        let asked = match self.read(&credential, now) {
            Ok(shown) => self.ask(&credential, shown, now).await,
            Err(error) => Err(error),
        };
        match asked {
            Ok(principal) if principal == *entry.principal => entry.confirm(now),
            Ok(changed) => self.0.seen.insert(&credential, &Arc::new(changed), now),
            Err(AuthError::Unavailable(_)) => {}
            Err(_) => self.0.seen.forget(&credential),
        }
    }

    /// All that can be told of a credential without asking the database.
    fn read(&self, credential: &str, now: DateTime<Utc>) -> Result<Shown, AuthError> {
        let shown = match credential.len() {
            0 => return Err(AuthError::Missing),
            length if length > MAX_LENGTH => None,
            _ if api_key::is_key(credential) => api_key::parse(credential).map(Shown::Key),
            _ => self.0.signing.verify(credential, &self.0.config, now).map(Shown::Token),
        };
        shown.ok_or(AuthError::Invalid)
    }

    async fn ask(&self, credential: &str, shown: Shown, now: DateTime<Utc>) -> Result<Principal, AuthError> {
        let principal = match shown {
            Shown::Key(id) => self.ask_for_key(credential, id, now).await?,
            Shown::Token(claims) => self.ask_for_token(claims, now).await?,
        };
        if self.0.denied.holds(&principal) { Err(AuthError::Invalid) } else { Ok(principal) }
    }

    async fn ask_for_key(
        &self,
        credential: &str,
        id: KeyId,
        now: DateTime<Utc>,
    ) -> Result<Principal, AuthError> {
        let row = self.find_key_row(id).await.map_err(AuthError::Unavailable)?;
        // An unknown id is compared too, so that it takes the same time as a wrong secret.
        let stored = row.as_ref().map_or(&[0; size_of::<KeyHash>()][..], |row| &row.key_hash);
        let is_same = bool::from(api_key::hash(credential).ct_eq(stored));
        match row.filter(|row| is_same && row.is_right_at(now)) {
            Some(row) => Ok(row.principal(id)),
            None => Err(AuthError::Invalid),
        }
    }

    /// A token is as right as its signature, its claims and the key it was made with.
    async fn ask_for_token(&self, claims: Claims, now: DateTime<Utc>) -> Result<Principal, AuthError> {
        // These are not limited, so a dead one must not cost a read each time.
        if self.0.denied.holds(&claims.principal()) {
            return Err(AuthError::Invalid);
        }
        match self.find_key_row(claims.client_id).await {
            Ok(Some(row)) if row.is_right_at(now) && row.customer_id == claims.sub => {
                Ok(row.narrowed_to(&claims))
            }
            Ok(_) => Err(AuthError::Invalid),
            // Short-lived and signed by us: it is believed as it is. Keys known to be revoked are refused by the caller.
            Err(error) if error.is_transient() => Ok(claims.principal()),
            Err(error) => Err(AuthError::Unavailable(error)),
        }
    }

    async fn find_key_row(&self, id: KeyId) -> Result<Option<KeyRow>, database::Error> {
        const FIND: &str = "SELECT k.key_hash, k.scopes, k.expires_at, k.revoked_at, w.id AS workspace_id, w.slug,
                c.id AS customer_id, c.status
            FROM api_keys k JOIN workspaces w ON w.id = k.workspace_id JOIN customers c ON c.id = w.customer_id
            WHERE k.id = $1";
        reading!(self.db(), |pool| sqlx::query_as(FIND).bind(id.to_string()).fetch_optional(pool))
    }
}

impl KeyRow {
    fn is_right_at(&self, now: DateTime<Utc>) -> bool {
        self.revoked_at.is_none()
            && self.expires_at.is_none_or(|end| now < end)
            && self.status == Status::Active
    }

    fn principal(self, key: KeyId) -> Principal {
        Principal {
            customer: self.customer_id,
            workspace: self.workspace_id,
            slug: self.slug,
            key,
            scopes: self.scopes,
            policy: Principal::DEFAULT_POLICY.to_owned(),
            expires_at: self.expires_at,
        }
    }

    fn narrowed_to(self, claims: &Claims) -> Principal {
        let mut principal = self.principal(claims.client_id);
        principal.scopes = principal.scopes.intersection(claims.scope);
        principal.expires_at = Some(claims.ends_at());
        principal
    }
}

#[cfg(test)]
#[path = "authenticate_tests.rs"]
mod tests;
