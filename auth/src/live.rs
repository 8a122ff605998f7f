//! The keys that work, by id and hash: asked only where an address has used up its failures, so that whoever guesses there
//! shuts out nobody who shows a right key.
//!
//! ```text
//! address has failures left? ──yes──▶ the database is asked
//!            │ no
//!            ▼
//! the hash of a key that works? ──yes──▶ the database is asked       (nobody guesses 256 random bits)
//!            └── no ──▶ refused: an unknown id and a wrong secret in the same words, after the same work
//! ```
//! A guess costs a hash in memory. The list is learned anew at most every [`FRESH`], however many guess, and forgotten when nobody
//! asked for a while.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use database::{Db, reading};
use identity::KeyId;
use subtle::ConstantTimeEq;
use tokio::sync::Mutex;

use crate::api_key::{self, KeyHash};

/// A key that another node made is missed for as long; only where somebody guesses behind the same address.
const FRESH: Duration = Duration::from_secs(5);
const KEPT: Duration = Duration::from_secs(5 * 60);
/// A database that hangs must not hold those who wait for the list.
const PATIENCE: Duration = Duration::from_secs(3);

#[derive(Default)]
pub(crate) struct Live {
    learned: Mutex<Option<Learned>>,
}

struct Learned {
    hashes: HashMap<KeyId, KeyHash>,
    at: Instant,
}

impl Live {
    /// Whether `credential` is the text of the key `id`, which works. While the database cannot be asked, what was learned holds.
    pub async fn holds(&self, db: &Db, id: KeyId, credential: &str, now: Instant) -> bool {
        let mut learned = self.learned.lock().await;
        if learned.as_ref().is_none_or(|list| now.saturating_duration_since(list.at) >= FRESH) {
            let hashes = learn(db).await.or_else(|| learned.take().map(|list| list.hashes));
            // Also after a failure the next try waits.
            *learned = Some(Learned { hashes: hashes.unwrap_or_default(), at: now });
        }
        // An unknown id is compared too, so that it takes the same time as a wrong secret.
        let stored = learned.as_ref().and_then(|list| list.hashes.get(&id)).copied();
        let is_same = bool::from(api_key::hash(credential).ct_eq(&stored.unwrap_or_default()));
        is_same && stored.is_some()
    }

    pub fn sweep(&self, now: Instant) {
        if let Ok(mut learned) = self.learned.try_lock() {
            learned.take_if(|list| now.saturating_duration_since(list.at) >= KEPT);
        }
    }
}

/// `None` where the database does not answer.
async fn learn(db: &Db) -> Option<HashMap<KeyId, KeyHash>> {
    const KEYS: &str = "SELECT id, key_hash FROM api_keys WHERE revoked_at IS NULL";
    let reading = async { reading!(db, |pool| sqlx::query_as(KEYS).fetch_all(pool)) };
    let rows: Vec<(String, Vec<u8>)> = match tokio::time::timeout(PATIENCE, reading).await {
        Ok(Ok(rows)) => rows,
        Ok(Err(error)) => return unlearned(&error),
        Err(late) => return unlearned(&late),
    };
    let one = |(id, hash): (String, Vec<u8>)| Some((KeyId::parse(&id).ok()?, KeyHash::try_from(hash).ok()?));
    Some(rows.into_iter().filter_map(one).collect())
}

fn unlearned<T>(error: &(dyn std::error::Error + 'static)) -> Option<T> {
    tracing::warn!(error, "the keys that work cannot be learned: those known go on holding");
    None
}
