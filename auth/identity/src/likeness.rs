//! How people spell one name: `SaoPaulo`, `são paulo` and `SÃO-PAULO` are one.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

/// Letters that are no letter with a mark, and how they are spelled without them.
const SPELLED: &[(char, &str)] = &[
    ('ß', "ss"),
    ('æ', "ae"),
    ('œ', "oe"),
    ('ø', "o"),
    ('đ', "d"),
    ('ð', "d"),
    ('þ', "th"),
    ('ł', "l"),
    ('ı', "i"),
    ('ħ', "h"),
];

/// A name without what people spell differently: case, accents, spaces and punctuation. Letters and digits of every script stay.
pub fn normalize_name(name: &str) -> String {
    let plain = name.nfkd().filter(|c| !is_combining_mark(*c)).flat_map(char::to_lowercase);
    // Lower case may bring marks of its own: İ.
    plain.filter(|c| c.is_alphanumeric()).fold(String::with_capacity(name.len()), |mut text, c| {
        match SPELLED.iter().find(|(letter, _)| *letter == c) {
            Some((_, spelled)) => text.push_str(spelled),
            None => text.push(c),
        }
        text
    })
}

/// How alike two names are, from 0 to 1: one less the share of letters that must be put in, taken out or changed to make
/// one of the other (Levenshtein's distance over the longer one's length), both as [`normalize_name`] gives them.
/// Equal names have 1, also two that are empty.
pub fn similarity(one: &str, other: &str) -> f64 {
    let letters = |name: &str| normalize_name(name).chars().collect::<Vec<_>>();
    let (one, other) = (letters(one), letters(other));
    let longer = one.len().max(other.len());
    if longer == 0 { 1.0 } else { 1.0 - distance(&one, &other) as f64 / longer as f64 }
}

/// Changes that make one text of the other; a row of the table at a time.
fn distance(one: &[char], other: &[char]) -> usize {
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.iter().enumerate() {
        let mut next = Vec::with_capacity(row.len());
        next.push(i + 1);
        for (j, b) in other.iter().enumerate() {
            let changed = row[j] + usize::from(a != b);
            next.push(changed.min(row[j + 1] + 1).min(next[j] + 1));
        }
        row = next;
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one() {
        for (spelled, name) in [
            ("SaoPaulo", "São Paulo"),
            ("SÃO-PAULO", "são\u{a0}paulo"),
            ("Sa\u{303}o Paulo", "saopaulo"),
            ("Île-de-France", "ile de france"),
            ("Groß-Gerau", "GROSS GERAU"),
            ("Łódź", "lodz"),
            ("İstanbul", "istanbul"),
            ("Ærø (DK)", "aero, dk"),
            ("東京 都", "東京都"),
            ("ﬁnland", "Finland"),
        ] {
            assert_eq!(normalize_name(spelled), normalize_name(name), "{spelled}");
        }
        assert_ne!(normalize_name("Paris"), normalize_name("Parma"));
        assert_eq!(normalize_name(" -,.'"), "");
    }

    #[test]
    fn likeness_is_the_share_of_letters_that_stay() {
        assert_eq!(similarity("SaoPaulo", "São Paulo"), 1.0);
        assert_eq!(similarity("", ""), 1.0);
        assert_eq!(similarity("abc", ""), 0.0);
        assert_eq!(similarity("Lombardia", "Lombardei"), 1.0 - 2.0 / 9.0);
        assert_eq!(similarity("kitten", "sitting"), similarity("sitting", "kitten"));
        assert!((similarity("kitten", "sitting") - 4.0 / 7.0).abs() < 1e-12);
    }
}
