//! Why a column that looks like numbers or dates stayed text, in words for its uploader.

use super::facts::Facts;
use super::fault::shown;
use super::marks::Found;
use super::numerals::Numerals;
use super::tally::{First, Tally};
use super::types::Type;
use crate::upload::DecimalMark;

/// Characters of a value that a note repeats.
const SHOWN_CHARS: usize = 40;

/// Why this column is text: said where more than half of its values are of one narrower type, or its numbers could be read in two ways.
pub fn note(facts: &Facts, found: Found) -> Option<String> {
    if facts.reading(found).of != Type::Text {
        return None;
    }
    let why = two_ways(facts).or_else(|| other_mark(facts, found)).or_else(|| mostly(facts, found))?;
    Some(format!("text because {why}"))
}

fn two_ways(facts: &Facts) -> Option<String> {
    let first = facts.twofold.first().filter(|_| facts.is_twofold())?;
    Some(format!(
        "{}, which can be read with a decimal point and with a decimal comma; send `decimal` as `point` or `comma`",
        place(first)
    ))
}

/// A column of decimal points in a file of decimal commas.
fn other_mark(facts: &Facts, found: Found) -> Option<String> {
    let contradicts = found.mark == DecimalMark::Comma && facts.needs_point();
    contradicts
        .then(|| "its numbers have a decimal point and those of another column a decimal comma".to_owned())
}

fn mostly(facts: &Facts, found: Found) -> Option<String> {
    let marks = [DecimalMark::Point, DecimalMark::Comma].into_iter();
    let marks = marks.filter(|mark| *mark == found.mark || facts.is_either());
    let numbers = marks.max_by_key(|mark| (facts.by(*mark).numbers.count(), *mark == found.mark));
    let numerals = facts.by(numbers.unwrap_or_default());
    let many = |count: u64| count * 2 > values(facts, numerals);
    let (bools, dates, specials) = (&facts.bools, &facts.dates, &facts.specials);
    let others = &numerals.others;
    if numerals.numbers.count() > 0 && many(numerals.numbers.count() + specials.count()) {
        let long = || "its numbers have more digits than a decimal holds".to_owned();
        return Some(breaking(&[others, bools, dates]).unwrap_or_else(long));
    }
    if many(dates.count()) {
        let breaking = breaking(&[others, &numerals.numbers, bools, specials]);
        return breaking.or_else(|| facts.unclear_dates().map(str::to_owned));
    }
    many(bools.count()).then(|| breaking(&[others, &numerals.numbers, dates, specials])).flatten()
}

/// Values of the column when it is text.
fn values(facts: &Facts, numerals: &Numerals) -> u64 {
    let tallies = [&numerals.numbers, &numerals.others, &facts.bools, &facts.dates, &facts.specials];
    tallies.iter().map(|tally| tally.count()).sum::<u64>() + facts.quoted_nulls
}

/// The first value of any of these kinds.
fn breaking(kinds: &[&Tally]) -> Option<String> {
    kinds.iter().filter_map(|kind| kind.first()).min_by_key(|first| first.at).map(place)
}

fn place(first: &First) -> String {
    let value: String = shown(&first.value).chars().take(SHOWN_CHARS).collect();
    format!("row {} is \"{value}\"", first.at + 1)
}

#[cfg(test)]
mod tests {
    use super::super::cells::Kind;
    use super::super::marks::Written;
    use super::*;

    fn of(written: Written, found: Found, values: &[&str]) -> Option<String> {
        let mut facts = Facts::new(written);
        (0..).zip(values).for_each(|(at, value)| facts.see(at, Kind::Plain, value.as_bytes()));
        note(&facts, found)
    }

    fn plain(values: &[&str]) -> Option<String> {
        of(Written::Point, Found::default(), values)
    }

    #[test]
    fn the_first_value_that_breaks_a_narrower_type_is_named() {
        assert_eq!(plain(&["1", "2", "", "abc", "x"]).as_deref(), None);
        assert_eq!(plain(&["1", "2", "", "abc"]).as_deref(), Some("text because row 4 is \"abc\""));
        assert_eq!(plain(&["007", "1", "2"]).as_deref(), Some("text because row 1 is \"007\""));
        assert_eq!(
            plain(&["2026-01-01", "2026-01-02", "soon"]).as_deref(),
            Some("text because row 3 is \"soon\"")
        );
        assert_eq!(plain(&["true", "false", "1"]).as_deref(), Some("text because row 3 is \"1\""));
        assert_eq!(
            plain(&["1", "2", "3", "2026-01-01", "x"]).as_deref(),
            Some("text because row 4 is \"2026-01-01\"")
        );
        let long = "\u{e4}".repeat(90);
        assert_eq!(plain(&["1", "2", &long]).unwrap(), format!("text because row 3 is \"{}\"", &long[..80]));
    }

    #[test]
    fn no_note_stands_where_nothing_looks_narrower() {
        for values in [&["a", "b", "1"][..], &["1", "x"], &[], &["1", "2"], &["12 %", "13 %"], &["NaN"]] {
            assert_eq!(plain(values), None, "{values:?}");
        }
    }

    #[test]
    fn unclear_dates_and_long_numbers_say_why() {
        assert!(plain(&["03/04/2026", "05/06/2026"]).unwrap().contains("day-first"));
        assert!(plain(&["13/04/2026", "04/13/2026"]).unwrap().contains("in one way"));
        assert!(plain(&["2026-01-02T10:00:00Z", "2026-01-02T10:00:00"]).unwrap().contains("offset"));
        assert!(plain(&[&"9".repeat(39)]).unwrap().contains("more digits"));
    }

    #[test]
    fn decimal_marks_that_nothing_tells_are_asked_for() {
        let doubt = Found { mark: DecimalMark::Point, doubt: true };
        let note = of(Written::Either, doubt, &["500", "1.234"]).unwrap();
        assert!(
            note.starts_with("text because row 2 is \"1.234\", which") && note.contains("`decimal`"),
            "{note}"
        );
        let comma = Found { mark: DecimalMark::Comma, doubt: true };
        assert!(of(Written::Either, comma, &["12.5"]).unwrap().contains("another column"));
        let mixed = of(Written::Either, doubt, &["1,5", "2,5", "x"]);
        assert_eq!(mixed.as_deref(), Some("text because row 3 is \"x\""));
    }
}
