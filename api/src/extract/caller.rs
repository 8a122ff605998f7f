//! Who calls, and with which right. The right stands in the handler's signature and in the router's table; both must
//! be the same, so neither can be forgotten.

use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Instant;

use auth::{AuditEvent, AuthError, Outcome};
use axum::extract::{FromRequestParts, MatchedPath};
use chrono::Utc;
use http::header::{AUTHORIZATION, HeaderMap};
use http::request::Parts;
use identity::{Principal, Scope, WorkspaceId};

use crate::middleware::trail::{self, Trail};
use crate::problem::{Kind, Problem};
use crate::repeats::Words;
use crate::router::{Entry, Need};
use crate::state::App;

/// What a call that stores a table takes from the caller's rate, an upload or a run: it has a worker to itself for long.
pub const STORES: u32 = 5;

/// A right that a route can ask for.
pub trait Right: Send + Sync + 'static {
    const NEED: Need;
}

/// Being anybody with a valid credential.
pub struct Known;
/// Reading the caller's own and the platform's data.
pub struct Read;
/// Changing what is the caller's own.
pub struct Write;
/// Seeing one's own jobs, or the platform's.
pub struct Watch;
/// Ending them.
pub struct Steer;
/// Operating the platform.
pub struct Admin;

impl Right for Known {
    const NEED: Need = Need::Known;
}
impl Right for Read {
    const NEED: Need = Need::Scope(Scope::Read);
}
impl Right for Write {
    const NEED: Need = Need::Scope(Scope::Write);
}
impl Right for Watch {
    const NEED: Need = Need::OrAdmin(Scope::Read);
}
impl Right for Steer {
    const NEED: Need = Need::OrAdmin(Scope::Write);
}
impl Right for Admin {
    const NEED: Need = Need::Scope(Scope::Admin);
}

/// A verified caller who has the right `R`.
pub struct Caller<R> {
    pub principal: Arc<Principal>,
    pub trail: Arc<Trail>,
    /// What it was asked in, where that can be kept.
    pub words: Option<Words>,
    shows_key: bool,
    right: PhantomData<R>,
}

impl<R> Caller<R> {
    /// The border of everything the caller may touch.
    pub fn workspace(&self) -> WorkspaceId {
        self.principal.workspace
    }

    /// Takes `cost` from the caller's rate before the work starts: 1, or [`STORES`]. Errors: `rate-limited` 429.
    pub fn spend(&self, app: &App, cost: u32) -> Result<(), Problem> {
        match app.auth.admit(&self.principal, cost, Instant::now()) {
            Ok(state) => {
                self.trail.rated(state);
                Ok(())
            }
            Err(state) => {
                self.trail.rated(state);
                let detail = format!("the limit `{}` is {} weighted calls a minute", state.name, state.limit);
                Err(Problem::because(Kind::RateLimited, detail).retry_after(state.retry_after_secs))
            }
        }
    }

    /// Gives back what a call took that cost nothing after all.
    pub fn give_back(&self, app: &App, cost: u32) {
        app.auth.refund(&self.principal, cost);
    }

    /// For what would outlive a token. Errors: `forbidden` where a token was shown.
    pub async fn must_show_key(&self, app: &App) -> Result<(), Problem> {
        match self.shows_key {
            true => Ok(()),
            false => Err(self.denied(app, "a token makes no keys: show the API key itself").await),
        }
    }

    /// Notes that the caller may not do this, and says why.
    pub async fn denied(&self, app: &App, detail: impl Into<String>) -> Problem {
        note_denial(app, &self.principal, &self.trail).await;
        Problem::because(Kind::Forbidden, detail)
    }
}

impl<R: Right> FromRequestParts<App> for Caller<R> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let trail = trail::of(parts)?;
        let entry = entry(parts, app)?;
        trail.took(entry);
        let principal = authenticate(parts, app, &trail).await?;
        trail.called_by(&principal);
        if entry.need != R::NEED {
            return Err(Problem::internal(format!(
                "{} asks for another right than the router's table",
                entry.template
            )));
        }
        if !entry.need.holds(principal.scopes) {
            note_denial(app, &principal, &trail).await;
            let detail = format!("the scope `{}` is needed", entry.need.scope_name());
            return Err(Problem::because(Kind::Forbidden, detail));
        }
        no_stray_query(entry, parts)?;
        let shows_key = credential(&parts.headers).is_some_and(auth::is_key);
        let words = Words::of(&parts.uri, &parts.headers);
        Ok(Self { principal, trail, words, shows_key, right: PhantomData })
    }
}

/// A route that anybody may call; it says so in its signature.
pub struct Anyone;

impl FromRequestParts<App> for Anyone {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let entry = entry(parts, app)?;
        if entry.need != Need::Nothing {
            return Err(Problem::internal(format!("{} is not open in the router's table", entry.template)));
        }
        trail::of(parts)?.took(entry);
        no_stray_query(entry, parts)?;
        Ok(Self)
    }
}

/// A route without parameters refuses a query string, as one with parameters refuses those it does not know.
fn no_stray_query(entry: &Entry, parts: &Parts) -> Result<(), Problem> {
    match parts.uri.query() {
        Some(query) if !entry.takes_query && !query.is_empty() => {
            Err(Problem::because(Kind::UnknownParameter, "this address takes no query parameters"))
        }
        _ => Ok(()),
    }
}

fn entry(parts: &Parts, app: &App) -> Result<&'static Entry, Problem> {
    let path = parts.extensions.get::<MatchedPath>().map(MatchedPath::as_str).unwrap_or_default();
    let entry = app.table.find(path, &parts.method);
    entry.ok_or_else(|| Problem::internal(format!("no rule for {} {path}", parts.method)))
}

/// Verifies the credential of a request. Errors: 401 in one word for whatever is wrong with it, 429, 503.
pub async fn authenticate(parts: &Parts, app: &App, trail: &Trail) -> Result<Arc<Principal>, Problem> {
    let credential = credential(&parts.headers).ok_or(AuthError::Missing)?;
    let now = Utc::now();
    if let Some(principal) = app.auth.recognise(credential, now) {
        return Ok(principal);
    }
    Ok(app.auth.authenticate_from(credential, trail.peer, now).await?)
}

/// The key or token that a request shows.
pub fn credential(headers: &HeaderMap) -> Option<&str> {
    let Some(value) = headers.get(AUTHORIZATION) else {
        return headers.get("x-api-key")?.to_str().ok().map(str::trim);
    };
    let (scheme, rest) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| rest.trim())
}

/// Notes a denial before it is answered.
async fn note_denial(app: &App, principal: &Principal, trail: &Trail) {
    let event = AuditEvent {
        workspace: Some(principal.workspace),
        key: Some(principal.key),
        action: trail.route().map(|entry| format!("{} {}", entry.method, entry.template)).unwrap_or_default(),
        target: String::new(),
        outcome: Outcome::Denied,
        request_id: Some(trail.id),
        at: Utc::now(),
    };
    if let Err(error) = app.auth.audit(event).await {
        tracing::warn!(%error, "a denial could not be audited");
    }
}
