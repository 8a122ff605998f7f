//! Region questions that come again in the same words: the front answers them, without the router and without reading them once
//! more.
//!
//! ```text
//! address, `Accept`, policy ─▶ Asked ─▶ the right, anew ─▶ its tag, if it lasts ─▶ 304 or cached page
//!            └ not asked before, or anything else than plain: the router
//! ```
//! Kept is only what a route has read, allowed and answered from memory; never a caller, and no page.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::response::Response;
use chrono::{DateTime, Utc};
use engine::regions::{Lasting, RegionQuery};
use engine::{Engine, Format};
use http::header::ACCEPT;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body::Body;
use identity::Principal;
use parking_lot::RwLock;

use crate::extract::{Accepted, credential};
use crate::middleware::trail::Trail;
use crate::router::Entry;
use crate::routes::regions;
use crate::state::App;

const SHARDS: usize = 16;
/// Questions kept a shard; beyond it the shard begins anew.
const MAX_PER_SHARD: usize = 1_024;
/// Longer addresses are read anew each time.
const ADDRESS_BYTES: usize = 256;

/// What a question was asked in: two requests with the same words are read alike.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Words {
    address: PathAndQuery,
    accept: Option<HeaderValue>,
}

impl Words {
    /// `None` where the words are too many to be kept.
    pub fn of(uri: &Uri, headers: &HeaderMap) -> Option<Self> {
        let mut accepts = headers.get_all(ACCEPT).iter();
        let (accept, second) = (accepts.next(), accepts.next());
        let address = uri.path_and_query().filter(|address| address.as_str().len() <= ADDRESS_BYTES)?;
        let is_short = accept.is_none_or(|accept| accept.len() <= ADDRESS_BYTES);
        (second.is_none() && is_short).then(|| Self { address: address.clone(), accept: accept.cloned() })
    }
}

/// A question as its route read it.
pub struct Asked {
    pub words: Words,
    pub policy: String,
    pub entry: &'static Entry,
    pub query: RegionQuery,
    pub format: Format,
    pub bom: bool,
    /// The last tag it had.
    pub tag: ArcSwap<Lasting>,
}

impl Asked {
    /// The question's tag now. `None` where that cannot be said from memory.
    fn tag(&self, engine: &Engine, principal: &Principal, now: DateTime<Utc>) -> Option<Arc<Lasting>> {
        let last = self.tag.load_full();
        if engine.lasts(&last, now) {
            return Some(last);
        }
        let tag = Arc::new(engine.tag(&self.query, self.format, principal, now)?);
        self.tag.store(Arc::clone(&tag));
        Some(tag)
    }
}

/// The questions asked lately; bounded.
#[derive(Default)]
pub struct Repeats {
    hasher: RandomState,
    shards: [RwLock<HashMap<u64, Arc<Asked>>>; SHARDS],
}

impl Repeats {
    /// Keeps a question that came again.
    pub fn learn(&self, asked: Asked) {
        let hash = self.hash(&asked.words, &asked.policy);
        let mut shard = self.shard(hash).write();
        if shard.len() >= MAX_PER_SHARD {
            shard.clear(); // they come back with the next question each
        }
        shard.insert(hash, Arc::new(asked));
    }

    fn find(&self, words: &Words, policy: &str) -> Option<Arc<Asked>> {
        let hash = self.hash(words, policy);
        let asked = self.shard(hash).read().get(&hash).cloned()?;
        (asked.words == *words && asked.policy == policy).then_some(asked)
    }

    fn hash(&self, words: &Words, policy: &str) -> u64 {
        self.hasher.hash_one((words, policy))
    }

    fn shard(&self, hash: u64) -> &RwLock<HashMap<u64, Arc<Asked>>> {
        &self.shards[hash as usize % SHARDS]
    }
}

/// The answer to a request that asks what was asked before, by whoever may ask it. `None`: the router has to look.
pub async fn answer<B: Body>(app: &App, trail: &Trail, request: &Request<B>) -> Option<Response> {
    let headers = request.headers();
    let is_plain = request.method() == Method::GET && request.body().is_end_stream();
    let words = Words::of(request.uri(), headers).filter(|_| is_plain)?;
    let now = Utc::now();
    let principal = app.auth.recognise(credential(headers)?, now)?;
    let asked = app.repeats.find(&words, &principal.policy)?;
    if !asked.entry.need.holds(principal.scopes) {
        return None;
    }
    let accepted = Accepted { bom: asked.bom, ..Accepted::of(headers) };
    let tag = asked.tag(&app.engine, &principal, now)?;
    let response = regions::known(app, request.uri(), &accepted, &tag).await?;
    trail.took(asked.entry);
    trail.called_by(&principal);
    Some(response)
}
