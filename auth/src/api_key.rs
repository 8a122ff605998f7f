//! The text of an API key: `lf_live_<8: id>_<43: 256 random bits in base 62>_<6: CRC-32 in base 62>`.
//!
//! The id finds the row and may be shown; the checksum lets a typing error or a cut-off paste be told without asking
//! anybody; the rest is the secret. Only the SHA-256 of the whole text is stored: it has 256 random bits, so a slow hash
//! would add cost and no strength.

use identity::{KeyId, Secret};
use sha2::{Digest, Sha256};

const PREFIX: &str = "lf_live_";
const SECRET_LENGTH: usize = 43;
const CHECKSUM_LENGTH: usize = 6;
const LENGTH: usize = PREFIX.len() + KeyId::LENGTH + 1 + SECRET_LENGTH + 1 + CHECKSUM_LENGTH;
const DIGITS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// SHA-256 of the whole key.
pub(crate) type KeyHash = [u8; 32];

/// A key at the one moment when its text is known.
pub(crate) struct FreshKey {
    pub id: KeyId,
    pub text: Secret,
    pub hash: KeyHash,
}

/// Makes a key of 256 random bits.
pub(crate) fn generate() -> FreshKey {
    let id = KeyId::from_random(rand::random());
    let secret: [u8; 32] = rand::random();
    let body = format!("{PREFIX}{id}_{}", base62(&secret, SECRET_LENGTH));
    let text = format!("{body}_{}", checksum(&body));
    FreshKey { id, hash: hash(&text), text: Secret::new(text) }
}

/// The id of a key's text, where its form and checksum are right: what is not is refused without asking the database.
pub(crate) fn parse(text: &str) -> Option<KeyId> {
    if text.len() != LENGTH || !text.is_ascii() {
        return None;
    }
    let (body, sum) = text.rsplit_once('_')?;
    let (id, secret) = body.strip_prefix(PREFIX)?.split_once('_')?;
    let is_form = secret.len() == SECRET_LENGTH && secret.bytes().all(|b| b.is_ascii_alphanumeric());
    (is_form && sum == checksum(body)).then(|| KeyId::parse(id).ok())?
}

/// Is this meant to be a key? All else is meant to be a token.
pub fn is_key(credential: &str) -> bool {
    credential.starts_with(PREFIX)
}

/// The key id that a text claims, right or wrong: failures are counted under it.
pub(crate) fn claimed_id(text: &str) -> Option<KeyId> {
    KeyId::parse(text.strip_prefix(PREFIX)?.get(..KeyId::LENGTH)?).ok()
}

pub(crate) fn hash(text: &str) -> KeyHash {
    Sha256::digest(text.as_bytes()).into()
}

fn checksum(body: &str) -> String {
    base62(&crc32fast::hash(body.as_bytes()).to_be_bytes(), CHECKSUM_LENGTH)
}

/// A key's text changed by hand, under the checksum that fits it.
#[cfg(test)]
pub(crate) fn with_right_checksum(text: &str) -> String {
    let body = &text[..text.len() - CHECKSUM_LENGTH - 1];
    format!("{body}_{}", checksum(body))
}

/// The last `length` base-62 digits of a big-endian number, the highest first.
fn base62(number: &[u8], length: usize) -> String {
    let mut number = number.to_vec();
    let mut digits = vec![0; length];
    for digit in digits.iter_mut().rev() {
        let mut rest = 0u32;
        for byte in &mut number {
            let value = rest << 8 | u32::from(*byte);
            *byte = (value / 62) as u8;
            rest = value % 62;
        }
        *digit = DIGITS[rest as usize];
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_tells_its_id_and_hides_its_secret() {
        let key = generate();
        assert_eq!(key.text.expose().len(), LENGTH);
        assert_eq!(parse(key.text.expose()), Some(key.id));
        assert_eq!(claimed_id(key.text.expose()), Some(key.id));
        assert_eq!(hash(key.text.expose()), key.hash);
        assert_ne!(generate().text, key.text);
    }

    #[test]
    fn a_typing_error_is_told_by_the_checksum() {
        let key = generate();
        let text = key.text.expose();
        for at in 0..text.len() {
            let mut wrong = text.as_bytes().to_vec();
            wrong[at] = if wrong[at] == b'x' { b'y' } else { b'x' };
            assert_eq!(parse(std::str::from_utf8(&wrong).unwrap()), None, "at {at}");
        }
        for cut in 0..text.len() {
            assert_eq!(parse(&text[..cut]), None);
        }
        assert_eq!(parse(&format!("{text}x")), None);
    }

    #[test]
    fn base_62_keeps_every_bit_of_256() {
        assert_eq!(base62(&[0; 32], 43), "0".repeat(43));
        let largest = base62(&[0xff; 32], 43);
        assert_eq!(largest.len(), 43);
        assert_ne!(largest.as_bytes()[0], b'0');
        assert_eq!(base62(&[0, 61], 2), "0z");
        assert_eq!(base62(&[0, 62], 2), "10");
    }
}
