//! Ids: one type a thing, so that a job's id can never be taken for a workspace's.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use serde_with::{DeserializeFromStr, SerializeDisplay};
use uuid::Uuid;

use crate::NameError;

macro_rules! uuid_ids {
    ($($(#[$doc:meta])* $id:ident),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr)]
        pub struct $id(Uuid);

        impl $id {
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            pub const fn as_uuid(&self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $id {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($id), "({})"), self.0.as_hyphenated())
            }
        }

        impl FromStr for $id {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, uuid::Error> {
                Uuid::try_parse(text).map(Self)
            }
        }

        impl From<Uuid> for $id {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl From<$id> for Uuid {
            fn from(id: $id) -> Uuid {
                id.0
            }
        }
    )+};
}

macro_rules! random_ids {
    ($($id:ident),+ $(,)?) => {$(
        impl $id {
            /// A fresh id (UUID v7: ordered by the time of its making).
            #[expect(clippy::new_without_default, reason = "a fresh id is never a default")]
            pub fn new() -> Self {
                Self(Uuid::now_v7())
            }
        }
    )+};
}

random_ids!(CustomerId, WorkspaceId, TableId, JobId, IntentId);

uuid_ids! {
    /// A customer: whom we deal with, and who has one workspace.
    CustomerId,
    /// A customer's workspace: the border of datasets, quotas and SQL. Internal: SQL and URLs carry its slug.
    WorkspaceId,
    /// A table of the catalog: the platform's, a dataset or an analysis.
    TableId,
    /// A piece of long work.
    JobId,
    /// One intended commit; written into the Delta log as its transaction.
    IntentId,
    /// One HTTP request; in every problem and log line.
    RequestId,
}

/// What makes this process's request ids differ from another's.
static PROCESS: LazyLock<u64> = LazyLock::new(|| RandomState::new().hash_one(std::process::id()));
static REQUESTS: AtomicU64 = AtomicU64::new(0);

impl RequestId {
    /// A fresh id (UUID v7) without asking the system for randomness: one is made for every request. It tells requests
    /// apart and is no secret.
    #[expect(clippy::new_without_default, reason = "a fresh id is never a default")]
    pub fn new() -> Self {
        let n = REQUESTS.fetch_add(1, Ordering::Relaxed);
        let millis = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let mut rest = [0; 10];
        rest[..2].copy_from_slice(&(n as u16).to_be_bytes());
        // An odd factor: 2^64 numbers pass before one comes again.
        rest[2..].copy_from_slice(&PROCESS.wrapping_add(n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).to_be_bytes());
        Self(uuid::Builder::from_unix_timestamp_millis(millis as u64, &rest).into_uuid())
    }
}

/// The public half of an API key: 8 characters of `[0-9A-Za-z]`, safe to log and to show.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr)]
pub struct KeyId([u8; KeyId::LENGTH]);

impl KeyId {
    /// Characters of a key id.
    pub const LENGTH: usize = 8;

    /// An id out of random bytes. The id is public, so that some characters are a little likelier does not matter.
    pub fn from_random(bytes: [u8; Self::LENGTH]) -> Self {
        const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        Self(bytes.map(|byte| DIGITS[usize::from(byte) % DIGITS.len()]))
    }

    /// Errors: [`NameError`] where it is not 8 characters of `[0-9A-Za-z]`.
    pub fn parse(text: &str) -> Result<Self, NameError> {
        match <[u8; Self::LENGTH]>::try_from(text.as_bytes()) {
            Ok(bytes) if bytes.iter().all(u8::is_ascii_alphanumeric) => Ok(Self(bytes)),
            _ => Err(NameError::new(text, "a key id has 8 letters and digits")),
        }
    }

    pub fn as_str(&self) -> &str {
        // Every constructor has checked for ASCII, so the fallback is never taken.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({})", self.as_str())
    }
}

impl FromStr for KeyId {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Self::parse(text)
    }
}

impl TryFrom<String> for KeyId {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        Self::parse(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_wrote() {
        let id = WorkspaceId::new();
        assert_eq!(id.to_string().parse::<WorkspaceId>().unwrap(), id);
        let json = serde_json::to_string(&id).unwrap();
        assert_eq!(json, format!("\"{id}\""));
        assert_eq!(serde_json::from_str::<WorkspaceId>(&json).unwrap(), id);
    }

    #[test]
    fn later_ids_sort_after_earlier_ones() {
        let ids: Vec<_> = (0..100).map(|_| JobId::new()).collect();
        assert!(ids.is_sorted());
    }

    #[test]
    fn request_ids_differ() {
        let ids: std::collections::HashSet<_> = (0..10_000).map(|_| RequestId::new()).collect();
        assert_eq!(ids.len(), 10_000);
        assert_eq!(RequestId::new().as_uuid().get_version_num(), 7);
    }

    #[test]
    fn a_key_id_is_eight_letters_and_digits() {
        assert_eq!(KeyId::parse("aB3dE6gH").unwrap().as_str(), "aB3dE6gH");
        for bad in ["", "short", "ninechars", "has_unde", "ünicode", "with spc"] {
            assert!(KeyId::parse(bad).is_err(), "{bad:?}");
        }
    }
}
