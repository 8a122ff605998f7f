//! A tag that need not be made again while nothing it rests on has moved: neither a table nor the time.

use std::ops::Deref;

use chrono::{DateTime, Utc};

use crate::cache::Tag;

/// A tag, and how long it is that of its question.
#[derive(Clone, Debug)]
pub struct Lasting {
    tag: Tag,
    tick: i64,
    from: DateTime<Utc>,
    until: Option<DateTime<Utc>>,
}

impl Lasting {
    /// A tag made at `from`, of the catalog's `tick`, that time alone changes at `until`.
    pub(super) fn new(tag: Tag, tick: i64, from: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Self {
        Self { tag, tick, from, until }
    }

    pub(super) fn lasts(&self, tick: i64, now: DateTime<Utc>) -> bool {
        // A clock that was set back proves nothing.
        tick == self.tick && self.from <= now && self.until.is_none_or(|until| now < until)
    }
}

impl Deref for Lasting {
    type Target = Tag;

    fn deref(&self) -> &Tag {
        &self.tag
    }
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;
    use crate::Format;
    use crate::cache::TagBuilder;

    #[test]
    fn a_tag_lasts_until_a_table_or_the_time_moves_it() {
        let (from, second) = (Utc::now(), TimeDelta::seconds(1));
        let tag = TagBuilder::new("a", "b", Format::Json).finish();
        let lasting = Lasting::new(tag.clone(), 7, from, Some(from + second * 5));
        assert!(lasting.lasts(7, from) && lasting.lasts(7, from + second * 4));
        assert!(!lasting.lasts(8, from), "something was published");
        assert!(!lasting.lasts(7, from + second * 5), "a promise broke");
        assert!(!lasting.lasts(7, from - second), "the clock went back");
        assert!(
            !Lasting::new(tag, 7, from, Some(from)).lasts(7, from),
            "a moment of the past is asked for anew"
        );
    }
}
