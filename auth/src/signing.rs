//! Our own key pair: reading, making, signing with it, and showing its public half.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use identity::Secret;
use jsonwebtoken::crypto::aws_lc;
use jsonwebtoken::jwk::{Jwk, KeyOperations, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::AuthConfig;
use crate::tokens::{Claims, TOKEN_TYPE};

/// The only algorithm; a token that names another is refused.
const ALGORITHM: Algorithm = Algorithm::EdDSA;
const ALGORITHM_NAME: &str = "EdDSA";

/// What stands before the 32 bytes of an Ed25519 seed in PKCS #8 (RFC 8410, section 7).
const PKCS8_HEAD: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// Why a signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error("the signing key is no Ed25519 private key in PKCS #8 PEM")]
    Unreadable,
    #[error("the signing key is an example, not a secret")]
    Weak,
}

/// A fresh Ed25519 private key, PKCS #8 in PEM: to be kept in a file that its owner alone reads.
pub fn generate_signing_key_pem() -> String {
    let mut der = PKCS8_HEAD.to_vec();
    der.extend(rand::random::<[u8; 32]>());
    format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(der))
}

/// Signs tokens, and knows which ones it signed.
pub(crate) struct SigningKey {
    encoding: EncodingKey,
    decoding: DecodingKey,
    public: Jwk,
    id: String,
}

/// All that a header of ours has. One with anything more (`jku`, `x5u`, `x5c`, `jwk`, `crit`, `b64`, a member twice) is
/// not ours, so nothing in it can lead the verification astray.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OurHeader {
    alg: String,
    typ: String,
    kid: String,
}

impl SigningKey {
    pub fn read(pem: &Secret) -> Result<Self, KeyError> {
        install_crypto();
        let encoding = EncodingKey::from_ed_pem(pem.expose().as_bytes()).map_err(|_| KeyError::Unreadable)?;
        refuse_weak(encoding.as_bytes())?;
        let mut public = Jwk::from_encoding_key(&encoding, ALGORITHM).map_err(|_| KeyError::Unreadable)?;
        let id = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| KeyError::Unreadable)?;
        public.common.key_id = Some(id.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_operations = Some(vec![KeyOperations::Verify]);
        let decoding = DecodingKey::from_jwk(&public).map_err(|_| KeyError::Unreadable)?;
        Ok(Self { encoding, decoding, public, id })
    }

    pub fn jwks(&self) -> Value {
        json!({ "keys": [self.public] })
    }

    pub fn sign<T: Serialize>(&self, claims: &T) -> Result<String, jsonwebtoken::errors::Error> {
        let mut header = Header::new(ALGORITHM);
        header.typ = Some(TOKEN_TYPE.to_owned());
        header.kid = Some(self.id.clone());
        jsonwebtoken::encode(&header, claims, &self.encoding)
    }

    /// The claims of a token that this key signed and that holds at `now`.
    pub fn verify(&self, token: &str, config: &AuthConfig, now: DateTime<Utc>) -> Option<Claims> {
        if !self.is_header_ours(token) {
            return None;
        }
        let claims = jsonwebtoken::decode::<Claims>(token, &self.decoding, &rules(config)).ok()?.claims;
        claims.hold_at(now).then_some(claims)
    }

    fn is_header_ours(&self, token: &str) -> bool {
        let header = token.split('.').next().and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
        let header = header.and_then(|json| serde_json::from_slice::<OurHeader>(&json).ok());
        header.is_some_and(|h| h.alg == ALGORITHM_NAME && h.kid == self.id && is_token_type(&h.typ))
    }
}

#[cfg(test)]
impl SigningKey {
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The signature of any text, for tokens that say what ours never would.
    pub fn sign_text(&self, text: &str) -> String {
        jsonwebtoken::crypto::sign(text.as_bytes(), &self.encoding, ALGORITHM).unwrap_or_default()
    }
}

/// `at+jwt`, also with the `application/` that RFC 9068 allows.
fn is_token_type(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    typ.strip_prefix("application/").unwrap_or(&typ) == TOKEN_TYPE
}

/// Who may have issued it, for whom, and what it must say. Times are judged by [`Claims::hold_at`], at a given `now`.
fn rules(config: &AuthConfig) -> Validation {
    let mut rules = Validation::new(ALGORITHM);
    rules.set_issuer(&[&config.issuer]);
    rules.set_audience(&[&config.audience]);
    rules.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    rules.validate_exp = false;
    rules.validate_nbf = false;
    rules
}

/// Chosen by name: where another crate turned a second implementation on, every call would panic without it.
fn install_crypto() {
    // An error says that one is installed already.
    let _ = aws_lc::DEFAULT_PROVIDER.install_default();
}

/// Random seeds have about 30 different bytes of 32; example keys count up or repeat one byte.
fn refuse_weak(der: &[u8]) -> Result<(), KeyError> {
    let seed = &der[der.len().saturating_sub(32)..];
    let different = seed.iter().collect::<std::collections::HashSet<_>>().len();
    let counts_up = seed.windows(2).all(|pair| pair[1] == pair[0].wrapping_add(1));
    if different < 16 || counts_up { Err(KeyError::Weak) } else { Ok(()) }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({})", self.id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fresh_key_can_be_used_and_shows_only_its_public_half() {
        let pem = Secret::new(generate_signing_key_pem());
        let key = SigningKey::read(&pem).unwrap();
        let shown = key.jwks();
        let jwk = &shown["keys"][0];
        assert_eq!(
            (&jwk["kty"], &jwk["crv"], &jwk["use"]),
            (&json!("OKP"), &json!("Ed25519"), &json!("sig"))
        );
        assert_eq!(jwk["kid"], json!(key.id));
        assert!(jwk.get("d").is_none());
        assert_eq!(SigningKey::read(&pem).unwrap().jwks(), shown, "the same on every node");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        let pem = |seed: [u8; 32]| {
            let der = [&PKCS8_HEAD[..], &seed].concat();
            Secret::new(format!(
                "-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----",
                STANDARD.encode(der)
            ))
        };
        let counting: [u8; 32] = std::array::from_fn(|n| n as u8);
        for weak in [[0; 32], [7; 32], counting] {
            assert!(matches!(SigningKey::read(&pem(weak)), Err(KeyError::Weak)));
        }
        for unreadable in ["", "secret", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"] {
            let refused = SigningKey::read(&Secret::new(unreadable));
            assert!(matches!(refused, Err(KeyError::Unreadable)), "{unreadable:?}");
        }
    }
}
