//! Secrets of sources: read where the lake's declaration says they are, each time they are needed, and never shown.

use std::fmt;

use super::SourceError;
use crate::lakefile::SecretSpec;

/// A secret. What prints it prints `***`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Reads it. Errors: [`SourceError::Refused`] where it is not there, or empty.
    pub fn read(spec: &SecretSpec) -> Result<Self, SourceError> {
        let (text, place) = match spec {
            SecretSpec::Env(name) => (std::env::var(name).ok(), format!("the variable {name}")),
            SecretSpec::File(path) => {
                (std::fs::read_to_string(path).ok(), format!("the file {}", path.display()))
            }
        };
        match text.as_deref().map(str::trim_end) {
            Some(text) if !text.is_empty() => Ok(Self(text.to_owned())),
            _ => Err(SourceError::refused(format!("{place} holds no secret"))),
        }
    }

    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_read_without_its_line_end_and_not_printed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        let spec = SecretSpec::File(file.clone());
        assert!(Secret::read(&spec).is_err());
        std::fs::write(&file, "correct horse \n").unwrap();
        let secret = Secret::read(&spec).unwrap();
        assert_eq!((secret.reveal(), format!("{secret:?}").as_str()), ("correct horse", "***"));
        let absent = Secret::read(&SecretSpec::Env("LAKEFRONT_TEST_NO_SUCH_SECRET".into())).unwrap_err();
        assert!(absent.to_string().contains("LAKEFRONT_TEST_NO_SUCH_SECRET"), "{absent}");
    }
}
