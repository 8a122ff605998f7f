//! The few things that statements of this crate share.

use serde_json::Value;

/// The elements of the JSON array bound as a parameter, as a table with the column `value`: the one expression, besides claims, that the
/// two databases spell differently.
macro_rules! elements {
    (sqlite, $parameter:literal) => {
        concat!("json_each(", $parameter, ")")
    };
    (postgres, $parameter:literal) => {
        concat!("jsonb_array_elements_text(", $parameter, ") AS elements (value)")
    };
}
pub(crate) use elements;

/// The text that one macro makes for either database: `text_for!(db.kind(), pin)` is `pin!(sqlite)` or `pin!(postgres)`.
macro_rules! text_for {
    ($kind:expr, $text:ident) => {
        match $kind {
            database::Kind::Sqlite => $text!(sqlite),
            database::Kind::Postgres => $text!(postgres),
        }
    };
}
pub(crate) use text_for;

/// The same JSON without NUL characters, which PostgreSQL cannot keep: U+FFFD stands in their place.
pub(crate) fn storable(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains('\0') => Value::String(text.replace('\0', "\u{fffd}")),
        Value::Array(items) => items.into_iter().map(storable).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(key, value)| (key.replace('\0', "\u{fffd}"), storable(value))).collect()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn nul_characters_are_replaced_wherever_they_stand() {
        let cleaned = storable(json!({"a\0": ["x\0y", {"b": "\0"}], "n": 1}));
        assert_eq!(cleaned, json!({"a\u{fffd}": ["x\u{fffd}y", {"b": "\u{fffd}"}], "n": 1}));
    }
}
