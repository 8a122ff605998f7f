//! A file's headers become SQL names: NFC, lower snake case, unique whatever their case. The header itself is kept as the column's label.

use std::collections::HashSet;

use unicode_normalization::UnicodeNormalization;

/// Longest name, in characters.
const NAME_CHARS: usize = 63;
/// Longest label, in characters.
const LABEL_CHARS: usize = 128;

/// A column's label and SQL name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    pub name: String,
    pub label: String,
}

/// Names for `headers`, in their order. An empty header becomes `column_<n>`; of equal names the later ones get `_2`, `_3`, ….
pub fn name_columns<'a>(headers: impl IntoIterator<Item = &'a str>) -> Vec<Named> {
    let mut taken = HashSet::new();
    let named = headers.into_iter().enumerate().map(|(at, header)| {
        let label = label(header);
        let wish = match sql_name(&label) {
            name if name.is_empty() => format!("column_{}", at + 1),
            name => name,
        };
        let name = free(wish, &mut taken);
        Named { name, label }
    });
    named.collect()
}

/// The header without what would disturb a terminal or a log: NFC, no control or direction marks, at most 128 characters.
fn label(header: &str) -> String {
    let shown = |c: &char| !c.is_control() && !is_direction_mark(*c);
    let label: String = header.nfc().filter(shown).take(LABEL_CHARS).collect();
    label.trim().to_owned()
}

fn is_direction_mark(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// `Air Temp (°C)` → `air_temp_c`, `unitPrice` → `unit_price`, `2024` → `_2024`. Letters and digits of any script stay.
pub fn sql_name(label: &str) -> String {
    let mut name = String::with_capacity(label.len());
    let mut before = ' ';
    for c in label.nfc() {
        if c.is_alphanumeric() {
            let hump = c.is_uppercase() && (before.is_lowercase() || before.is_ascii_digit());
            if hump && !name.ends_with('_') {
                name.push('_');
            }
            name.extend(c.to_lowercase());
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
        before = c;
    }
    // Lower case may decompose (`İ`); what is stored is NFC.
    let name: String = name.trim_end_matches('_').nfc().take(NAME_CHARS).collect();
    match name.starts_with(|c: char| c.is_numeric()) {
        true => format!("_{name}"),
        false => name,
    }
}

fn free(wish: String, taken: &mut HashSet<String>) -> String {
    let mut name = wish.clone();
    let mut number = 2;
    while !taken.insert(name.clone()) {
        name = format!("{wish}_{number}");
        number += 1;
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(headers: &[&str]) -> Vec<String> {
        name_columns(headers.iter().copied()).into_iter().map(|named| named.name).collect()
    }

    #[test]
    fn headers_become_lower_snake_case() {
        let headers = [
            "Air Temp (°C)",
            "unitPrice",
            "2024",
            "",
            "  Umsatz €  ",
            "HTTPStatus",
            "region_id",
            "Größe",
            "a/b;c",
            "___",
            "Q1Sales",
        ];
        let expected = [
            "air_temp_c",
            "unit_price",
            "_2024",
            "column_4",
            "umsatz",
            "httpstatus",
            "region_id",
            "größe",
            "a_b_c",
            "column_10",
            "q1_sales",
        ];
        assert_eq!(names(&headers), expected);
    }

    #[test]
    fn names_differ_whatever_their_case() {
        assert_eq!(
            names(&["Price", "PRICE", "price", "price_2"]),
            ["price", "price_2", "price_3", "price_2_2"]
        );
        // The same letters, composed and decomposed.
        assert_eq!(names(&["caf\u{e9}", "cafe\u{301}"]), ["caf\u{e9}", "caf\u{e9}_2"]);
    }

    #[test]
    fn labels_keep_the_header_but_nothing_that_hides() {
        let named = name_columns(["  Air Temp (°C)\u{202e}\u{0}  "]);
        assert_eq!(named[0].label, "Air Temp (°C)");
        assert_eq!(name_columns([&*"x".repeat(500)])[0].name.len(), 63);
    }
}
