//! Content codings of finished answers (RFC 9110, 8.4; RFC 7932 br; RFC 8878 zstd).

use std::io::{self, Write};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

/// How an answer may be packed on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Zstd,
    Brotli,
    Gzip,
}

impl Coding {
    /// The better ones first.
    pub const ALL: [Self; 3] = [Self::Zstd, Self::Brotli, Self::Gzip];

    /// The word of `Accept-Encoding` and `Content-Encoding`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// Levels that pack once in about the time the network saves once. Errors: the packer's own.
    pub(crate) fn pack(self, body: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Zstd => zstd::bulk::compress(body, 3).map(Bytes::from),
            Self::Brotli => {
                let mut packed = Vec::with_capacity(body.len() / 3);
                let mut packer = brotli::CompressorWriter::new(&mut packed, 4096, 5, 22);
                packer.write_all(body)?;
                packer.flush()?;
                drop(packer);
                Ok(packed.into())
            }
            Self::Gzip => {
                let mut packer = GzEncoder::new(Vec::with_capacity(body.len() / 3), Compression::new(5));
                packer.write_all(body)?;
                packer.finish().map(Bytes::from)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn every_coding_gives_the_bytes_back() {
        let body = b"{\"region_id\":\"it-lazio\",\"day\":\"2026-11-20\"}".repeat(500);
        for coding in Coding::ALL {
            let packed = coding.pack(&body).unwrap();
            assert!(packed.len() < body.len() / 10, "{coding:?}");
            let mut back = Vec::new();
            match coding {
                Coding::Zstd => back = zstd::decode_all(packed.as_ref()).unwrap(),
                Coding::Brotli => {
                    drop(brotli::Decompressor::new(packed.as_ref(), 4096).read_to_end(&mut back))
                }
                Coding::Gzip => drop(flate2::read::GzDecoder::new(packed.as_ref()).read_to_end(&mut back)),
            }
            assert_eq!(back, body, "{coding:?}");
        }
    }
}
