//! A text that must not be printed.

use std::fmt;
use std::path::Path;

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
    "minioadmin",
    "test",
    "example",
];

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
        let refuse = |reason: String| Err(ConfigError::Value { key, reason });
        if WELL_KNOWN.contains(&self.0.to_ascii_lowercase().as_str()) {
            return refuse("is a well-known word, not a secret".into());
        }
        if self.0.len() < least {
            return refuse(format!("is shorter than {least} characters"));
        }
        Ok(())
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
}
