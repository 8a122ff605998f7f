//! Bytes become UTF-8: a byte-order mark tells the encoding, else UTF-8, else windows-1252.
//!
//! A file with real UTF-8 letters and one damaged byte is damaged, not windows-1252: only where no letter beyond ASCII was valid is it
//! read again as that.

use std::io::Read;

use encoding_rs::{Decoder, UTF_16BE, UTF_16LE, WINDOWS_1252};

use super::fault::{Fault, Stop};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    Utf8,
    Windows1252,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// What a byte-order mark says; UTF-8 without one.
    pub fn of_mark(head: &[u8]) -> Self {
        match head {
            [0xff, 0xfe, ..] => Self::Utf16Le,
            [0xfe, 0xff, ..] => Self::Utf16Be,
            _ => Self::Utf8,
        }
    }

    fn decoder(self) -> Option<Decoder> {
        match self {
            Self::Utf8 => None,
            Self::Windows1252 => Some(WINDOWS_1252.new_decoder_without_bom_handling()),
            Self::Utf16Le => Some(UTF_16LE.new_decoder_with_bom_removal()),
            Self::Utf16Be => Some(UTF_16BE.new_decoder_with_bom_removal()),
        }
    }
}

/// Text in blocks of valid UTF-8, without a byte-order mark.
pub struct Text {
    bytes: Box<dyn Read + Send>,
    decoder: Option<Decoder>,
    /// Bytes read and not yet given out: a letter cut in two.
    cut: Vec<u8>,
    started: bool,
    /// A valid letter beyond ASCII has been seen.
    letters: bool,
    ended: bool,
}

const READ_BYTES: usize = 1 << 20;
const MARK: &[u8] = b"\xef\xbb\xbf";

impl Text {
    pub fn new(bytes: Box<dyn Read + Send>, encoding: Encoding) -> Self {
        Self {
            bytes,
            decoder: encoding.decoder(),
            cut: Vec::new(),
            started: false,
            letters: false,
            ended: false,
        }
    }

    /// Adds text to `into` until it has `want` bytes or the file ends; `false` at its end.
    /// Errors: [`Stop::OtherEncoding`], a [`Fault`], or what the bytes' source says.
    pub fn fill(&mut self, into: &mut Vec<u8>, want: usize) -> Result<bool, Stop> {
        while !self.ended && into.len() < want {
            match self.decoder {
                None => self.take_utf8(into, want)?,
                Some(_) => self.take_decoded(into)?,
            }
        }
        Ok(!self.ended)
    }

    fn take_utf8(&mut self, into: &mut Vec<u8>, want: usize) -> Result<(), Stop> {
        let from = into.len();
        into.append(&mut self.cut);
        let limit = want.saturating_sub(into.len()).clamp(4, READ_BYTES) as u64;
        let read = (&mut self.bytes).take(limit).read_to_end(into)?;
        self.ended = read == 0;
        if !self.started && (into.len() - from >= MARK.len() || self.ended) {
            self.started = true;
            if into[from..].starts_with(MARK) {
                into.drain(from..from + MARK.len());
            }
        }
        self.check(into, from)
    }

    /// Keeps what is valid from `from` on; a letter cut at the end waits for its rest.
    fn check(&mut self, into: &mut Vec<u8>, from: usize) -> Result<(), Stop> {
        let new = &into[from..];
        let Err(error) = std::str::from_utf8(new) else {
            self.letters |= !new.is_ascii();
            return Ok(());
        };
        let valid = from + error.valid_up_to();
        self.letters |= !into[from..valid].is_ascii();
        if error.error_len().is_none() && !self.ended {
            self.cut = into.split_off(valid);
            return Ok(());
        }
        match self.letters {
            false => Err(Stop::OtherEncoding),
            true => Err(Fault::malformed(
                "the file begins as UTF-8 but holds bytes that are none; save it as UTF-8",
            )
            .into()),
        }
    }

    fn take_decoded(&mut self, into: &mut Vec<u8>) -> Result<(), Stop> {
        let mut stored = vec![0; READ_BYTES / 4];
        let read = self.bytes.read(&mut stored)?;
        self.ended = read == 0;
        let Some(decoder) = &mut self.decoder else { return Ok(()) };
        let room = decoder.max_utf8_buffer_length(read).unwrap_or(READ_BYTES);
        let mut text = String::with_capacity(room);
        let (_, _, damaged) = decoder.decode_to_string(&stored[..read], &mut text, self.ended);
        if damaged {
            return Err(Fault::malformed("the file is not valid UTF-16").into());
        }
        into.extend_from_slice(text.as_bytes());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &'static [u8], encoding: Encoding) -> Result<String, Stop> {
        let mut text = Text::new(Box::new(bytes), encoding);
        let mut all = Vec::new();
        while text.fill(&mut all, usize::MAX)? {}
        Ok(String::from_utf8(all).unwrap())
    }

    #[test]
    fn each_encoding_gives_the_same_text() {
        assert_eq!(read("é,ü\n".as_bytes(), Encoding::Utf8).unwrap(), "é,ü\n");
        assert_eq!(read(b"\xef\xbb\xbf\xc3\xa9,\xc3\xbc\n", Encoding::Utf8).unwrap(), "é,ü\n");
        assert_eq!(read(b"\xe9,\xfc\n", Encoding::Windows1252).unwrap(), "é,ü\n");
        assert_eq!(read(b"\xff\xfe\xe9\0,\0\xfc\0\n\0", Encoding::Utf16Le).unwrap(), "é,ü\n");
        assert_eq!(read(b"\xfe\xff\0\xe9\0,\0\xfc\0\n", Encoding::Utf16Be).unwrap(), "é,ü\n");
        assert_eq!(read(b"\x80", Encoding::Windows1252).unwrap(), "€");
    }

    #[test]
    fn a_letter_may_be_cut_anywhere() {
        let content = "aé€😀".repeat(50);
        for want in 1..40 {
            let mut text =
                Text::new(Box::new(std::io::Cursor::new(content.clone().into_bytes())), Encoding::Utf8);
            let (mut all, mut more) = (Vec::new(), true);
            while more {
                let mut block = Vec::new();
                more = text.fill(&mut block, want).unwrap();
                assert!(std::str::from_utf8(&block).is_ok());
                all.extend(block);
            }
            assert_eq!(String::from_utf8(all).unwrap(), content);
        }
    }

    #[test]
    fn what_is_no_utf_8_is_windows_1252_or_damaged() {
        assert!(matches!(read(b"name\ncaf\xe9\n", Encoding::Utf8), Err(Stop::OtherEncoding)));
        assert!(matches!(read(b"name\ncaf\xc3\xa9 \xe9\n", Encoding::Utf8), Err(Stop::Fault(_))));
        assert!(matches!(read(b"caf\xc3", Encoding::Utf8), Err(Stop::OtherEncoding)));
        assert!(matches!(read(b"\xff\xfea\0b", Encoding::Utf16Le), Err(Stop::Fault(_))));
    }
}
