//! Text in pieces of whole records, in order; and the pass that hands them to several threads.
//!
//! ```text
//! Text ─▶ Pieces (one thread) ─▶ work (each core) ─▶ sink (the caller's thread, in the file's order)
//! ```
//! A piece is begun only while fewer than a fixed number are under way, so memory does not grow with the file.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

use parking_lot::Mutex;

use super::cells::Bad;
use super::csv_split::{Dialect, last_end};
use super::fault::{Fault, Stop};
use super::json_split::Brackets;
use super::tail::Tail;
use super::text::Text;

/// Bytes of a piece.
pub const PIECE_BYTES: usize = 4 << 20;

/// Where records end.
#[derive(Clone, Copy, Debug)]
pub enum Ends {
    Csv(Dialect),
    /// CSV whose lines end in a bare carriage return.
    CsvOfReturns(Dialect),
    Lines,
    Array,
}

/// Cuts text into pieces of whole records.
pub struct Pieces {
    text: Text,
    ends: Ends,
    brackets: Option<Brackets>,
    rest: Vec<u8>,
    record_bytes: usize,
    /// Bytes of text that come before the first record.
    skip: usize,
    ended: bool,
    /// Lines of a CSV file that are no rows if nothing comes after them.
    tail: Option<Tail>,
    /// What comes after lines that turned out to be rows.
    after: Option<Result<Vec<u8>, Record>>,
}

impl Pieces {
    pub fn new(text: Text, ends: Ends, record_bytes: usize, depth: usize) -> Self {
        let brackets = matches!(ends, Ends::Array).then(|| Brackets::new(depth));
        let rest = Vec::new();
        Self { text, ends, brackets, rest, record_bytes, skip: 0, ended: false, tail: None, after: None }
    }

    /// Drops lines of only delimiters at the end of a CSV file of `width` columns.
    #[must_use]
    pub fn without_tail(mut self, delimiter: u8, width: usize) -> Self {
        self.tail = Tail::new(delimiter, width);
        self
    }

    /// Leaves out the first `bytes` of the text: a header.
    #[must_use]
    pub fn skipping(mut self, bytes: usize) -> Self {
        self.skip = bytes;
        self
    }

    /// Whether what was given out is all there is.
    pub fn is_at_end(&self) -> bool {
        let given = self.after.is_none() && self.tail.as_ref().is_none_or(Tail::is_given_back);
        self.ended && self.rest.is_empty() && given
    }

    /// The next piece; `None` at the end. Errors: a record over the cap, named as the record after all before it.
    pub fn next(&mut self) -> Result<Option<Vec<u8>>, Record> {
        loop {
            if let Some(back) = self.tail.as_mut().and_then(|tail| tail.give_back(PIECE_BYTES)) {
                return Ok(Some(back));
            }
            if let Some(after) = self.after.take() {
                return after.map(Some);
            }
            let next = self.whole_records();
            let Some(tail) = &mut self.tail else { return next };
            self.after = match next {
                Ok(Some(mut piece)) => {
                    tail.cut(&mut piece);
                    (!piece.is_empty()).then_some(Ok(piece))
                }
                Err(Record::Bad(bad)) => {
                    tail.release();
                    Some(Err(Record::Bad(bad)))
                }
                end => return end,
            };
        }
    }

    fn whole_records(&mut self) -> Result<Option<Vec<u8>>, Record> {
        let mut piece = std::mem::take(&mut self.rest);
        piece.reserve(PIECE_BYTES.saturating_sub(piece.len()));
        let mut want = PIECE_BYTES;
        while !self.ended {
            let from = piece.len();
            self.ended = !self.text.fill(&mut piece, want)?;
            if matches!(self.ends, Ends::CsvOfReturns(_)) {
                piece[from..].iter_mut().filter(|byte| **byte == b'\r').for_each(|byte| *byte = b'\n');
            }
            if self.skip > 0 {
                piece.drain(..self.skip.min(piece.len()));
                self.skip = 0;
            }
            if self.ended {
                break;
            }
            if let Some(end) = self.last_end(&mut piece)? {
                self.rest = piece.split_off(end);
                return Ok(Some(piece));
            }
            if piece.len() > self.record_bytes {
                return Err(Record::Bad(self.too_long(&piece)));
            }
            want = piece.len() + PIECE_BYTES;
        }
        if let Some(brackets) = &mut self.brackets {
            brackets.end(&mut piece)?;
        }
        Ok((!piece.is_empty()).then_some(piece))
    }

    fn last_end(&mut self, piece: &mut [u8]) -> Result<Option<usize>, Stop> {
        Ok(match (self.ends, &mut self.brackets) {
            (Ends::Csv(dialect) | Ends::CsvOfReturns(dialect), _) => last_end(piece, dialect).0,
            (Ends::Array, Some(brackets)) => brackets.last_end(piece)?,
            _ => memchr::memrchr(b'\n', piece).map(|at| at + 1),
        })
    }

    /// Lines above the first record of `piece`, which no JSON record begins with.
    fn blank_lines(&self, piece: &[u8]) -> u64 {
        match self.ends {
            Ends::Csv(_) | Ends::CsvOfReturns(_) => 0,
            Ends::Lines | Ends::Array => {
                let blank = piece.len() - piece.trim_ascii_start().len();
                memchr::memchr_iter(b'\n', &piece[..blank]).count() as u64
            }
        }
    }

    fn too_long(&self, piece: &[u8]) -> Bad {
        let open = matches!(self.ends, Ends::Csv(dialect) | Ends::CsvOfReturns(dialect) if last_end(piece, dialect).1);
        let hint = if open { "; a quote is never closed" } else { "" };
        let bad = Bad::new(0, None, piece, format!("is longer than {} bytes{hint}", self.record_bytes));
        Bad { lines: Some(self.blank_lines(piece)), ..bad }
    }
}

/// Why there is no next piece.
#[derive(Debug)]
pub enum Record {
    /// The record after all that were given out cannot be taken, and none after it.
    Bad(Bad),
    Stop(Stop),
}

impl From<Stop> for Record {
    fn from(stop: Stop) -> Self {
        Self::Stop(stop)
    }
}

impl From<Fault> for Record {
    fn from(fault: Fault) -> Self {
        Self::Stop(fault.into())
    }
}

/// Pieces under way for each worker thread.
const AHEAD: usize = 2;

/// Runs `work` on every piece on `threads` threads and `sink` on each result in the file's order, on this thread.
/// Errors: the first one in the file's order.
pub fn pass<T: Send>(
    mut pieces: Pieces,
    threads: usize,
    work: impl Fn(Vec<u8>) -> Result<T, Stop> + Sync,
    mut sink: impl FnMut(Result<T, Bad>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let (tickets, turnstile) = sync_channel::<()>(threads * (AHEAD + 1));
    let (hand, taken) = sync_channel(threads);
    let taken = Mutex::new(taken);
    let (send, results) = channel();
    thread::scope(|scope| {
        let failed = send.clone();
        scope.spawn(move || read(&mut pieces, &tickets, &hand, &failed));
        for _ in 0..threads {
            let (send, taken, work) = (send.clone(), &taken, &work);
            scope.spawn(move || work_off(taken, &send, work));
        }
        drop(send);
        let outcome = in_order(&results, &turnstile, &mut sink);
        // Whoever still waits for a ticket, a piece or a taker finds the channel closed and ends.
        drop((results, turnstile));
        taken.lock().iter().for_each(drop);
        outcome
    })
}

type Sent<T> = (u64, Result<T, Record>);

fn read<T>(
    pieces: &mut Pieces,
    tickets: &SyncSender<()>,
    hand: &SyncSender<(u64, Vec<u8>)>,
    failed: &std::sync::mpsc::Sender<Sent<T>>,
) {
    for number in 0.. {
        if tickets.send(()).is_err() {
            return;
        }
        match pieces.next() {
            Ok(Some(piece)) => {
                if hand.send((number, piece)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(why) => {
                let _ = failed.send((number, Err(why)));
                return;
            }
        }
    }
}

fn work_off<T>(
    taken: &Mutex<Receiver<(u64, Vec<u8>)>>,
    send: &std::sync::mpsc::Sender<Sent<T>>,
    work: &impl Fn(Vec<u8>) -> Result<T, Stop>,
) {
    loop {
        let next = taken.lock().recv();
        let Ok((number, piece)) = next else { return };
        if send.send((number, work(piece).map_err(Record::Stop))).is_err() {
            return;
        }
    }
}

fn in_order<T>(
    results: &Receiver<Sent<T>>,
    turnstile: &Receiver<()>,
    sink: &mut impl FnMut(Result<T, Bad>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let (mut waiting, mut next) = (BTreeMap::new(), 0);
    for (number, result) in results {
        waiting.insert(number, result);
        while let Some(result) = waiting.remove(&next) {
            next += 1;
            let _ = turnstile.try_recv();
            match result {
                Ok(done) => sink(Ok(done))?,
                Err(Record::Bad(bad)) => sink(Err(bad))?,
                Err(Record::Stop(stop)) => return Err(stop),
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::text::Encoding;
    use super::*;

    const COMMA: Ends = Ends::Csv(Dialect { delimiter: b',', quote: b'"' });

    fn pieces(text: String, ends: Ends) -> Pieces {
        let text = Text::new(Box::new(std::io::Cursor::new(text.into_bytes())), Encoding::Utf8);
        Pieces::new(text, ends, 16 << 20, 64)
    }

    #[test]
    fn pieces_are_whole_records_and_come_out_in_order() {
        let text: String = (0..1_500_000).map(|n| format!("{n},\"x\ny\"\n")).collect();
        let mut all = String::new();
        let work = |piece: Vec<u8>| Ok(String::from_utf8(piece).unwrap());
        let sink = |piece: Result<String, Bad>| {
            let piece = piece.unwrap();
            assert!(piece.ends_with("y\"\n"));
            all.push_str(&piece);
            Ok(())
        };
        pass(pieces(text.clone(), COMMA), 3, work, sink).unwrap();
        assert!(all == text);
    }

    #[test]
    fn an_endless_record_is_refused_and_the_threads_end() {
        let text = format!("a,b\n\"{}", "x\n".repeat(12 << 20));
        let mut said = String::new();
        let done = pass(pieces(text, COMMA), 2, Ok, |piece| {
            if let Err(bad) = piece {
                said = bad.reason;
                return Err(Fault::malformed("stop").into());
            }
            Ok(())
        });
        assert!(done.is_err() && said.contains("never closed"), "{said}");
    }

    #[test]
    fn a_sink_that_stops_ends_the_pass() {
        let text = "a,b\n".repeat(10 << 20);
        let done = pass(pieces(text, COMMA), 2, Ok, |_| Err(Stop::Misfit));
        assert!(matches!(done, Err(Stop::Misfit)));
    }

    #[test]
    fn carriage_returns_alone_end_lines() {
        let mut pieces =
            pieces("a,b\r1,2\r".into(), Ends::CsvOfReturns(Dialect { delimiter: b',', quote: b'"' }));
        assert_eq!(pieces.next().unwrap().unwrap(), b"a,b\n1,2\n");
        assert!(pieces.next().unwrap().is_none());
    }
}
