//! A path to a value of a row: `counts.visits`, `places[0].name`, or another name of a column: `since`.

use serde_json::Value;

use crate::upload::decode::names::sql_name;

/// Which column of a file a value is, or where in the nested value of that column it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonPath {
    /// The file's column, by its name in SQL.
    pub root: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

impl JsonPath {
    /// `None` for a text that is no path.
    pub fn parse(text: &str) -> Option<Self> {
        let mut steps = Vec::new();
        for part in text.split('.') {
            let (key, indexes) = part.split_once('[').map_or((part, None), |(key, rest)| (key, Some(rest)));
            if key.is_empty() {
                return None;
            }
            steps.push(Step::Key(key.to_owned()));
            for index in indexes.iter().flat_map(|rest| rest.split('[')) {
                steps.push(Step::Index(index.strip_suffix(']')?.parse().ok()?));
            }
        }
        let Step::Key(root) = steps.remove(0) else { return None };
        Some(Self { root: sql_name(&root), steps })
    }

    /// Whether it is a column as it stands, and leads nowhere below it.
    pub fn is_flat(&self) -> bool {
        self.steps.is_empty()
    }

    /// The value there; `None` where there is none, or a null.
    pub fn of<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        let step = |value: &'a Value, step: &Step| match step {
            Step::Key(key) => value.get(key),
            Step::Index(index) => value.get(index),
        };
        self.steps.iter().try_fold(value, step).filter(|value| !value.is_null())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_path_leads_to_a_value_or_nowhere() {
        let value = json!({"visits": 3, "places": [{"name": "x"}, {"name": null}]});
        let of = |text: &str| JsonPath::parse(text).unwrap().of(&value).cloned();
        assert_eq!(of("counts.visits"), Some(json!(3)));
        assert_eq!(of("counts.places[0].name"), Some(json!("x")));
        for nowhere in
            ["counts.places[1].name", "counts.places[9].name", "counts.visits.x", "counts.other", "counts[0]"]
        {
            assert_eq!(of(nowhere), None, "{nowhere}");
        }
        assert_eq!(JsonPath::parse("dayCounts.visits").unwrap().root, "day_counts");
        let flat = JsonPath::parse("Valid since").unwrap();
        assert!(flat.is_flat() && flat.root == "valid_since" && !JsonPath::parse("a[0]").unwrap().is_flat());
        for wrong in ["", ".visits", "counts.", "counts[", "counts[1", "counts[-1]", "counts[1]x"] {
            assert_eq!(JsonPath::parse(wrong), None, "{wrong}");
        }
    }
}
