//! Where in a TOML text something stands: offsets become lines, and key paths become lines and back.

use std::ops::Range;

use toml::de::{DeTable, DeValue};

/// The line of an offset, counted from 1.
pub fn line(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

/// The path of the key at an offset, or of the key whose value is there; `None` where the text is no TOML.
pub fn key_at(text: &str, offset: usize) -> Option<String> {
    leaves(text)?
        .into_iter()
        .find(|(_, spans)| spans.iter().any(|span| holds(span, offset)))
        .map(|(path, _)| path)
}

/// The line on which a key is set.
pub fn line_of(text: &str, path: &str) -> Option<usize> {
    let (_, [key, _]) = leaves(text)?.into_iter().find(|(known, _)| known == path)?;
    Some(line(text, key.start))
}

/// The end belongs to the value too: what is missing is missed there.
fn holds(span: &Range<usize>, offset: usize) -> bool {
    (span.start..=span.end).contains(&offset)
}

type Leaf = (String, [Range<usize>; 2]);

/// Every key with the places of its name and of its value; the inner ones before those that hold them.
fn leaves(text: &str) -> Option<Vec<Leaf>> {
    let table = DeTable::parse(text).ok()?;
    let mut found = Vec::new();
    collect(table.get_ref(), "", &mut found);
    Some(found)
}

fn collect(table: &DeTable<'_>, above: &str, found: &mut Vec<Leaf>) {
    for (key, value) in table {
        let path =
            if above.is_empty() { key.get_ref().to_string() } else { format!("{above}.{}", key.get_ref()) };
        let mut places = [key.span(), value.span()];
        if let DeValue::Table(inner) = value.get_ref() {
            collect(inner, &path, found);
            places[1] = key.span(); // a table lies in several places
        }
        found.push((path, places));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "[server]\nlisten = \"8080\"\nhead_bytes = 5\n\n[storage.options]\nregion = \"x\"\n";

    #[test]
    fn a_key_is_found_by_its_value_and_its_line_by_its_path() {
        assert_eq!(key_at(TEXT, TEXT.find("8080").unwrap()).as_deref(), Some("server.listen"));
        assert_eq!(key_at(TEXT, TEXT.find("region").unwrap()).as_deref(), Some("storage.options.region"));
        assert_eq!(key_at(TEXT, TEXT.find("server").unwrap()).as_deref(), Some("server"));
        assert_eq!(line_of(TEXT, "server.head_bytes"), Some(3));
        assert_eq!(line_of(TEXT, "server.node"), None);
        assert_eq!(key_at("[server", 3), None);
    }
}
