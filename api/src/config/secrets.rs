//! A text that must not be printed.

use std::fmt;
use std::path::Path;

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize, Serializer};

use super::ConfigError;

/// Words that people leave in configuration; none is a secret.
const WELL_KNOWN: &[&str] = &[
    "secret",
    "password",
    "changeme",
    "change-me",
    "default",
    "admin",
    "lakefront",
    "postgres",
    "redis",
    "root",
    "guest",
    "foobared",
    "minio",
    "minioadmin",
    "test",
    "example",
];

/// A well-known word with fewer digits and signs around it than this is still one.
const DECORATION: usize = 8;
/// Fewer characters make no password.
pub(super) const PASSWORD: usize = 12;

/// A secret of the configuration: shown as `***` by everything that prints.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Hidden(String);

impl Hidden {
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Reads a secret from a file. Errors: the file cannot be read.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path);
        let text = text.map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        Ok(Self(text.trim_end().to_owned()))
    }

    /// Refuses what anybody could guess: fewer than `least` characters, or a well-known word.
    pub fn check(&self, key: &'static str, least: usize) -> Result<(), ConfigError> {
        match self.weakness(least) {
            Some(reason) => Err(ConfigError::Value { key, reason }),
            None => Ok(()),
        }
    }

    /// The same for the passwords in a URL, before its host or among its parameters. What is no URL is judged elsewhere.
    pub fn check_passwords(&self, key: &'static str) -> Result<(), ConfigError> {
        let Ok(url) = url::Url::parse(&self.0) else { return Ok(()) };
        let before_host =
            url.password().map(|text| percent_decode_str(text).decode_utf8_lossy().into_owned());
        let named = url.query_pairs().filter(|(name, _)| matches!(&**name, "password" | "pass"));
        let mut all = before_host.into_iter().chain(named.map(|(_, text)| text.into_owned()));
        all.try_for_each(|password| Self(password).check(key, PASSWORD))
    }

    /// Why it is no secret; `None` where it may be one.
    pub(super) fn weakness(&self, least: usize) -> Option<String> {
        let core = self.0.trim_matches(|c: char| !c.is_alphabetic());
        let decoration = self.0.len() - core.len();
        if decoration < DECORATION && WELL_KNOWN.contains(&core.to_lowercase().as_str()) {
            return Some("is a well-known word, not a secret".into());
        }
        (self.0.len() < least).then(|| format!("is shorter than {least} characters"))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed_and_never_a_word() {
        let word = Hidden::new("minioadmin".into());
        assert_eq!(format!("{word:?}"), "***");
        assert!(word.check("storage.options", 8).is_err());
        assert!(Hidden::new("short".into()).check("x", 16).is_err());
        assert!(Hidden::new("p9f7W-2kkQz81hsd".into()).check("x", 16).is_ok());
    }

    #[test]
    fn digits_behind_a_word_make_no_secret_of_it() {
        for word in ["Password1234", "-changeme-42!", "MinioAdmin", "postgres"] {
            assert!(Hidden::new(word.into()).weakness(8).unwrap().contains("well-known"), "{word}");
        }
        for secret in ["test-4711081512230995", "passwordless-entry-7", "correct-horse-battery"] {
            assert_eq!(Hidden::new(secret.into()).weakness(12), None, "{secret}");
        }
    }

    #[test]
    fn a_password_in_a_url_is_judged_however_it_is_written() {
        let judged =
            |url: &str| Hidden::new(url.into()).check_passwords("x").map_err(|error| error.to_string());
        for url in [
            "postgres://a:postgres@localhost/b",
            "postgres://a:p%6Fstgres@db/b",
            "postgres://a@db/b?password=postgres",
            "redis://:secret@cache:6379",
        ] {
            assert_eq!(judged(url), Err("x is a well-known word, not a secret".into()), "{url}");
        }
        assert!(judged("redis://:x7Kw@cache").unwrap_err().contains("shorter than 12"));
        for url in [
            "postgres://a@db/b",
            "redis://cache:6379",
            "sqlite://x.db",
            "no url",
            "redis://:x7Kw%3A20fq81mz@c",
        ] {
            assert_eq!(judged(url), Ok(()), "{url}");
        }
    }
}
