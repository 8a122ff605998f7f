//! How a receiver knows that an alert is ours: HMAC-SHA256 (RFC 2104) over `<timestamp>.<body>`.

use sha2::{Digest, Sha256};

/// The block of SHA-256, in bytes.
const BLOCK: usize = 64;

/// `v1=<hex>`: the signature of a body sent at `timestamp`, in seconds since 1970.
pub fn signature(secret: &[u8], timestamp: i64, body: &[u8]) -> String {
    let mac = hmac(secret, &[timestamp.to_string().as_bytes(), b".", body]);
    mac.iter().fold(String::from("v1="), |text, byte| text + &format!("{byte:02x}"))
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut block = [0_u8; BLOCK];
    if key.len() > BLOCK {
        block[..32].copy_from_slice(&Sha256::digest(key));
    } else {
        block[..key.len()].copy_from_slice(key);
    }
    let inner = parts
        .iter()
        .fold(Sha256::new_with_prefix(block.map(|byte| byte ^ 0x36)), |hash, part| hash.chain_update(part));
    Sha256::new_with_prefix(block.map(|byte| byte ^ 0x5c)).chain_update(inner.finalize()).finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// RFC 4231, cases 1, 2 and 6.
    #[test]
    fn it_is_the_standards() {
        let cases: [(&[u8], &[u8], &str); 3] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (
                &[0xaa; 131],
                b"Test Using Larger Than Block-Size Key - Hash Key First",
                "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
            ),
        ];
        for (key, data, expected) in cases {
            assert_eq!(hex(&hmac(key, &[data])), expected);
        }
    }

    #[test]
    fn time_and_body_are_both_signed() {
        let of = |time, body: &str| signature(b"secret", time, body.as_bytes());
        assert_eq!(of(1, "x"), of(1, "x"));
        assert_ne!(of(1, "x"), of(2, "x"));
        assert_ne!(of(1, "x"), of(1, "y"));
    }
}
