//! Credentials over a real database: what comes in, what does not, and what holds while the database is away.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use database::{Run, on};
use identity::{KeyId, Principal, Scope, Scopes, WorkspaceId};

use crate::testing::{At, READ, customer, each};
use crate::{Auth, AuthError, KeyOrder, NewKey};

const BOTH: Scopes = Scopes::READ.union(Scopes::WRITE);

async fn key(at: &At, workspace: WorkspaceId) -> NewKey {
    at.auth.create_key(workspace, BOTH, "", None, Utc::now()).await.unwrap()
}

async fn comes_in(auth: &Auth, credential: &str, now: DateTime<Utc>) -> bool {
    match auth.authenticate(credential, now).await {
        Ok(_) => true,
        Err(AuthError::Invalid) => false,
        Err(other) => panic!("{other:?}"),
    }
}

fn token(auth: &Auth, principal: &Principal, now: DateTime<Utc>) -> String {
    auth.issue_token(principal, None, now).unwrap().access_token
}

#[tokio::test]
async fn a_key_stands_for_its_workspace_and_scopes() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let key = key(&at, acme.workspace).await;
        let principal = at.auth.authenticate(key.key.expose(), now).await.unwrap();
        assert_eq!((principal.customer, principal.workspace), (acme.id, acme.workspace));
        assert_eq!((&principal.slug, principal.key, principal.scopes), (&acme.slug, key.id, BOTH));
        let again = at.auth.recognise(key.key.expose(), now).unwrap();
        assert!(Arc::ptr_eq(&principal, &again), "from memory");
    }
}

#[tokio::test]
async fn unknown_wrong_and_malformed_are_one_word() {
    for at in each().await {
        let acme = customer(&at.auth, "acme").await;
        let (mine, other) = (key(&at, acme.workspace).await, crate::api_key::generate());
        let wrong_secret = other.text.expose().replace(other.id.as_str(), mine.id.as_str());
        for wrong in [other.text.expose(), &wrong_secret, "lf_live_", "x", "a.b.c", &"x".repeat(9_000)] {
            let refused = at.auth.authenticate(wrong, Utc::now()).await;
            assert!(matches!(refused, Err(AuthError::Invalid)), "{wrong}: {refused:?}");
        }
        assert!(matches!(at.auth.authenticate("", Utc::now()).await, Err(AuthError::Missing)));
    }
}

#[tokio::test]
async fn the_id_of_one_key_with_the_secret_of_another_is_refused() {
    for at in each().await {
        let acme = customer(&at.auth, "acme").await;
        let (first, second) = (key(&at, acme.workspace).await, key(&at, acme.workspace).await);
        let body = first.key.expose().replace(first.id.as_str(), second.id.as_str());
        let mixed = crate::api_key::with_right_checksum(&body);
        assert!(crate::api_key::parse(&mixed).is_some(), "its form is right");
        assert!(!comes_in(&at.auth, &mixed, Utc::now()).await);
    }
}

#[tokio::test]
async fn a_key_ends_when_it_says() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let end = now + TimeDelta::seconds(60);
        let key = at.auth.create_key(acme.workspace, READ, "", Some(end), now).await.unwrap();
        assert!(comes_in(&at.auth, key.key.expose(), now).await);
        assert!(!comes_in(&at.auth, key.key.expose(), end).await);
        let principal = at.auth.authenticate(key.key.expose(), now).await.unwrap();
        let token = at.auth.issue_token(&principal, None, now).unwrap();
        assert!(token.expires_in <= 60, "and no token outlives it");
    }
}

#[tokio::test]
async fn a_token_is_its_key_for_a_while_and_never_more() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let key = key(&at, acme.workspace).await;
        let of_key = at.auth.authenticate(key.key.expose(), now).await.unwrap();
        let narrow = at.auth.issue_token(&of_key, Some(READ), now).unwrap();
        assert_eq!((narrow.expires_in, narrow.scope.as_str()), (900, "read"));
        let of_token = at.auth.authenticate(&narrow.access_token, now).await.unwrap();
        assert_eq!((of_token.workspace, of_token.key, of_token.scopes), (acme.workspace, key.id, READ));
        let more = at.auth.issue_token(&of_token, Some(BOTH), now);
        assert!(matches!(more, Err(crate::Error::ScopesExceeded)));
        let admin = at.auth.issue_token(&of_key, Some(Scopes::from([Scope::Admin])), now);
        assert!(matches!(admin, Err(crate::Error::ScopesExceeded)));
        assert!(!comes_in(&at.auth, &narrow.access_token, now + TimeDelta::seconds(931)).await);
    }
}

#[tokio::test]
async fn a_revoked_key_ends_with_all_its_tokens_here_at_once_and_elsewhere_at_the_next_poll() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let key = key(&at, acme.workspace).await;
        let elsewhere = Auth::open(at.db.connect_again().await, at.config.clone()).await.unwrap();
        let principal = at.auth.authenticate(key.key.expose(), now).await.unwrap();
        let token = token(&at.auth, &principal, now);
        for auth in [&at.auth, &elsewhere] {
            assert!(comes_in(auth, key.key.expose(), now).await && comes_in(auth, &token, now).await);
        }
        at.auth.revoke_key(acme.workspace, &key.id, now).await.unwrap();
        assert!(!comes_in(&at.auth, key.key.expose(), now).await && !comes_in(&at.auth, &token, now).await);
        let revoked = Instant::now();
        while comes_in(&elsewhere, &token, now).await || comes_in(&elsewhere, key.key.expose(), now).await {
            assert!(revoked.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test]
async fn a_revoked_key_takes_all_that_came_of_it_and_nothing_else() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let elsewhere = Auth::open(at.db.connect_again().await, at.config.clone()).await.unwrap();
        let (root, beside) = (key(&at, acme.workspace).await, key(&at, acme.workspace).await);
        let child = child(&at, acme.workspace, root.id).await;
        let grandchild = self::child(&at, acme.workspace, child.id).await;
        let globex = customer(&at.auth, "globex").await;
        let for_another = self::child(&at, globex.workspace, child.id).await;
        for key in [&root, &child, &grandchild, &for_another] {
            assert!(comes_in(&elsewhere, key.key.expose(), now).await);
        }
        assert!(at.auth.revoke_key(acme.workspace, &child.id, now).await.unwrap());
        for key in [&child, &grandchild] {
            assert!(!comes_in(&at.auth, key.key.expose(), now).await);
        }
        let revoked = Instant::now();
        while comes_in(&elsewhere, grandchild.key.expose(), now).await {
            assert!(revoked.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        for key in [&root, &beside, &for_another] {
            assert!(comes_in(&at.auth, key.key.expose(), now).await);
        }
    }
}

async fn child(at: &At, workspace: WorkspaceId, maker: KeyId) -> NewKey {
    let order = KeyOrder { workspace, scopes: BOTH, label: "", expires_at: None, made_by: Some(maker) };
    at.auth.make_key(order, Utc::now()).await.unwrap()
}

#[tokio::test]
async fn a_suspended_customer_is_out_until_reinstated() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let key = key(&at, acme.workspace).await;
        assert!(comes_in(&at.auth, key.key.expose(), now).await);
        assert!(at.auth.suspend(acme.id, now).await.unwrap());
        assert!(!comes_in(&at.auth, key.key.expose(), now).await);
        assert!(at.auth.reinstate(acme.id).await.unwrap());
        assert!(comes_in(&at.auth, key.key.expose(), now).await);
    }
}

#[tokio::test]
async fn while_the_database_is_away_the_known_come_in_and_the_revoked_stay_out() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let (known, revoked, unknown) =
            (key(&at, acme.workspace).await, key(&at, acme.workspace).await, key(&at, acme.workspace).await);
        let principal = at.auth.authenticate(known.key.expose(), now).await.unwrap();
        let of_revoked = at.auth.authenticate(revoked.key.expose(), now).await.unwrap();
        let (fresh_token, dead_token) = (token(&at.auth, &principal, now), token(&at.auth, &of_revoked, now));
        at.auth.revoke_key(acme.workspace, &revoked.id, now).await.unwrap();
        at.db.close().await;
        let later = now + TimeDelta::minutes(5);
        assert!(comes_in(&at.auth, known.key.expose(), later).await);
        assert!(comes_in(&at.auth, &fresh_token, later).await, "a token speaks for itself");
        for dead in [revoked.key.expose(), &dead_token] {
            assert!(at.auth.authenticate(dead, later).await.is_err());
        }
        let unasked = at.auth.authenticate(unknown.key.expose(), later).await;
        assert!(matches!(unasked, Err(AuthError::Unavailable(_))), "{unasked:?}");
        let much_later = at.auth.authenticate(known.key.expose(), now + TimeDelta::hours(1)).await;
        assert!(matches!(much_later, Err(AuthError::Unavailable(_))), "but not for ever");
    }
}

#[tokio::test]
async fn a_key_whose_row_is_gone_ends_when_it_is_asked_again() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let key = key(&at, acme.workspace).await;
        assert!(comes_in(&at.auth, key.key.expose(), now).await);
        on!(at.db, |pool| sqlx::query("DELETE FROM api_keys").run(pool)).unwrap();
        assert!(comes_in(&at.auth, key.key.expose(), now).await, "believed for cache_secs");
        let (later, start) = (now + TimeDelta::seconds(31), Instant::now());
        while comes_in(&at.auth, key.key.expose(), later).await {
            assert!(start.elapsed() < Duration::from_secs(5));
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

#[tokio::test]
async fn a_guesser_waits_and_those_who_were_in_stay_in() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let key = key(&at, acme.workspace).await;
        let (here, there) = (IpAddr::from([10, 0, 0, 1]), IpAddr::from([10, 0, 0, 2]));
        at.auth.authenticate_from(key.key.expose(), here, now).await.unwrap();
        let mut guesses = 0;
        let refused = loop {
            match at.auth.authenticate_from("a guess", here, now).await {
                Err(AuthError::Invalid) => guesses += 1,
                other => break other,
            }
        };
        assert!(matches!(refused, Err(AuthError::TooManyFailures { retry_after_secs: 1.. })), "{refused:?}");
        assert!((120..=130).contains(&guesses), "{guesses}");
        assert!(at.auth.authenticate_from(key.key.expose(), here, now).await.is_ok(), "known before");
        let later = now + TimeDelta::minutes(5);
        assert!(at.auth.authenticate_from(key.key.expose(), here, later).await.is_ok(), "and asked again");
        let principal = at.auth.authenticate(key.key.expose(), now).await.unwrap();
        let token = token(&at.auth, &principal, now);
        assert!(at.auth.authenticate_from(&token, here, now).await.is_ok(), "its signature speaks for it");
        let forged = at.auth.authenticate_from(&format!("{token}x"), here, now).await;
        assert!(matches!(forged, Err(AuthError::TooManyFailures { .. })), "{forged:?}");
        assert!(matches!(at.auth.authenticate_from("a guess", there, now).await, Err(AuthError::Invalid)));
    }
}

#[tokio::test]
async fn beside_a_guesser_a_right_key_comes_in_and_guesses_at_it_are_refused_unseen() {
    for at in each().await {
        let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
        let (fresh, next) = (key(&at, acme.workspace).await, key(&at, acme.workspace).await);
        let revoked = key(&at, acme.workspace).await;
        at.auth.revoke_key(acme.workspace, &revoked.id, now).await.unwrap();
        let here = IpAddr::from([10, 0, 0, 1]);
        while at
            .auth
            .authenticate_from("a guess", here, now)
            .await
            .is_err_and(|e| matches!(e, AuthError::Invalid))
        {}
        let unknown = crate::api_key::generate();
        let wrong = unknown.text.expose().replace(unknown.id.as_str(), fresh.id.as_str());
        let wrong = crate::api_key::with_right_checksum(&wrong);
        for refused in [unknown.text.expose(), &wrong, revoked.key.expose()] {
            let told = at.auth.authenticate_from(refused, here, now).await;
            assert!(matches!(told, Err(AuthError::TooManyFailures { .. })), "{told:?}");
        }
        assert!(at.auth.authenticate_from(fresh.key.expose(), here, now).await.is_ok(), "never seen before");
        let wrong = unknown.text.expose().replace(unknown.id.as_str(), next.id.as_str());
        let wrong = crate::api_key::with_right_checksum(&wrong);
        for _ in 0..40 {
            assert!(at.auth.authenticate_from(&wrong, here, now).await.is_err());
        }
        let shut = at.auth.authenticate_from(next.key.expose(), here, now).await;
        assert!(
            matches!(shut, Err(AuthError::TooManyFailures { .. })),
            "guesses at one key are limited: {shut:?}"
        );
        let there = IpAddr::from([10, 0, 0, 2]);
        assert!(at.auth.authenticate_from(next.key.expose(), there, now).await.is_ok(), "here alone");
    }
}

#[tokio::test]
async fn a_known_credential_costs_a_look_up() {
    const ROUNDS: u32 = 100_000;
    let at = each().await.remove(0);
    let (acme, now) = (customer(&at.auth, "acme").await, Utc::now());
    let key = key(&at, acme.workspace).await;
    let principal = at.auth.authenticate(key.key.expose(), now).await.unwrap();
    let token = token(&at.auth, &principal, now);
    at.auth.authenticate(&token, now).await.unwrap();
    let start = Instant::now();
    for _ in 0..ROUNDS {
        std::hint::black_box(at.auth.authenticate(&token, now).await.unwrap());
    }
    let each = start.elapsed() / ROUNDS;
    let start = Instant::now();
    for _ in 0..ROUNDS {
        let _ = std::hint::black_box(at.auth.admit(&principal, 0, start));
    }
    eprintln!("authenticate: {each:?}, rate limit: {:?}", start.elapsed() / ROUNDS);
    assert!(each < Duration::from_micros(20), "{each:?}: a signature check would take 30 µs and more");
}
