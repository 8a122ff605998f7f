//! Dates and instants in text.
//!
//! A text may be a date in more than one way (`03/04/2026`), so reading gives a *set* of layouts; the sets of a whole column are
//! intersected, and a column that leaves both day-first and month-first open stays text: nothing is guessed.

/// Layouts of a date; each is one bit of a [`Layouts`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `2026-11-20`, and the same with `/` and `.`.
    YearFirst,
    /// `20/11/2026`, `20-11-2026`.
    DayFirst,
    /// `11/20/2026`, `11-20-2026`.
    MonthFirst,
    /// `20 Nov 2026`, `20-Nov-2026`, `Nov 20, 2026`.
    Named,
    /// `20.11.2026`: with points the day comes first wherever it is written so.
    Points,
}

/// A set of layouts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layouts(u8);

impl Layouts {
    pub const fn only(layout: Layout) -> Self {
        Self(1 << layout as u8)
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn has(self, layout: Layout) -> bool {
        self.0 & (1 << layout as u8) != 0
    }

    /// The one layout that is left, if only one is.
    pub fn single(self) -> Option<Layout> {
        const EACH: [Layout; 5] =
            [Layout::YearFirst, Layout::DayFirst, Layout::MonthFirst, Layout::Named, Layout::Points];
        let mut left = EACH.into_iter().filter(|layout| self.has(*layout));
        match (left.next(), left.next()) {
            (Some(layout), None) => Some(layout),
            _ => None,
        }
    }
}

/// What a text says about time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Ways in which the date can be read.
    pub layouts: Layouts,
    /// Three numbers in the order they stand; year first for [`Layout::YearFirst`], else day or month first.
    parts: (i32, u32, u32),
    /// Microseconds since midnight, where a time of day is there.
    pub time: Option<i64>,
    /// Offset from UTC in seconds, where one is there.
    pub offset: Option<i32>,
}

const DAY_MICROS: i64 = 86_400_000_000;

impl Moment {
    /// Reads `text`; `None` where it is no date by any layout.
    #[inline]
    pub fn of(text: &[u8]) -> Option<Self> {
        if text.len() < 8 || text.len() > 40 {
            return None;
        }
        let (date, rest) = match text[0].is_ascii_digit() {
            true => numbered(text)?,
            false if begins_month(text) => named_month_first(text)?,
            false => return None,
        };
        match rest {
            [] => Some(date),
            [b'T' | b't' | b' ', clock @ ..] => date.at(clock),
            _ => None,
        }
    }

    /// Days since 1970-01-01 when read by `layout`.
    #[inline]
    pub fn days(&self, layout: Layout) -> Option<i32> {
        if !self.layouts.has(layout) {
            return None;
        }
        let (a, b, c) = self.parts;
        match layout {
            Layout::YearFirst => days_from_civil(a, b, c),
            Layout::MonthFirst => days_from_civil(c.cast_signed(), a.cast_unsigned(), b),
            Layout::DayFirst | Layout::Named | Layout::Points => {
                days_from_civil(c.cast_signed(), b, a.cast_unsigned())
            }
        }
    }

    /// Microseconds since 1970-01-01T00:00:00Z when read by `layout`; without an offset the text is taken as UTC, without a time as midnight.
    #[inline]
    pub fn micros(&self, layout: Layout) -> Option<i64> {
        let midnight = i64::from(self.days(layout)?) * DAY_MICROS;
        Some(midnight + self.time.unwrap_or(0) - i64::from(self.offset.unwrap_or(0)) * 1_000_000)
    }

    /// Days since 1970-01-01 of the UTC day that the instant of [`Self::micros`] is in.
    pub fn utc_day(&self, layout: Layout) -> Option<i32> {
        i32::try_from(self.micros(layout)?.div_euclid(DAY_MICROS)).ok()
    }

    fn at(mut self, clock: &[u8]) -> Option<Self> {
        let (time, offset) = read_clock(clock)?;
        self.time = Some(time);
        self.offset = offset;
        Some(self)
    }

    fn new(layouts: Layouts, parts: (i32, u32, u32)) -> Option<Self> {
        let mut moment = Self { layouts, parts, time: None, offset: None };
        for layout in [Layout::YearFirst, Layout::DayFirst, Layout::MonthFirst, Layout::Named, Layout::Points]
        {
            if layouts.has(layout) && moment.days(layout).is_none() {
                moment.layouts = Layouts(moment.layouts.0 & !Layouts::only(layout).0);
            }
        }
        (!moment.layouts.is_empty()).then_some(moment)
    }
}

/// A date that begins with a digit, and what follows it.
#[inline]
fn numbered(text: &[u8]) -> Option<(Moment, &[u8])> {
    let (first, width, rest) = number(text, 4)?;
    let (mark, rest) = separator(rest)?;
    if mark != b'.' && mark != b'/' && rest.first().is_some_and(u8::is_ascii_alphabetic) {
        return named_day_first(first, width, mark, rest);
    }
    if mark == b' ' {
        return None;
    }
    let (second, second_width, rest) = number(rest, 2)?;
    let rest = rest.strip_prefix(&[mark])?;
    let (third, third_width, rest) = number(rest, 4)?;
    let date = match (width, third_width, mark) {
        (4, 1 | 2, _) if second_width <= 2 => {
            Moment::new(Layouts::only(Layout::YearFirst), (first.cast_signed(), second, third))?
        }
        (1 | 2, 4, b'.') => Moment::new(Layouts::only(Layout::Points), (first.cast_signed(), second, third))?,
        (1 | 2, 4, _) => {
            let either = Layouts(Layouts::only(Layout::DayFirst).0 | Layouts::only(Layout::MonthFirst).0);
            Moment::new(either, (first.cast_signed(), second, third))?
        }
        _ => return None,
    };
    Some((date, rest))
}

/// `20 Nov 2026`, `20-Nov-2026`.
fn named_day_first(day: u32, width: usize, mark: u8, text: &[u8]) -> Option<(Moment, &[u8])> {
    let (month, rest) = month_name(text)?;
    let rest = rest.strip_prefix(&[mark])?;
    let (year, year_width, rest) = number(rest, 4)?;
    if width > 2 || year_width != 4 {
        return None;
    }
    Some((Moment::new(Layouts::only(Layout::Named), (day.cast_signed(), month, year))?, rest))
}

/// `Nov 20, 2026`, `November 20 2026`.
fn named_month_first(text: &[u8]) -> Option<(Moment, &[u8])> {
    let (month, rest) = month_name(text)?;
    let (day, _, rest) = number(rest.strip_prefix(b" ")?, 2)?;
    let rest = rest.strip_prefix(b",").unwrap_or(rest);
    let (year, width, rest) = number(rest.strip_prefix(b" ")?, 4)?;
    if width != 4 {
        return None;
    }
    Some((Moment::new(Layouts::only(Layout::Named), (day.cast_signed(), month, year))?, rest))
}

const MONTHS: [&[u8]; 12] = [
    b"january",
    b"february",
    b"march",
    b"april",
    b"may",
    b"june",
    b"july",
    b"august",
    b"september",
    b"october",
    b"november",
    b"december",
];

/// Whether a text begins as a month name does: nearly all words are told apart by this alone.
#[inline]
fn begins_month(text: &[u8]) -> bool {
    let Some([a, b, c]) = text.first_chunk() else { return false };
    let lower = [a | 0x20, b | 0x20, c | 0x20];
    matches!(
        &lower,
        b"jan"
            | b"feb"
            | b"mar"
            | b"apr"
            | b"may"
            | b"jun"
            | b"jul"
            | b"aug"
            | b"sep"
            | b"oct"
            | b"nov"
            | b"dec"
    )
}

/// An English month name, whole or its first three letters.
fn month_name(text: &[u8]) -> Option<(u32, &[u8])> {
    let length = text.iter().position(|b| !b.is_ascii_alphabetic()).unwrap_or(text.len());
    let (word, rest) = text.split_at(length);
    let is_month = |name: &&[u8]| word.eq_ignore_ascii_case(name) || word.eq_ignore_ascii_case(&name[..3]);
    let month = MONTHS.iter().position(is_month)?;
    Some((u32::try_from(month).ok()? + 1, rest))
}

#[inline]
fn separator(text: &[u8]) -> Option<(u8, &[u8])> {
    match text.split_first() {
        Some((mark @ (b'-' | b'/' | b'.' | b' '), rest)) => Some((*mark, rest)),
        _ => None,
    }
}

/// Up to `most` digits: value, how many, and the rest.
#[inline]
fn number(text: &[u8], most: usize) -> Option<(u32, usize, &[u8])> {
    let width = text.iter().take(most).position(|b| !b.is_ascii_digit()).unwrap_or(most.min(text.len()));
    let value = text[..width].iter().fold(0, |value, digit| value * 10 + u32::from(digit - b'0'));
    (width > 0).then_some((value, width, &text[width..]))
}

/// `HH:MM[:SS[.fraction]][ AM|PM][Z|±HH[:]MM|±HH]`: microseconds since midnight and offset in seconds.
#[inline]
fn read_clock(text: &[u8]) -> Option<(i64, Option<i32>)> {
    let (hour, _, rest) = number(text, 2)?;
    let (minute, width, mut rest) = number(rest.strip_prefix(b":")?, 2)?;
    let (mut second, mut micros) = (0, 0);
    if let Some(after) = rest.strip_prefix(b":") {
        let (value, digits, after) = number(after, 2)?;
        (second, rest) = (value, after);
        if digits != 2 {
            return None;
        }
        if let Some((b'.' | b',', after)) = rest.split_first() {
            (micros, rest) = fraction(after)?;
        }
    }
    let (hour, rest) = half_of_day(hour, rest)?;
    if width != 2 || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let time = i64::from(hour * 3_600 + minute * 60 + second) * 1_000_000 + micros;
    Some((time, read_offset(rest)?))
}

/// Up to nine digits of a second's fraction, in microseconds; what is finer is cut.
fn fraction(text: &[u8]) -> Option<(i64, &[u8])> {
    let width = text.iter().take(9).take_while(|b| b.is_ascii_digit()).count();
    let kept = text[..width.min(6)].iter().fold(0i64, |value, digit| value * 10 + i64::from(digit - b'0'));
    let scale = 10i64.pow(6 - u32::try_from(width.min(6)).ok()?);
    (width > 0).then_some((kept * scale, &text[width..]))
}

fn half_of_day(hour: u32, rest: &[u8]) -> Option<(u32, &[u8])> {
    let word = rest.strip_prefix(b" ").unwrap_or(rest);
    let after = word.get(2..).unwrap_or_default();
    match word.get(..2) {
        Some(half) if half.eq_ignore_ascii_case(b"am") => {
            (1..=12).contains(&hour).then_some((hour % 12, after))
        }
        Some(half) if half.eq_ignore_ascii_case(b"pm") => {
            (1..=12).contains(&hour).then_some((hour % 12 + 12, after))
        }
        _ => Some((hour, rest)),
    }
}

/// Nothing, `Z`, `UTC`, or an offset of at most 14 hours. `None` where something else follows.
#[expect(clippy::option_option, reason = "outer: readable, inner: an offset is there")]
fn read_offset(text: &[u8]) -> Option<Option<i32>> {
    let text = text.strip_prefix(b" ").unwrap_or(text);
    let (sign, digits) = match text.split_first() {
        None => return Some(None),
        Some((b'Z' | b'z', [])) => return Some(Some(0)),
        Some((b'U', b"TC")) => return Some(Some(0)),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let (hours, width, rest) = number(digits, 2)?;
    let rest = rest.strip_prefix(b":").unwrap_or(rest);
    let (minutes, minute_width, rest) = if rest.is_empty() { (0, 2, rest) } else { number(rest, 2)? };
    let fits = width == 2 && minute_width == 2 && rest.is_empty() && hours <= 14 && minutes < 60;
    fits.then(|| Some(sign * (hours * 3_600 + minutes * 60).cast_signed()))
}

/// Days since 1970-01-01 of a day of the Gregorian calendar, years 1 to 9999.
#[inline]
fn days_from_civil(year: i32, month: u32, day: u32) -> Option<i32> {
    const LENGTHS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    if !(1..=9_999).contains(&year)
        || !(1..=12).contains(&month)
        || day == 0
        || day > LENGTHS[month as usize - 1]
    {
        return None;
    }
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    if month == 2 && day == 29 && !leap {
        return None;
    }
    // Years begin in March, so that the leap day is the last of its year; eras are of 400 years.
    let year = if month <= 2 { year - 1 } else { year };
    let (month, day) = (month.cast_signed(), day.cast_signed());
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    Some(era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Datelike, NaiveDate};

    #[test]
    fn every_day_counts_as_the_calendar_counts() {
        let epoch = NaiveDate::from_ymd_opt(1970, 1, 1).unwrap();
        let mut day = NaiveDate::from_ymd_opt(1899, 12, 1).unwrap();
        while day.year() < 2105 {
            let expected = i32::try_from((day - epoch).num_days()).unwrap();
            assert_eq!(days_from_civil(day.year(), day.month(), day.day()), Some(expected));
            day = day.succ_opt().unwrap();
        }
        for (year, month, day) in [
            (2023, 2, 29),
            (1900, 2, 29),
            (2024, 4, 31),
            (2024, 13, 1),
            (0, 1, 1),
            (2024, 0, 1),
            (2024, 1, 0),
        ] {
            assert_eq!(days_from_civil(year, month, day), None);
        }
    }

    #[test]
    fn an_unclear_date_is_both_and_a_clear_one_is_not() {
        let both = Moment::of(b"03/04/2026").unwrap().layouts;
        assert!(both.has(Layout::DayFirst) && both.has(Layout::MonthFirst) && both.single().is_none());
        assert_eq!(Moment::of(b"13/04/2026").unwrap().layouts.single(), Some(Layout::DayFirst));
        assert_eq!(Moment::of(b"04-13-2026").unwrap().layouts.single(), Some(Layout::MonthFirst));
        assert_eq!(Moment::of(b"13/13/2026"), None);
        assert_eq!(Moment::of(b"01.02.2026").unwrap().layouts.single(), Some(Layout::Points));
    }

    #[test]
    fn common_layouts_give_the_same_day() {
        let expected = Moment::of(b"2026-11-20").unwrap().days(Layout::YearFirst);
        for (text, layout) in [
            ("2026/11/20", Layout::YearFirst),
            ("2026.11.20", Layout::YearFirst),
            ("20.11.2026", Layout::Points),
            ("20/11/2026", Layout::DayFirst),
            ("11/20/2026", Layout::MonthFirst),
            ("20 Nov 2026", Layout::Named),
            ("20-nov-2026", Layout::Named),
            ("November 20, 2026", Layout::Named),
        ] {
            assert_eq!(Moment::of(text.as_bytes()).and_then(|m| m.days(layout)), expected, "{text}");
        }
    }

    #[test]
    fn instants_are_what_rfc_3339_says() {
        for text in [
            "2026-11-20T14:00:03Z",
            "2026-11-20T14:00:03.25Z",
            "2026-11-20T14:00:03.123456789+05:30",
            "2026-02-28T23:59:59-11:00",
        ] {
            let expected = DateTime::parse_from_rfc3339(text).unwrap().timestamp_micros();
            assert_eq!(
                Moment::of(text.as_bytes()).unwrap().micros(Layout::YearFirst),
                Some(expected),
                "{text}"
            );
        }
        let noon = Moment::of(b"11/20/2026 12:30 PM").unwrap();
        assert_eq!(noon.time, Some(45_000_000_000));
        assert_eq!(Moment::of(b"11/20/2026 12:30 am").unwrap().time, Some(1_800_000_000));
        assert_eq!(Moment::of(b"2026-11-20 14:00:03 UTC").unwrap().offset, Some(0));
        assert_eq!(Moment::of(b"2026-11-20 14:00:03+0100").unwrap().offset, Some(3_600));
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "2026-11",
            "20261120",
            "2026-11-20T",
            "2026-11-20T25:00",
            "2026-11-20 14:60",
            "20/11/26",
            "2026-1-1x",
            "1.2.3.4",
            "12:30:00",
            "2026-11/20",
            "Nov 2026",
            "999.123.456",
            "2026-11-20T14:00:03+99:00",
            "١٢/١١/٢٠٢٦",
            "2026-11-20T14:00:60Z",
        ] {
            assert_eq!(Moment::of(text.as_bytes()), None, "{text}");
        }
    }
}
