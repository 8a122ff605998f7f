//! Where the elements of a JSON array end, without parsing them: so that an array of any length is read in pieces.

use super::fault::{Fault, Stop};

/// Follows the brackets of a top-level array over pieces of text.
#[derive(Debug)]
pub struct Brackets {
    /// Bytes of the current piece that have been looked at.
    seen: usize,
    /// End of the last whole element in the current piece (after its comma).
    end: Option<usize>,
    level: usize,
    deepest: usize,
    in_string: bool,
    escaped: bool,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Before,
    Inside,
    After,
}

impl Brackets {
    /// `depth` is the deepest nesting of an element.
    pub fn new(depth: usize) -> Self {
        Self {
            seen: 0,
            end: None,
            level: 0,
            deepest: depth,
            in_string: false,
            escaped: false,
            state: State::Before,
        }
    }

    /// The end of the last whole element of `piece`, which begins where the last answer ended; `None` where there is none yet. The outer
    /// brackets are overwritten with blanks. Errors: nesting over the cap, text around the array.
    pub fn last_end(&mut self, piece: &mut [u8]) -> Result<Option<usize>, Stop> {
        self.follow(piece)?;
        let end = self.end.take();
        if let Some(end) = end {
            self.seen -= end;
        }
        Ok(end)
    }

    /// Checks the last piece. Errors: the array is not closed.
    pub fn end(&mut self, piece: &mut [u8]) -> Result<(), Stop> {
        self.follow(piece)?;
        match self.state {
            State::After => Ok(()),
            State::Before if piece.iter().all(u8::is_ascii_whitespace) => Ok(()),
            _ => Err(Fault::malformed("the JSON array is not closed: the file ends too early").into()),
        }
    }

    fn follow(&mut self, piece: &mut [u8]) -> Result<(), Stop> {
        while self.seen < piece.len() {
            if self.in_string {
                self.skip_string(piece);
                continue;
            }
            let byte = piece[self.seen];
            self.seen += 1;
            match (self.state, byte) {
                (_, b' ' | b'\t' | b'\r' | b'\n') => {}
                (State::Before, b'[') => {
                    (self.state, self.level) = (State::Inside, 1);
                    piece[self.seen - 1] = b' ';
                }
                (State::Inside, byte) => {
                    self.inside(byte)?;
                    if self.state == State::After {
                        piece[self.seen - 1] = b' ';
                    }
                }
                _ => return Err(Fault::malformed("text stands around the JSON array").into()),
            }
        }
        Ok(())
    }

    #[inline]
    fn inside(&mut self, byte: u8) -> Result<(), Stop> {
        match byte {
            b'"' => self.in_string = true,
            b'{' | b'[' => {
                self.level += 1;
                if self.level > self.deepest + 1 {
                    return Err(
                        Fault::malformed(format!("a record is nested deeper than {}", self.deepest)).into()
                    );
                }
            }
            b'}' | b']' => {
                self.level -= 1;
                if self.level == 0 {
                    self.state = State::After;
                }
            }
            b',' if self.level == 1 => self.end = Some(self.seen),
            _ => {}
        }
        Ok(())
    }

    #[inline]
    fn skip_string(&mut self, piece: &[u8]) {
        if self.escaped {
            self.escaped = false;
            self.seen += 1;
            return;
        }
        match memchr::memchr2(b'"', b'\\', &piece[self.seen..]) {
            None => self.seen = piece.len(),
            Some(at) => {
                self.escaped = piece[self.seen + at] == b'\\';
                self.in_string = self.escaped;
                self.seen += at + 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str, size: usize) -> Result<Vec<String>, Stop> {
        let mut brackets = Brackets::new(3);
        let (mut pieces, mut rest) = (Vec::new(), Vec::new());
        for block in text.as_bytes().chunks(size) {
            rest.extend_from_slice(block);
            if let Some(end) = brackets.last_end(&mut rest)? {
                let after = rest.split_off(end);
                pieces.push(String::from_utf8(std::mem::replace(&mut rest, after)).unwrap());
            }
        }
        brackets.end(&mut rest)?;
        pieces.push(String::from_utf8(rest).unwrap());
        Ok(pieces)
    }

    #[test]
    fn elements_are_never_cut() {
        let text = r#" [ {"a":"x,]\"}"}, {"b":[1,2,{"c":"\\"}]} , {}] "#;
        for size in 1..text.len() {
            let pieces = pieces(text, size).unwrap();
            let bare = format!("  {}  ", &text[2..text.len() - 2]);
            assert_eq!(pieces.concat(), bare);
            assert!(pieces[..pieces.len() - 1].iter().all(|piece| piece.ends_with(',')), "{pieces:?}");
        }
    }

    #[test]
    fn what_is_no_array_is_refused() {
        for text in ["[{}", "[{}] x", "[{\"a\":[[[[1]]]]}]", "[{\"a\":\"x", "[1] [2]"] {
            assert!(pieces(text, 4).is_err(), "{text}");
        }
        assert!(pieces("[]", 1).is_ok() && pieces(" \n ", 1).is_ok());
    }
}
