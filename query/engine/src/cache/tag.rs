//! The key of an answer and the ETag made of it.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use crate::Format;

/// Names one answer: same tag, same bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tag {
    /// Strong entity tag with its quotes.
    pub etag: String,
    pub(crate) key: [u8; 32],
}

impl Tag {
    /// Whether an `If-None-Match` names it, weakly or strongly, in whatever encoding the page went out.
    pub fn known_by(&self, if_none_match: &str) -> bool {
        if_none_match.trim() == "*" || if_none_match.contains(self.etag.trim_matches('"'))
    }
}

/// Collects what an answer depends on. Every part is written with its length, so that no two lists of parts look alike.
pub struct TagBuilder {
    digest: Sha256,
}

impl TagBuilder {
    /// Starts with the canonical question, the caller's policy fingerprint and the format.
    pub fn new(question: &str, policy: &str, format: Format) -> Self {
        // The number is that of the bodies' shape: a release that writes them differently raises it.
        let mut builder = Self { digest: Sha256::new_with_prefix(b"lakefront answer 1") };
        builder.text(question).text(policy).text(format.word());
        builder
    }

    /// Adds a word of any length.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.number(text.len() as i64);
        self.digest.update(text.as_bytes());
        self
    }

    /// Adds a number: a version, a revision, a flag.
    pub fn number(&mut self, number: i64) -> &mut Self {
        self.digest.update(number.to_le_bytes());
        self
    }

    /// Adds raw bytes of a fixed length, such as an id.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.digest.update(bytes);
        self
    }

    /// Adds a version that may be absent.
    pub fn version(&mut self, version: Option<i64>) -> &mut Self {
        self.number(version.map_or(0, |_| 1)).number(version.unwrap_or_default())
    }

    /// The tag of all that was added.
    pub fn finish(&mut self) -> Tag {
        let key: [u8; 32] = self.digest.clone().finalize().into();
        let mut etag = String::with_capacity(34);
        etag.push('"');
        for byte in &key[..16] {
            // Writing to a string cannot fail.
            let _ = write!(etag, "{byte:02x}");
        }
        etag.push('"');
        Tag { etag, key }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let tag = |a: &str, b: &str| TagBuilder::new(a, b, Format::Json).finish();
        assert_ne!(tag("ab", "c"), tag("a", "bc"));
        assert_eq!(tag("a", "b"), tag("a", "b"));
        assert_eq!(tag("a", "b").etag.len(), 34);
        let with = |version| TagBuilder::new("a", "b", Format::Json).version(version).finish();
        assert_ne!(with(None), with(Some(0)));
    }
}
