//! Lengths of time as the lake's TOML writes them: `90s`, `15m`, `2h`, `3d`.

use std::time::Duration;

use serde::{Deserialize, Deserializer};

/// A length of time, written as a whole number and one of `s`, `m`, `h`, `d`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Period(pub Duration);

impl Period {
    /// Errors: the words for a person when the text is no such period.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("`{text}` is no period: write a whole number and s, m, h or d, as in `90m`");
        let unit = text.chars().last().ok_or_else(wrong)?;
        let number: u64 = text[..text.len() - unit.len_utf8()].parse().map_err(|_| wrong())?;
        let seconds = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return Err(wrong()),
        };
        Ok(Self(Duration::from_secs(number.saturating_mul(seconds))))
    }

    /// Whole seconds.
    pub fn seconds(self) -> i64 {
        i64::try_from(self.0.as_secs()).unwrap_or(i64::MAX)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_period_is_a_number_and_a_unit() {
        assert_eq!(Period::parse("90m").unwrap().seconds(), 5_400);
        assert_eq!(Period::parse("2d").unwrap().seconds(), 172_800);
        for wrong in ["", "m", "90", "1w", "-1h", "1.5h", "1µ"] {
            assert!(Period::parse(wrong).is_err(), "{wrong}");
        }
    }
}
