//! What the numbers of one column have in common as read by one decimal mark, and the type that follows.

use super::facts::Reading;
use super::number::Shape;
use super::tally::Tally;
use super::types::{DECIMAL_DIGITS, Type};

/// Significant digits that every double keeps.
const DOUBLE_DIGITS: u16 = 15;
/// Significant digits beyond which no program prints a double.
const PRINTED_DIGITS: u16 = 17;

/// A column's values as read by one decimal mark.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Numerals {
    facts: Option<Numbers>,
    pub numbers: Tally,
    /// Just text.
    pub others: Tally,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Numbers {
    whole_digits: u16,
    min_scale: u16,
    max_scale: u16,
    significant: u16,
    exponent: bool,
    /// A point, or `-0`.
    fraction: bool,
    beyond_bigint: bool,
    rounded_whole: bool,
}

impl Numerals {
    /// The value of record `at`: a number of this shape, or just text.
    #[inline]
    pub fn see(&mut self, at: u64, text: &[u8], shape: Option<&Shape>) {
        let Some(shape) = shape else { return self.others.see(at, text) };
        self.numbers.see(at, text);
        let new = Numbers {
            whole_digits: shape.whole_digits,
            min_scale: shape.scale,
            max_scale: shape.scale,
            significant: shape.significant,
            exponent: shape.exponent,
            fraction: shape.point || shape.is_negative_zero(),
            beyond_bigint: shape.is_whole() && shape.bigint().is_none(),
            rounded_whole: shape.is_rounded_by_double(),
        };
        self.facts = Some(self.facts.map_or(new, |old| old.and(&new)));
    }

    /// Adds values of records that come after `before` others.
    pub fn merge(&mut self, other: &Self, before: u64) {
        self.numbers.merge(&other.numbers, before);
        self.others.merge(&other.others, before);
        self.facts = either(self.facts, other.facts, |a, b| a.and(&b));
    }

    /// How the numbers are read, if there are any; `specials` stand among them.
    pub fn reading(&self, specials: bool) -> Option<Reading> {
        self.facts.map(|numbers| numbers.reading(specials))
    }
}

/// What both have in common; where there is only one, what that has.
pub fn either<T: Copy>(a: Option<T>, b: Option<T>, both: impl Fn(T, T) -> T) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(both(a, b)),
        (a, b) => a.or(b),
    }
}

impl Numbers {
    #[inline]
    fn and(&self, other: &Self) -> Self {
        Self {
            whole_digits: self.whole_digits.max(other.whole_digits),
            min_scale: self.min_scale.min(other.min_scale),
            max_scale: self.max_scale.max(other.max_scale),
            significant: self.significant.max(other.significant),
            exponent: self.exponent | other.exponent,
            fraction: self.fraction | other.fraction,
            beyond_bigint: self.beyond_bigint | other.beyond_bigint,
            rounded_whole: self.rounded_whole | other.rounded_whole,
        }
    }

    /// Bigint where all are whole and fit; decimal where a double would lose digits and the scale is fixed or too long to have been
    /// printed from a double; else double.
    fn reading(&self, specials: bool) -> Reading {
        let double = Reading::of(Type::Double);
        if self.exponent || specials {
            return double;
        }
        let digits = self.whole_digits + self.max_scale;
        let fits_decimal = digits <= u16::from(DECIMAL_DIGITS);
        let decimal = Reading::of(Type::Decimal {
            precision: digits.clamp(1, 38) as u8,
            scale: self.max_scale.min(38) as u8,
        });
        match self.fraction {
            false if !self.beyond_bigint => Reading::of(Type::Bigint),
            false if fits_decimal => decimal,
            false => Reading::of(Type::Text),
            true if self.significant <= DOUBLE_DIGITS => Reading { digits: DOUBLE_DIGITS, ..double },
            true if self.min_scale == self.max_scale && self.max_scale > 0 && fits_decimal => decimal,
            true if (self.rounded_whole || self.significant > PRINTED_DIGITS) && fits_decimal => decimal,
            true if self.rounded_whole || self.significant > PRINTED_DIGITS => double,
            true => Reading { digits: PRINTED_DIGITS, ..double },
        }
    }
}
