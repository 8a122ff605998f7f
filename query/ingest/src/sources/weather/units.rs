//! Units as an answer declares them, and the way to the lake's own: °C, mm, m/s, %.

use crate::sources::SourceError;

/// What a variable measures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quantity {
    /// Stored in °C.
    Temperature,
    /// Stored in mm.
    Length,
    /// Stored in m/s.
    Speed,
    /// Stored in %.
    Share,
}

/// `stored = given * factor + offset`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Conversion {
    factor: f64,
    offset: f64,
}

impl Conversion {
    /// From one unit to another of the same quantity, the second one the lake's own (`degC`, `mm`, `m/s`, `%`) or the same word.
    /// - Errors: why not, in words for the operator.
    pub fn between(given: &str, stored: &str) -> Result<Self, String> {
        if given == stored {
            return Ok(factor(1.0));
        }
        let quantity = match stored {
            "degC" => Quantity::Temperature,
            "mm" => Quantity::Length,
            "m/s" => Quantity::Speed,
            "%" => Quantity::Share,
            _ => return Err(format!("nothing is converted to `{stored}`, and `{given}` is another unit")),
        };
        quantity.in_unit(given).map_err(|_| format!("unknown unit `{given}`, to be converted to `{stored}`"))
    }

    /// The value in the lake's unit.
    pub fn apply(self, given: f64) -> f64 {
        given * self.factor + self.offset
    }
}

impl Quantity {
    /// The conversion from a unit as the answer spells it.
    /// - Errors: [`SourceError::Refused`] for a unit that is not known: a wrong number is worse than none.
    pub fn in_unit(self, unit: &str) -> Result<Conversion, SourceError> {
        let known = match self {
            Self::Temperature => temperature(unit),
            Self::Length => length(unit).map(factor),
            Self::Speed => speed(unit).map(factor),
            Self::Share => (unit == "%").then(|| factor(1.0)),
        };
        known.ok_or_else(|| SourceError::refused(format!("unknown unit `{unit}` for {self:?}")))
    }
}

fn factor(factor: f64) -> Conversion {
    Conversion { factor, offset: 0.0 }
}

fn temperature(unit: &str) -> Option<Conversion> {
    match unit {
        "°C" | "degC" | "celsius" => Some(factor(1.0)),
        "°F" | "degF" | "fahrenheit" => Some(Conversion { factor: 5.0 / 9.0, offset: -160.0 / 9.0 }),
        "K" | "kelvin" => Some(Conversion { factor: 1.0, offset: -273.15 }),
        _ => None,
    }
}

fn length(unit: &str) -> Option<f64> {
    match unit {
        "mm" => Some(1.0),
        "cm" => Some(10.0),
        "inch" | "in" => Some(25.4),
        _ => None,
    }
}

fn speed(unit: &str) -> Option<f64> {
    match unit {
        "m/s" | "ms" => Some(1.0),
        "km/h" | "kmh" => Some(1.0 / 3.6),
        "mp/h" | "mph" | "mi/h" => Some(0.447_04),
        "kn" | "kt" | "knots" => Some(1_852.0 / 3_600.0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_unit_comes_out_in_the_lakes() {
        let cases = [
            (Quantity::Temperature, "°F", 212.0, 100.0),
            (Quantity::Temperature, "degF", 32.0, 0.0),
            (Quantity::Temperature, "K", 273.15, 0.0),
            (Quantity::Length, "inch", 1.0, 25.4),
            (Quantity::Speed, "km/h", 36.0, 10.0),
            (Quantity::Speed, "mp/h", 10.0, 4.4704),
            (Quantity::Speed, "kn", 1.0, 0.514_444),
            (Quantity::Share, "%", 55.0, 55.0),
        ];
        for (quantity, unit, given, stored) in cases {
            let out = quantity.in_unit(unit).unwrap().apply(given);
            assert!((out - stored).abs() < 1e-5, "{given} {unit} gave {out}");
        }
    }

    #[test]
    fn a_column_is_converted_to_its_tables_unit_or_refused() {
        let boiling = Conversion::between("degF", "degC").unwrap().apply(212.0);
        assert!((boiling - 100.0).abs() < 1e-9);
        assert_eq!(Conversion::between("EUR", "EUR").unwrap().apply(7.0), 7.0);
        for (given, stored) in [("cubit", "mm"), ("USD", "EUR"), ("mm", "degC")] {
            assert!(Conversion::between(given, stored).is_err(), "{given} to {stored}");
        }
    }

    #[test]
    fn an_unknown_unit_is_refused() {
        for (quantity, unit) in
            [(Quantity::Speed, "furlong/h"), (Quantity::Temperature, ""), (Quantity::Share, "mm")]
        {
            let refused = quantity.in_unit(unit).unwrap_err().to_string();
            assert!(refused.contains(&format!("`{unit}`")), "{refused}");
        }
    }
}
