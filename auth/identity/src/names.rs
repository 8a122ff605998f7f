//! Names that people choose. An impossible name is refused before any I/O, with a name that would do.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde_with::{DeserializeFromStr, SerializeDisplay};
use unicode_normalization::UnicodeNormalization;

/// The longest slug, dataset name or region id, in characters.
const MAX_LENGTH: usize = 63;

/// Schemas of the platform and words of SQL that no workspace may be called.
const RESERVED_SLUGS: [&str; 13] = [
    "my",
    "information_schema",
    "geo",
    "weather",
    "market",
    "source_a",
    "source_b",
    "raw",
    "curated",
    "operational",
    "aggregated",
    "public",
    "lake",
];

/// Paths under a workspace that no dataset or analysis may be called.
const RESERVED_NAMES: [&str; 2] = ["usage", "audit"];

/// Why a text cannot be the name it was meant to be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` cannot be used: {reason}")]
pub struct NameError {
    /// What was given, cut to 64 characters and without control characters.
    pub given: String,
    pub reason: &'static str,
    /// A name near to it that can be used.
    pub suggestion: Option<String>,
}

impl NameError {
    pub(crate) fn new(given: &str, reason: &'static str) -> Self {
        Self { given: printable(given), reason, suggestion: None }
    }

    fn suggesting(given: &str, reason: &'static str, reserved: &[&str]) -> Self {
        Self { suggestion: suggest(given, reserved), ..Self::new(given, reason) }
    }
}

/// The first 64 characters, those that could disturb a log line or a terminal replaced.
fn printable(text: &str) -> String {
    let plain = |c: char| if is_hidden(c) { '\u{fffd}' } else { c };
    text.chars().take(64).map(plain).collect()
}

/// Could this character break a line, turn its direction, or stand in it unseen? No label that people read has it.
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A name near to `given` that fits `^[a-z][a-z0-9_]{1,62}$`; none where too little of it is left.
fn suggest(given: &str, reserved: &[&str]) -> Option<String> {
    let mut near = String::with_capacity(MAX_LENGTH);
    for c in given.nfkd().filter(|c| c.is_ascii() || c.is_alphanumeric()).take(200) {
        match c.to_ascii_lowercase() {
            c @ ('a'..='z' | '0'..='9') => near.push(c),
            c if c.is_ascii() && !near.is_empty() && !near.ends_with('_') => near.push('_'),
            _ => {}
        }
    }
    if near.starts_with(|c: char| c.is_ascii_digit()) {
        near.insert_str(0, "t_");
    }
    if reserved.contains(&near.as_str()) {
        near.push_str("_data");
    }
    near.truncate(MAX_LENGTH);
    near.truncate(near.trim_end_matches('_').len());
    fits_sql(&near).then_some(near)
}

/// `^[a-z][a-z0-9_]{1,62}$`
fn fits_sql(text: &str) -> bool {
    (2..=MAX_LENGTH).contains(&text.len()) && is_identifier(text)
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_lowercase())
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'_'))
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident = $check:expr),+ $(,)?) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Errors: [`NameError`] with the reason and, where one is near, a name that would do.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let check: fn(&str) -> Result<(), NameError> = $check;
                check(text).map(|()| Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    )+};
}

names! {
    /// A region: `^[a-z0-9][a-z0-9-]{0,62}$`. Cheap to clone.
    RegionId = check_region,
    /// A workspace's schema name in SQL, URLs and grants: `^[a-z][a-z0-9_]{1,62}$`, not the platform's.
    Slug = |text| check_sql_name(text, &RESERVED_SLUGS),
    /// A dataset or analysis: `^[a-z][a-z0-9_]{1,62}$`, not `usage` or `audit`.
    Name = |text| check_sql_name(text, &RESERVED_NAMES),
}

fn check_region(text: &str) -> Result<(), NameError> {
    let fits = (1..=MAX_LENGTH).contains(&text.len())
        && !text.starts_with('-')
        && text.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-'));
    if fits {
        return Ok(());
    }
    Err(NameError::new(text, "a region id has 1 to 63 of a-z, 0-9 and `-`, and does not begin with `-`"))
}

fn check_sql_name(text: &str, reserved: &[&str]) -> Result<(), NameError> {
    if !fits_sql(text) {
        let reason = "a name has 2 to 63 of a-z, 0-9 and `_`, and begins with a letter";
        return Err(NameError::suggesting(text, reason, reserved));
    }
    if reserved.contains(&text) {
        return Err(NameError::suggesting(text, "the name is reserved", reserved));
    }
    Ok(())
}

/// A table's full name in SQL and URLs: `schema.table`. Parsing refuses what no table can be called.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr)]
pub struct TableName {
    pub schema: String,
    pub table: String,
}

impl TableName {
    /// The schema that means the caller's own workspace.
    pub const MY: &'static str = "my";

    /// Puts two known names together; text from outside goes through [`TableName::from_str`].
    pub fn new(schema: impl Into<String>, table: impl Into<String>) -> Self {
        Self { schema: schema.into(), table: table.into() }
    }

    /// `my.<name>`
    pub fn my(name: &Name) -> Self {
        Self::new(Self::MY, name.as_str())
    }

    pub fn is_my(&self) -> bool {
        self.schema == Self::MY
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.schema, self.table)
    }
}

impl fmt::Debug for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TableName({self})")
    }
}

impl FromStr for TableName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let fits = |part: &str| part.len() <= MAX_LENGTH && is_identifier(part);
        match text.split_once('.') {
            Some((schema, table)) if fits(schema) && fits(table) => Ok(Self::new(schema, table)),
            _ => Err(NameError::new(text, "a table is named `schema.table`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_names_are_taken_as_they_are() {
        let longest = format!("a{}", "b".repeat(62));
        for good in ["sales", "a1", "select", "my", longest.as_str()] {
            assert_eq!(Name::parse(good).unwrap().as_str(), good);
        }
        assert_eq!(Slug::parse("acme").unwrap().to_string(), "acme");
    }

    #[test]
    fn impossible_names_are_refused() {
        let too_long = "a".repeat(300);
        for bad in ["", "a", "Sales", "1st", "_x", "../etc", "a\0b", "a b", "a-b", "sаles", &too_long] {
            assert!(Name::parse(bad).is_err(), "{bad:?}");
            assert!(Slug::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_refused_name_comes_with_one_that_would_do() {
        let near = |text: &str| Name::parse(text).unwrap_err().suggestion;
        assert_eq!(near("Sales 2026 (EU)").as_deref(), Some("sales_2026_eu"));
        assert_eq!(near("2026-sales").as_deref(), Some("t_2026_sales"));
        assert_eq!(near("Café").as_deref(), Some("cafe"));
        assert_eq!(near("usage").as_deref(), Some("usage_data"));
        assert_eq!(near("日本"), None);
        assert_eq!(near(&"Ab ".repeat(200)).map(|name| Name::parse(&name).is_ok()), Some(true));
    }

    #[test]
    fn what_is_shown_of_a_refused_name_is_short_and_printable() {
        let given = Name::parse(&format!("a\n\u{202e}{}", "x".repeat(300))).unwrap_err().given;
        assert_eq!(given.chars().count(), 64);
        assert!(!given.contains(['\n', '\u{202e}']));
    }

    #[test]
    fn schemas_of_the_platform_are_no_slugs() {
        for taken in RESERVED_SLUGS {
            assert!(Slug::parse(taken).is_err(), "{taken}");
        }
        assert!(Name::parse("usage").is_err() && Name::parse("audit").is_err());
    }

    #[test]
    fn regions_are_lower_case_slugs() {
        for good in ["it-lombardia", "0", "nyc", "a--b"] {
            assert!(RegionId::parse(good).is_ok(), "{good}");
        }
        for bad in ["", "-a", "IT", "a_b", "a/b", "é", &"a".repeat(64)] {
            assert!(RegionId::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_table_has_a_schema_and_a_name() {
        let table: TableName = "weather.daily".parse().unwrap();
        assert_eq!((table.schema.as_str(), table.table.as_str()), ("weather", "daily"));
        assert_eq!(serde_json::to_string(&table).unwrap(), "\"weather.daily\"");
        for bad in ["daily", "a.b.c", ".x", "x.", "a b.c", "My.t", "x.y\0"] {
            assert!(bad.parse::<TableName>().is_err(), "{bad}");
        }
    }

    #[test]
    fn what_cannot_be_seen_is_hidden_and_letters_are_not() {
        for c in "\n\0\u{85}\u{ad}\u{200b}\u{202e}\u{2028}\u{2060}\u{feff}\u{e0041}".chars() {
            assert!(is_hidden(c), "{c:?}");
        }
        assert!(!"Zürich 東京 Łódź – “x” 🙂".contains(is_hidden));
    }
}
