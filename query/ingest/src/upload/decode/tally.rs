//! How many values of a column are of one kind, and the first of them with its record.

/// Bytes of a first value: forty characters of any script.
const KEPT_BYTES: usize = 160;

/// Values of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    count: u64,
    first: Option<First>,
}

/// The first of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct First {
    /// Its record, from 0.
    pub at: u64,
    /// Its text, cut.
    pub value: Vec<u8>,
}

impl Tally {
    #[inline]
    pub fn see(&mut self, at: u64, text: &[u8]) {
        if self.count == 0 {
            self.keep(at, text);
        }
        self.count += 1;
    }

    #[cold]
    fn keep(&mut self, at: u64, text: &[u8]) {
        self.first = Some(First { at, value: text[..text.len().min(KEPT_BYTES)].to_vec() });
    }

    #[inline]
    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn first(&self) -> Option<&First> {
        self.first.as_ref()
    }

    /// Adds values of records that come after `before` others.
    pub fn merge(&mut self, other: &Self, before: u64) {
        self.count += other.count;
        if self.first.is_none() {
            self.first = other.first.clone().map(|first| First { at: first.at + before, ..first });
        }
    }

    /// Turns the first one's row into its record.
    pub fn place(&mut self, record_of: impl Fn(u64) -> u64) {
        if let Some(first) = &mut self.first {
            first.at = record_of(first.at);
        }
    }
}
