//! Lines of only delimiters at the end of a CSV file: Excel writes them for rows that were filled once. They are no rows; such lines
//! before other ones are rows of nulls.

use std::collections::VecDeque;

/// Runs of lines that are held: more than any program writes, little enough to be kept.
const MOST_RUNS: usize = 1 << 16;

/// Equal lines one after another: empty, or of only delimiters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    empty: bool,
    lines: u64,
}

/// Such lines since the last other one.
#[derive(Debug)]
pub struct Tail {
    /// A line of only delimiters.
    line: Vec<u8>,
    held: VecDeque<Run>,
    /// Held lines that turned out not to be the end.
    back: VecDeque<Run>,
}

impl Tail {
    /// For a file of `width` columns; a file of one has no delimiters.
    pub fn new(delimiter: u8, width: usize) -> Option<Self> {
        (width > 1).then(|| Self {
            line: vec![delimiter; width - 1],
            held: VecDeque::new(),
            back: VecDeque::new(),
        })
    }

    /// Cuts such lines off the end of `piece`. Whatever else is in it shows that those held before are rows.
    pub fn cut(&mut self, piece: &mut Vec<u8>) {
        let mut found = VecDeque::new();
        let end = self.scan(piece, &mut found);
        if end > 0 {
            self.release();
        }
        if self.held.len() + found.len() > MOST_RUNS {
            return self.release();
        }
        piece.truncate(end);
        self.held.append(&mut found);
    }

    /// Where the last other line of `piece` ends; the lines after it are put into `found`.
    fn scan(&self, piece: &[u8], found: &mut VecDeque<Run>) -> usize {
        let mut end = piece.len();
        while end > 0 {
            let body = end - usize::from(piece[end - 1] == b'\n');
            let start = memchr::memrchr(b'\n', &piece[..body]).map_or(0, |at| at + 1);
            let line = piece[start..body].strip_suffix(b"\r").unwrap_or(&piece[start..body]);
            if !line.is_empty() && line != self.line {
                break;
            }
            match found.front_mut() {
                Some(run) if run.empty == line.is_empty() => run.lines += 1,
                _ => found.push_front(Run { empty: line.is_empty(), lines: 1 }),
            }
            end = start;
        }
        end
    }

    /// The held lines are not the end of the file.
    pub fn release(&mut self) {
        self.back.append(&mut self.held);
    }

    pub fn is_given_back(&self) -> bool {
        self.back.is_empty()
    }

    /// About `most` bytes of the lines that are not the end, in their order.
    pub fn give_back(&mut self, most: usize) -> Option<Vec<u8>> {
        let mut text = Vec::new();
        while let Some(run) = self.back.front_mut() {
            if text.len() >= most {
                break;
            }
            let line: &[u8] = if run.empty { b"" } else { &self.line };
            let lines = run.lines.min(((most - text.len()) / (line.len() + 1)) as u64 + 1);
            (0..lines).for_each(|_| text.extend(line.iter().chain(b"\n")));
            run.lines -= lines;
            if run.lines == 0 {
                self.back.pop_front();
            }
        }
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is given out of pieces, and whether lines are still held at their end.
    fn through(pieces: &[&str], most: usize) -> (String, bool) {
        let mut tail = Tail::new(b',', 3).unwrap();
        let mut out = Vec::new();
        for piece in pieces {
            let mut piece = piece.as_bytes().to_vec();
            tail.cut(&mut piece);
            while let Some(back) = tail.give_back(most) {
                assert!(back.len() <= most + 3, "{}", back.len());
                out.extend(back);
            }
            out.extend(piece);
        }
        (String::from_utf8(out).unwrap(), !tail.held.is_empty())
    }

    #[test]
    fn lines_of_only_delimiters_are_dropped_at_the_end_only() {
        assert_eq!(through(&["1,2,3\n,,\n4,5,6\n,,\n,,\n"], 99), ("1,2,3\n,,\n4,5,6\n".into(), true));
        assert_eq!(through(&["1,2,3\r\n,,\r\n\r\n,,"], 99), ("1,2,3\r\n".into(), true));
        assert_eq!(through(&["1,2,3\n,\n,,,\n"], 99), ("1,2,3\n,\n,,,\n".into(), false));
        assert_eq!(through(&["1,2,\n", ",,\n"], 99), ("1,2,\n".into(), true));
    }

    #[test]
    fn lines_held_over_pieces_come_back_in_order_before_what_follows() {
        for most in [1, 4, 99] {
            let (text, held) = through(&["1,2,3\n,,\n", ",,\n\n,,\n", "\n,,\n4,5,6\n,,\n"], most);
            assert_eq!((text.as_str(), held), ("1,2,3\n,,\n,,\n\n,,\n\n,,\n4,5,6\n", true));
        }
    }

    #[test]
    fn one_column_has_no_such_lines() {
        assert!(Tail::new(b',', 1).is_none());
    }
}
