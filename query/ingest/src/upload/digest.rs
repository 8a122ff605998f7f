//! The digest a caller announces for a body (`Content-Digest`, `Repr-Digest`: RFC 9530).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// An announced SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// The header is there but says no SHA-256 that could be one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the digest header has no valid sha-256")]
pub struct DigestError;

impl Digest {
    /// Reads `sha-256=:<base64>:` out of a header's list; `None` where only other algorithms are named.
    /// Errors: a sha-256 that is no 32 bytes of base64.
    pub fn parse(header: &str) -> Result<Option<Self>, DigestError> {
        for member in header.split(',') {
            let Some((name, value)) = member.trim().split_once('=') else { return Err(DigestError) };
            if name.trim() != "sha-256" {
                continue;
            }
            let text = value
                .trim()
                .strip_prefix(':')
                .and_then(|value| value.strip_suffix(':'))
                .ok_or(DigestError)?;
            let bytes = STANDARD.decode(text).map_err(|_| DigestError)?;
            return bytes.try_into().map(|bytes| Some(Self(bytes))).map_err(|_| DigestError);
        }
        Ok(None)
    }

    /// Whether lower-case hex `sha256` is this digest.
    pub fn is(&self, sha256: &str) -> bool {
        let hex: String = self.0.iter().map(|byte| format!("{byte:02x}")).collect();
        hex == sha256
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn the_header_of_the_rfc_is_read() {
        let header = "sha-512=:AAAA:, sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
        assert!(Digest::parse(header).unwrap().unwrap().is(EMPTY));
        assert_eq!(Digest::parse("sha-512=:AAAA:").unwrap(), None);
        for bad in ["sha-256=47DE", "sha-256=:AAAA:", "nothing", "sha-256=:**:"] {
            assert_eq!(Digest::parse(bad), Err(DigestError), "{bad}");
        }
    }
}
