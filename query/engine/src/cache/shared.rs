//! The second tier: pages that nodes share through Redis, and never a reason to fail.
//!
//! ```text
//! "lakefront:" ‖ key  ─▶  HMAC-SHA256(node key, key ‖ rest) ‖ length of head (4 bytes) ‖ head (JSON) ‖ body
//! ```
//! What does not carry our seal for just this key is no page: whoever can write to Redis can make us slower, not wrong.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use database::Redis;
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

use crate::cursor::Seal;
use crate::{Facts, Format, Page};

/// Keys name versions, so nothing in it goes stale; what nobody asks for again shall go.
const LIFE: Duration = Duration::from_secs(3_600);
const MAC_BYTES: usize = 32;

/// Pages that other nodes have made.
#[derive(Clone)]
pub struct Shared {
    redis: Redis,
    seal: Seal,
}

#[derive(Serialize, Deserialize)]
struct Head {
    format: Format,
    etag: String,
    facts: Facts,
}

impl Shared {
    /// `seal` must be the same on all nodes.
    pub(crate) fn new(redis: Redis, seal: Seal) -> Self {
        Self { redis, seal }
    }

    /// The page another node has made under this key.
    pub(super) async fn get(&self, key: &[u8; 32]) -> Option<Page> {
        let stored = self.redis.get(&name(key)).await;
        let page = stored.as_deref().and_then(|bytes| open(&self.seal, key, bytes));
        let outcome = match (&page, stored) {
            (Some(_), _) => "hit",
            (None, None) => "miss",
            (None, Some(_)) => "refused",
        };
        metrics::counter!("lakefront_shared_cache_reads_total", "outcome" => outcome).increment(1);
        page
    }

    /// Gives a page to the other nodes, without keeping anybody waiting.
    pub(super) fn put(&self, key: [u8; 32], page: Arc<Page>) {
        let shared = self.clone();
        tokio::spawn(async move {
            if let Some(bytes) = close(&shared.seal, &key, &page) {
                shared.redis.set(&name(&key), &bytes, LIFE).await;
            }
        });
    }
}

fn name(key: &[u8; 32]) -> Vec<u8> {
    [b"lakefront:".as_slice(), key].concat()
}

fn close(seal: &Seal, key: &[u8; 32], page: &Page) -> Option<Vec<u8>> {
    let head = Head { format: page.format, etag: page.etag.clone(), facts: page.facts.clone() };
    let head = serde_json::to_vec(&head).ok()?;
    let length = u32::try_from(head.len()).ok()?.to_be_bytes();
    let rest = [length.as_slice(), &head, &page.body].concat();
    Some([seal.mac(key, &rest).as_slice(), &rest].concat())
}

fn open(seal: &Seal, key: &[u8; 32], bytes: &[u8]) -> Option<Page> {
    let (mac, rest) = bytes.split_at_checked(MAC_BYTES)?;
    if !bool::from(seal.mac(key, rest).ct_eq(mac)) {
        return None;
    }
    let (length, rest) = rest.split_first_chunk()?;
    let (head, body) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
    let head: Head = serde_json::from_slice(head).ok()?;
    Some(Page::new(Bytes::copy_from_slice(body), head.format, head.etag, head.facts))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_page_of_this_very_key_is_one() {
        let (ours, theirs) = (Seal::new([1; 32]), Seal::new([2; 32]));
        let facts = Facts { rows: 3, truncated: true, ..Facts::default() };
        let page = Page::new(Bytes::from_static(b"a,b\n"), Format::Csv, "\"tag\"".into(), facts);
        let stored = close(&ours, &[7; 32], &page).unwrap();
        let back = open(&ours, &[7; 32], &stored).unwrap();
        assert_eq!(
            (back.body.as_ref(), back.format, back.etag.as_str()),
            (b"a,b\n".as_slice(), Format::Csv, "\"tag\"")
        );
        assert_eq!((back.facts.rows, back.facts.truncated), (3, true));
        assert!(open(&theirs, &[7; 32], &stored).is_none());
        assert!(open(&ours, &[8; 32], &stored).is_none());
        for at in 0..stored.len() {
            let mut bent = stored.clone();
            bent[at] ^= 1;
            assert!(open(&ours, &[7; 32], &bent).is_none(), "{at}");
            assert!(open(&ours, &[7; 32], &stored[..at]).is_none(), "{at}");
        }
    }
}
