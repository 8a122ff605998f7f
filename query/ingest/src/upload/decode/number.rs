//! Numbers in text: what shape a text has, and its exact value. Never by regular expression, never through a locale.
//!
//! Grammar: `-? (0 | [1-9][0-9]*)? (. [0-9]*)? ([eE] [+-]? [0-9]+)?` with a digit somewhere. A leading zero (`007`), a plus sign, a
//! thousands separator and a lone point are text: an id or a phone number must not lose a character.

/// The shape of a number, from one look at its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    pub negative: bool,
    /// Digits before the point (`0` counts as none).
    pub whole_digits: u16,
    /// Digits after the point.
    pub scale: u16,
    /// Digits from the first that is not zero.
    pub significant: u16,
    /// Has an exponent, so its scale says nothing.
    pub exponent: bool,
    /// Has a point.
    pub point: bool,
    /// The first 19 digits as an integer.
    mantissa: u64,
}

/// Powers of ten that a double holds exactly.
const EXACT_TEN: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Integers up to here are exact in a double.
const EXACT_INTEGER: u64 = 1 << 53;

impl Shape {
    /// The shape of `text`, or `None` where it is no number by the grammar above.
    #[inline]
    pub fn of(text: &[u8]) -> Option<Self> {
        let (negative, digits) = match text.split_first() {
            Some((b'-', rest)) => (true, rest),
            _ => (false, text),
        };
        let whole = leading_digits(digits);
        if whole > 1 && digits.first() == Some(&b'0') {
            return None;
        }
        let mut shape = Self {
            negative,
            whole_digits: 0,
            scale: 0,
            significant: 0,
            exponent: false,
            point: false,
            mantissa: 0,
        };
        shape.take(&digits[..whole]);
        shape.whole_digits = shape.significant;
        let mut rest = &digits[whole..];
        let mut fraction = 0;
        if let Some((b'.', after)) = rest.split_first() {
            fraction = leading_digits(after);
            shape.point = true;
            shape.take(&after[..fraction]);
            shape.scale = u16::try_from(fraction).ok()?;
            rest = &after[fraction..];
        }
        if whole + fraction == 0 {
            return None;
        }
        match rest.split_first() {
            None => Some(shape),
            Some((b'e' | b'E', power)) if is_power(power) => Some(Self { exponent: true, ..shape }),
            Some(_) => None,
        }
    }

    #[inline]
    fn take(&mut self, digits: &[u8]) {
        for digit in digits {
            let digit = u64::from(digit - b'0');
            if self.significant > 0 || digit > 0 {
                self.significant = self.significant.saturating_add(1);
                if self.significant <= 19 {
                    self.mantissa = self.mantissa.wrapping_mul(10).wrapping_add(digit);
                }
            }
        }
    }

    /// Neither point nor exponent.
    #[inline]
    pub fn is_whole(&self) -> bool {
        !self.point && !self.exponent
    }

    /// `-0`, which only a double can hold.
    #[inline]
    pub fn is_negative_zero(&self) -> bool {
        self.negative && self.significant == 0
    }

    /// The value as a 64-bit integer, where it is one.
    #[inline]
    pub fn bigint(&self) -> Option<i64> {
        if !self.is_whole() || self.significant > 19 {
            return None;
        }
        match self.negative {
            false => i64::try_from(self.mantissa).ok(),
            true => 0i64.checked_sub_unsigned(self.mantissa),
        }
    }

    /// A whole number that a double would round.
    #[inline]
    pub fn is_rounded_by_double(&self) -> bool {
        self.is_whole() && self.significant > 15 && !self.is_exact_integer()
    }

    fn is_exact_integer(&self) -> bool {
        self.significant <= 19 && (self.mantissa <= EXACT_INTEGER || self.mantissa.trailing_zeros() >= 11)
    }

    /// The nearest double; `text` is what the shape was taken from. `None` where it is too large for one.
    #[inline]
    pub fn double(&self, text: &[u8]) -> Option<f64> {
        // Clinger's fast path: both parts exact, so one division rounds once.
        if !self.exponent && self.significant <= 19 && self.mantissa <= EXACT_INTEGER && self.scale <= 22 {
            let value = self.mantissa as f64 / EXACT_TEN[usize::from(self.scale)];
            return Some(if self.negative { -value } else { value });
        }
        let value: f64 = std::str::from_utf8(text).ok()?.parse().ok()?;
        value.is_finite().then_some(value)
    }
}

#[inline]
fn leading_digits(text: &[u8]) -> usize {
    text.iter().position(|b| !b.is_ascii_digit()).unwrap_or(text.len())
}

fn is_power(text: &[u8]) -> bool {
    let digits = text.strip_prefix(b"+").or_else(|| text.strip_prefix(b"-")).unwrap_or(text);
    (1..=4).contains(&digits.len()) && digits.iter().all(u8::is_ascii_digit)
}

/// The exact value of `text` times ten to the `scale`, where it has at most `precision` digits and no more than `scale` after the point
/// (zeros at the end do not count). Exponents are refused: they are not how exact numbers are written.
pub fn decimal(text: &[u8], precision: u8, scale: u8) -> Option<i128> {
    let shape = Shape::of(text).filter(|shape| !shape.exponent)?;
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let (whole, fraction) = match memchr::memchr(b'.', digits) {
        Some(point) => (&digits[..point], &digits[point + 1..]),
        None => (digits, &[][..]),
    };
    let fraction = trim_zeros(fraction);
    if fraction.len() > usize::from(scale)
        || usize::from(shape.whole_digits) + usize::from(scale) > usize::from(precision)
    {
        return None;
    }
    let padding = usize::from(scale) - fraction.len();
    let digits = whole.iter().chain(fraction).copied().chain(std::iter::repeat_n(b'0', padding));
    let value = digits.fold(0i128, |value, digit| value * 10 + i128::from(digit - b'0'));
    Some(if shape.negative { -value } else { value })
}

fn trim_zeros(digits: &[u8]) -> &[u8] {
    let end = digits.iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    &digits[..end]
}

/// `NaN` and the infinities, as programs write them.
pub fn special(text: &[u8]) -> Option<f64> {
    match text {
        b"NaN" | b"nan" | b"NAN" => Some(f64::NAN),
        b"inf" | b"Inf" | b"INF" | b"Infinity" | b"infinity" => Some(f64::INFINITY),
        b"-inf" | b"-Inf" | b"-INF" | b"-Infinity" | b"-infinity" => Some(f64::NEG_INFINITY),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_looks_like_an_id_or_a_phone_number_is_no_number() {
        for text in [
            "007", "-007", "00", "00.5", "+49123", "1,000", "1 000", "1_000", ".", "-", "-.", "", "1e", "e5",
            "1.2.3", "0x1F", "1e99999", "١",
        ] {
            assert_eq!(Shape::of(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn integers_are_exact_to_their_limits() {
        for value in [0, 1, -1, 10, i64::MAX, i64::MIN, 9_007_199_254_740_993] {
            let text = value.to_string();
            assert_eq!(Shape::of(text.as_bytes()).unwrap().bigint(), Some(value));
        }
        for text in ["9223372036854775808", "-9223372036854775809", "123456789012345678901", "1.0", "1e3"] {
            assert_eq!(Shape::of(text.as_bytes()).unwrap().bigint(), None, "{text}");
        }
    }

    #[test]
    fn doubles_are_what_the_standard_library_reads() {
        let texts = [
            "0",
            "-0",
            "0.5",
            "-0.5",
            ".5",
            "5.",
            "1.1",
            "123456.789",
            "1e10",
            "2.5E-7",
            "-1.7976931348623157e308",
            "0.1234567890123456789",
            "9007199254740993",
            "123456789012345678901234567890",
            "5e-324",
            "0.000000000000000000000001",
            "97.2400000000",
        ];
        for text in texts {
            let expected: f64 = text.parse().unwrap();
            let got = Shape::of(text.as_bytes()).unwrap().double(text.as_bytes()).unwrap();
            assert_eq!(got.to_bits(), expected.to_bits(), "{text}");
        }
        assert_eq!(Shape::of(b"1e400").unwrap().double(b"1e400"), None);
    }

    #[test]
    fn a_whole_number_that_a_double_rounds_is_noticed() {
        assert!(Shape::of(b"9007199254740993").unwrap().is_rounded_by_double());
        assert!(Shape::of(b"99999999999999999999").unwrap().is_rounded_by_double());
        assert!(!Shape::of(b"9007199254740992").unwrap().is_rounded_by_double());
        assert!(!Shape::of(b"123").unwrap().is_rounded_by_double());
    }

    #[test]
    fn decimals_are_exact_or_refused() {
        assert_eq!(decimal(b"12.30", 10, 2), Some(1230));
        assert_eq!(decimal(b"-0.05", 10, 2), Some(-5));
        assert_eq!(decimal(b"12.3000", 4, 2), Some(1230));
        assert_eq!(decimal(b"7", 3, 2), Some(700));
        assert_eq!(decimal(b"12345678901234567890.12", 38, 2), Some(1_234_567_890_123_456_789_012));
        assert_eq!(decimal(&[b'9'; 38], 38, 0), Some(10i128.pow(38) - 1));
        for (text, precision, scale) in
            [("12.345", 10, 2), ("100", 4, 2), ("1e2", 10, 2), ("abc", 10, 2), ("", 10, 2)]
        {
            assert_eq!(decimal(text.as_bytes(), precision, scale), None, "{text}");
        }
    }
}
