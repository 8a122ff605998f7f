//! Opaque page cursors: a small JSON value, signed, good for 24 hours.
//!
//! ```text
//! base64url( HMAC-SHA256(key, expiry ‖ json)[..16] ‖ expiry (8 bytes) ‖ json )
//! ```
//! A cursor is bound to the question it came from by whoever puts that question's hash into the value. It grants nothing: rights are checked
//! for every page.

use std::fmt;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD as BASE64;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::QueryError;

const MAC_BYTES: usize = 16;
const HEAD_BYTES: usize = MAC_BYTES + 8;
const LIFE: TimeDelta = TimeDelta::hours(24);
/// Longer than any cursor we make; keeps a caller from having us decode megabytes.
const LONGEST: usize = 16 << 10;

/// Signs and reads cursors. All nodes share one key.
#[derive(Clone)]
pub struct Seal {
    key: [u8; 32],
}

impl fmt::Debug for Seal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Seal")
    }
}

impl Seal {
    pub fn new(key: [u8; 32]) -> Self {
        Self { key }
    }

    /// Makes a cursor that holds `value` until 24 h after `now`.
    pub fn close<T: Serialize>(&self, value: &T, now: DateTime<Utc>) -> Result<String, QueryError> {
        let json = serde_json::to_vec(value).map_err(QueryError::engine)?;
        let expiry = (now + LIFE).timestamp().to_be_bytes();
        let mac = self.mac(&expiry, &json);
        Ok(BASE64.encode([&mac[..MAC_BYTES], &expiry, &json].concat()))
    }

    /// Reads a cursor of ours. Errors: `invalid-cursor` for any other text, and for one that is older than 24 h.
    pub fn open<T: DeserializeOwned>(&self, text: &str, now: DateTime<Utc>) -> Result<T, QueryError> {
        let wrong = || QueryError::InvalidCursor;
        let bytes = (text.len() <= LONGEST).then(|| BASE64.decode(text).ok()).flatten().ok_or_else(wrong)?;
        let (head, json) = bytes.split_at_checked(HEAD_BYTES).ok_or_else(wrong)?;
        let (mac, expiry) = head.split_at(MAC_BYTES);
        if !bool::from(self.mac(expiry, json)[..MAC_BYTES].ct_eq(mac)) {
            return Err(wrong());
        }
        let expiry = expiry.try_into().map(i64::from_be_bytes).map_err(|_| wrong())?;
        if expiry < now.timestamp() {
            return Err(wrong());
        }
        serde_json::from_slice(json).map_err(|_| wrong())
    }

    /// HMAC-SHA256 (RFC 2104) of the two parts one after the other; the first has a fixed length.
    pub(crate) fn mac(&self, first: &[u8], second: &[u8]) -> [u8; 32] {
        let mut pad = [0x36; 64];
        pad.iter_mut().zip(self.key).for_each(|(byte, key)| *byte ^= key);
        let inner = Sha256::new_with_prefix(pad).chain_update(first).chain_update(second).finalize();
        // 0x36 ^ 0x5c: turns the inner pad into the outer one.
        pad.iter_mut().for_each(|byte| *byte ^= 0x6a);
        Sha256::new_with_prefix(pad).chain_update(inner).finalize().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_is_hmac_sha256() {
        // RFC 4231, test case 1; a key shorter than the block is padded with zeros.
        let mut key = [0; 32];
        key[..20].fill(0x0b);
        let mac = Seal::new(key).mac(b"Hi ", b"There");
        assert_eq!(mac[..8], [0xb0, 0x34, 0x4c, 0x61, 0xd8, 0xdb, 0x38, 0x53]);
    }

    #[test]
    fn only_our_own_fresh_cursors_open() {
        let (seal, now) = (Seal::new([7; 32]), Utc::now());
        let cursor = seal.close(&("a", 5), now).unwrap();
        assert_eq!(seal.open::<(String, i32)>(&cursor, now).unwrap(), ("a".to_owned(), 5));
        assert!(seal.open::<(String, i32)>(&cursor, now + TimeDelta::hours(25)).is_err());
        assert!(Seal::new([8; 32]).open::<(String, i32)>(&cursor, now).is_err());
        for at in 0..cursor.len() {
            let mut bent = cursor.clone().into_bytes();
            bent[at] = if bent[at] == b'A' { b'B' } else { b'A' };
            assert!(seal.open::<(String, i32)>(std::str::from_utf8(&bent).unwrap(), now).is_err(), "{at}");
        }
        for wrong in ["", "x", "%%%", &"A".repeat(LONGEST + 1)] {
            assert!(seal.open::<(String, i32)>(wrong, now).is_err());
        }
    }
}
