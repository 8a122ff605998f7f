//! What the tests of this crate share: an `Auth` over each database at hand.

use chrono::Utc;
use database::testing::Scratch;
use identity::{CustomerId, KeyId, Principal, Scope, Scopes, Secret, Slug, WorkspaceId};

use crate::{Auth, AuthConfig, Customer, generate_signing_key_pem};

pub(crate) const READ: Scopes = Scopes::READ;

pub(crate) struct At {
    pub auth: Auth,
    pub db: Scratch,
    pub config: AuthConfig,
}

/// On a fresh database of each kind.
pub(crate) async fn each() -> Vec<At> {
    let mut all = Vec::new();
    for db in database::testing::each().await {
        let config =
            AuthConfig { signing_key_pem: Secret::new(generate_signing_key_pem()), ..AuthConfig::default() };
        let auth = Auth::open(db.clone(), config.clone()).await.unwrap();
        all.push(At { auth, db, config });
    }
    all
}

pub(crate) async fn customer(auth: &Auth, slug: &str) -> Customer {
    auth.add_customer(slug, Slug::parse(slug).unwrap(), Utc::now()).await.unwrap()
}

pub(crate) fn principal() -> Principal {
    Principal {
        customer: CustomerId::new(),
        workspace: WorkspaceId::new(),
        slug: Slug::parse("acme").unwrap(),
        key: KeyId::parse("abcdefgh").unwrap(),
        scopes: Scopes::from([Scope::Read, Scope::Write]),
        policy: Principal::DEFAULT_POLICY.to_owned(),
        expires_at: None,
    }
}
