//! Credentials that were right before: a look-up instead of a signature or a row.
//!
//! What is kept is found by a keyed hash of the credential's last characters (a key's secret, a token's signature), which
//! nobody can choose without knowing a valid credential: only verified ones are put in. The whole text is compared after
//! that. It stays in memory only, and for as long as it is used.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};

use chrono::{DateTime, Utc};
use identity::{KeyId, Principal};
use parking_lot::RwLock;

use crate::AuthConfig;
use crate::tokens::LEEWAY_SECS;

const SHARDS: usize = 16;
const MAX_PER_SHARD: usize = 4_096;
/// One that was not used for so long is forgotten.
const IDLE_SECS: i64 = 15 * 60;
/// Characters at a credential's end that are hashed.
const TAIL: usize = 32;

/// What is known of a credential.
pub(crate) enum Known {
    /// It is right.
    Right(Arc<Principal>),
    /// It was right, and this caller is the one to ask again; others go on with what is known until the answer.
    AskAgain(Entry),
    /// Nothing; or it has ended.
    Nothing,
}

/// A verified credential.
pub(crate) type Entry = Arc<Verified>;

pub(crate) struct Verified {
    text: Box<str>,
    pub principal: Arc<Principal>,
    /// After this it is not right any more, in seconds.
    ends_at: i64,
    asked_at: AtomicI64,
    answered_at: AtomicI64,
    used_at: AtomicI64,
    is_use_told: AtomicBool,
}

pub(crate) struct Seen {
    hasher: RandomState,
    fresh_secs: i64,
    outage_secs: i64,
    shards: [RwLock<HashMap<u64, Entry>>; SHARDS],
}

impl Seen {
    pub fn new(config: &AuthConfig) -> Self {
        Self {
            hasher: RandomState::new(),
            fresh_secs: config.cache_secs.into(),
            outage_secs: config.outage_secs.into(),
            shards: std::array::from_fn(|_| RwLock::default()),
        }
    }

    pub fn find(&self, credential: &str, now: DateTime<Utc>) -> Known {
        let (hash, now) = (self.hash(credential), now.timestamp());
        let shard = self.shard(hash).read();
        let is_known = |entry: &&Entry| *entry.text == *credential && self.believes(entry, now);
        let Some(entry) = shard.get(&hash).filter(is_known) else { return Known::Nothing };
        entry.mark_used(now);
        let asked_at = entry.asked_at.load(Relaxed);
        // A clock that was set back makes an entry look fresh for long: then it is asked again as well.
        let is_fresh = (asked_at..asked_at + self.fresh_secs).contains(&now);
        if !is_fresh && entry.asked_at.compare_exchange(asked_at, now, Relaxed, Relaxed).is_ok() {
            return Known::AskAgain(entry.clone());
        }
        Known::Right(entry.principal.clone())
    }

    /// Remembers a credential that was just verified.
    pub fn insert(&self, credential: &str, principal: &Arc<Principal>, now: DateTime<Utc>) {
        let (hash, now) = (self.hash(credential), now.timestamp());
        let leeway = if crate::is_key(credential) { 0 } else { LEEWAY_SECS };
        let entry = Verified {
            text: credential.into(),
            principal: principal.clone(),
            ends_at: principal.expires_at.map_or(i64::MAX, |end| end.timestamp() + leeway),
            asked_at: AtomicI64::new(now),
            answered_at: AtomicI64::new(now),
            used_at: AtomicI64::new(now),
            is_use_told: AtomicBool::new(false),
        };
        let mut shard = self.shard(hash).write();
        if shard.len() >= MAX_PER_SHARD {
            shard.retain(|_, entry| entry.is_alive(now));
        }
        if shard.len() >= MAX_PER_SHARD {
            shard.clear(); // bounded memory goes before a few more look-ups
        }
        shard.insert(hash, Arc::new(entry));
    }

    /// Has it not ended, and was it confirmed within the time that an outage is bridged?
    fn believes(&self, entry: &Verified, now: i64) -> bool {
        now < entry.ends_at && now < entry.answered_at.load(Relaxed) + self.outage_secs
    }

    pub fn forget(&self, credential: &str) {
        let hash = self.hash(credential);
        self.shard(hash).write().remove(&hash);
    }

    pub fn sweep(&self, now: DateTime<Utc>) {
        let now = now.timestamp();
        for shard in &self.shards {
            shard.write().retain(|_, entry| entry.is_alive(now));
        }
    }

    /// The keys used since the last call, with the second of it.
    pub fn take_uses(&self) -> HashMap<KeyId, i64> {
        let mut uses = HashMap::new();
        for shard in &self.shards {
            for entry in shard.read().values().filter(|entry| !entry.is_use_told.swap(true, Relaxed)) {
                let latest: &mut i64 = uses.entry(entry.principal.key).or_default();
                *latest = (*latest).max(entry.used_at.load(Relaxed));
            }
        }
        uses
    }

    fn hash(&self, credential: &str) -> u64 {
        let bytes = credential.as_bytes();
        self.hasher.hash_one(&bytes[bytes.len().saturating_sub(TAIL)..])
    }

    fn shard(&self, hash: u64) -> &RwLock<HashMap<u64, Entry>> {
        &self.shards[hash as usize % SHARDS]
    }
}

impl Verified {
    /// The database said again that it is right.
    pub fn confirm(&self, now: DateTime<Utc>) {
        self.answered_at.store(now.timestamp(), Relaxed);
    }

    /// Writes only once a minute, so that cores do not fight for the line of a busy key.
    fn mark_used(&self, now: i64) {
        if now >= self.used_at.load(Relaxed) + 60 {
            self.used_at.store(now, Relaxed);
            self.is_use_told.store(false, Relaxed);
        }
    }

    fn is_alive(&self, now: i64) -> bool {
        now < self.ends_at && now < self.used_at.load(Relaxed) + IDLE_SECS
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::testing::principal;

    fn seen() -> (Seen, Arc<Principal>, DateTime<Utc>) {
        (Seen::new(&AuthConfig::default()), Arc::new(principal()), Utc::now())
    }

    #[test]
    fn what_was_right_is_found_and_nothing_else() {
        let (seen, principal, now) = seen();
        seen.insert("credential", &principal, now);
        assert!(matches!(seen.find("credential", now), Known::Right(found) if found == principal));
        assert!(matches!(seen.find("credentiaL", now), Known::Nothing));
        assert!(matches!(seen.find("", now), Known::Nothing));
        seen.forget("credential");
        assert!(matches!(seen.find("credential", now), Known::Nothing));
    }

    #[test]
    fn a_forged_head_before_a_known_tail_is_not_taken_for_it() {
        let (seen, principal, now) = seen();
        let tail = "t".repeat(TAIL);
        seen.insert(&format!("head{tail}"), &principal, now);
        assert!(matches!(seen.find(&format!("HEAD{tail}"), now), Known::Nothing));
    }

    #[test]
    fn after_a_while_one_caller_asks_again() {
        let (seen, principal, now) = seen();
        seen.insert("credential", &principal, now);
        let later = now + TimeDelta::seconds(31);
        assert!(matches!(seen.find("credential", later), Known::AskAgain(_)));
        assert!(matches!(seen.find("credential", later), Known::Right(_)));
    }

    #[test]
    fn what_nobody_confirms_is_believed_for_as_long_as_an_outage_is_bridged() {
        let (seen, principal, now) = seen();
        seen.insert("credential", &principal, now);
        let (before, after) = (now + TimeDelta::minutes(14), now + TimeDelta::minutes(15));
        assert!(matches!(seen.find("credential", before), Known::AskAgain(_)));
        assert!(matches!(seen.find("credential", after), Known::Nothing));
        let Known::AskAgain(entry) = seen.find("credential", before + TimeDelta::seconds(31)) else {
            panic!()
        };
        entry.confirm(before);
        assert!(!matches!(seen.find("credential", after), Known::Nothing));
    }

    #[test]
    fn a_clock_set_back_makes_nothing_fresh_for_ever() {
        let (seen, principal, now) = seen();
        seen.insert("credential", &principal, now);
        assert!(matches!(seen.find("credential", now - TimeDelta::hours(1)), Known::AskAgain(_)));
    }

    #[test]
    fn a_credential_ends_in_memory_too() {
        let (seen, mut principal, now) = seen();
        Arc::make_mut(&mut principal).expires_at = Some(now + TimeDelta::seconds(10));
        seen.insert("a token", &principal, now);
        seen.insert("lf_live_a key", &principal, now);
        let at_end = now + TimeDelta::seconds(11);
        assert!(matches!(seen.find("a token", at_end), Known::Right(_)), "leeway for tokens");
        assert!(matches!(seen.find("lf_live_a key", at_end), Known::Nothing), "none for keys");
        assert!(matches!(seen.find("a token", now + TimeDelta::seconds(41)), Known::Nothing));
    }

    #[test]
    fn uses_are_told_once() {
        let (seen, principal, now) = seen();
        seen.insert("credential", &principal, now);
        assert_eq!(seen.take_uses().get(&principal.key), Some(&now.timestamp()));
        let _ = seen.find("credential", now + TimeDelta::seconds(1));
        assert!(seen.take_uses().is_empty());
        let _ = seen.find("credential", now + TimeDelta::seconds(61));
        assert_eq!(seen.take_uses().len(), 1);
    }

    #[test]
    fn the_idle_are_forgotten() {
        let (seen, principal, now) = seen();
        seen.insert("credential", &principal, now);
        seen.sweep(now + TimeDelta::seconds(IDLE_SECS + 1));
        assert!(matches!(seen.find("credential", now), Known::Nothing));
    }
}
