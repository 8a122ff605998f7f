//! The engine's words for types and values as ours: `Utf8View + Int64(1)` is `text + 1`.

/// Types without parentheses; with them the engine writes a value, `Int64(1)`.
const PLAIN: &[(&str, &str)] = &[
    ("Null", "null"),
    ("Boolean", "boolean"),
    ("Int8", "smallint"),
    ("Int16", "smallint"),
    ("UInt8", "smallint"),
    ("Int32", "integer"),
    ("UInt16", "integer"),
    ("Int64", "bigint"),
    ("UInt32", "bigint"),
    ("UInt64", "decimal(20,0)"),
    ("Float16", "real"),
    ("Float32", "real"),
    ("Float64", "double"),
    ("Utf8", "text"),
    ("LargeUtf8", "text"),
    ("Utf8View", "text"),
    ("Binary", "binary"),
    ("LargeBinary", "binary"),
    ("BinaryView", "binary"),
    ("Date32", "date"),
    ("Date64", "date"),
];

/// Types whose parentheses tell nothing to a caller.
const BARE: &[(&str, &str)] = &[
    ("Timestamp", "timestamp"),
    ("Time32", "time"),
    ("Time64", "time"),
    ("Duration", "interval"),
    ("Interval", "interval"),
    ("FixedSizeBinary", "binary"),
    ("Struct", "struct"),
    ("Map", "map"),
];

const LISTS: &[&str] = &["List", "LargeList", "ListView", "LargeListView", "FixedSizeList"];
const DECIMALS: &[&str] = &["Decimal32", "Decimal64", "Decimal128", "Decimal256"];

/// Before a message, once or more often.
const PREFIXES: &[&str] = &[
    "Error during planning: ",
    "Internal error: ",
    "Schema error: ",
    "Execution error: ",
    "Arrow error: ",
    "Cast error: ",
    "Compute error: ",
    "Parser error: ",
    "Invalid argument error: ",
    "Arithmetic overflow: ",
    "type_coercion\ncaused by\n",
];

/// A message without the engine's prefixes and types.
pub(super) fn ours(message: &str) -> String {
    let mut message = message;
    while let Some(rest) = PREFIXES.iter().find_map(|prefix| message.strip_prefix(prefix)) {
        message = rest;
    }
    types(message)
}

/// The call that no function fits, as `sum(text)`: the engine says it after much else.
pub(super) fn unfit_call(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("No function matches the given name and argument types '")?;
    let (call, _) = rest.split_once("'. You might")?;
    Some(types(call))
}

fn types(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_alphanumeric() || c == '_') {
        out.push_str(&rest[..start]);
        rest = &rest[start..];
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let (word, after) = rest.split_at(end);
        let inside = inside(after);
        match translated(word, inside) {
            Some((ours, true)) => {
                out.push_str(&ours);
                rest = &after[inside.map_or(0, str::len) + 2..];
            }
            Some((ours, false)) => {
                out.push_str(&ours);
                rest = after;
            }
            None => {
                out.push_str(word);
                rest = after;
            }
        }
    }
    out.push_str(rest);
    out
}

/// What stands in the parentheses that follow at once.
fn inside(after: &str) -> Option<&str> {
    let rest = after.strip_prefix('(')?;
    let (mut open, mut quoted) = (1_usize, false);
    for (at, c) in rest.char_indices() {
        match c {
            '"' => quoted = !quoted,
            '(' if !quoted => open += 1,
            ')' if !quoted => open -= 1,
            _ => {}
        }
        if open == 0 {
            return Some(&rest[..at]);
        }
    }
    None
}

/// Our word, and whether it stands for the parentheses too.
fn translated(word: &str, inside: Option<&str>) -> Option<(String, bool)> {
    let of = |table: &[(&str, &str)]| {
        table.iter().find(|(name, _)| *name == word).map(|(_, ours)| (*ours).to_owned())
    };
    match inside {
        None => of(PLAIN).map(|ours| (ours, false)),
        Some(value) if of(PLAIN).is_some() => Some((literal(value), true)),
        Some(_) if of(BARE).is_some() => of(BARE).map(|ours| (ours, true)),
        Some(item) if LISTS.contains(&word) => {
            let item = item.split_once(" x ").map_or(item, |(_, item)| item);
            Some((format!("list({})", types(item).replace("non-null ", "")), true))
        }
        Some(sizes) if DECIMALS.contains(&word) => {
            Some((format!("decimal({})", sizes.replace(' ', "")), true))
        }
        Some(pair) if word == "Dictionary" => pair.split_once(", ").map(|(_, value)| (types(value), true)),
        Some(_) => None,
    }
}

/// A value as a statement writes it.
fn literal(value: &str) -> String {
    match value.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(text) => format!("'{text}'"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_called_as_in_answers() {
        for (engine, own) in [
            (
                "Cannot coerce arithmetic expression Utf8View + Int64 to valid types",
                "Cannot coerce arithmetic expression text + bigint to valid types",
            ),
            ("Error during planning: Internal error: Date32 = Timestamp(ns, \"UTC\")", "date = timestamp"),
            (
                "List(Int64) and List(non-null Utf8) and FixedSizeList(3 x Float32)",
                "list(bigint) and list(text) and list(real)",
            ),
            (
                "Decimal128(38, 10), Dictionary(Int32, Utf8), Struct(\"a\": Int64)",
                "decimal(38,10), text, struct",
            ),
            ("replace(my.x.y,Utf8(\".\")) = Int64(1)", "replace(my.x.y,'.') = 1"),
            ("my.int64_total and Int64s stay, so does List", "my.int64_total and Int64s stay, so does List"),
            ("a ( that does not close: Int64(1", "a ( that does not close: bigint(1"),
            ("é Utf8 ü", "é text ü"),
        ] {
            assert_eq!(ours(engine), own);
        }
    }

    #[test]
    fn the_call_that_fits_no_function_is_found() {
        let message = "Internal error: Function 'sum' failed to match any signature, errors: x.\nThis issue \
            No function matches the given name and argument types 'sum(Utf8View)'. You might need to add explicit type casts.";
        assert_eq!(unfit_call(message).as_deref(), Some("sum(text)"));
        assert_eq!(unfit_call("anything else"), None);
    }
}
