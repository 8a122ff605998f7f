//! What the platform's tables hold, and whether two lakes hold the same.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::customer::Customer;

/// Columns that tell when a run took place, not what it brought.
const STAMPS: [&str; 2] = ["ingested_at", "issued_at"];
/// Sums may be made in another order.
const CLOSE: f64 = 1e-9;

/// Rows of all tables, in the order of their texts: keys are texts, days and instants.
#[derive(Clone, Debug, Default)]
pub struct Contents(BTreeMap<String, Vec<Value>>);

impl Contents {
    /// Everything that the platform's tables hold now, stamps aside.
    pub async fn of(customer: &Customer) -> Self {
        let mut contents = Self::default();
        for table in customer.get("/v1/tables").await.data().as_array().into_iter().flatten() {
            if table["kind"] == "platform" {
                let name = |key: &str| table[key].as_str().unwrap_or_default().to_owned();
                let (schema, table) = (name("schema"), name("table"));
                contents.0.insert(format!("{schema}.{table}"), rows(customer, &schema, &table).await);
            }
        }
        contents
    }

    /// The same with only those rows of a table that hold.
    pub fn only(mut self, table: &str, holds: impl Fn(&Value) -> bool) -> Self {
        if let Some(rows) = self.0.get_mut(table) {
            rows.retain(|row| holds(row));
        }
        self
    }

    /// The same without a table.
    pub fn without(mut self, table: &str) -> Self {
        self.0.remove(table);
        self
    }

    /// How many rows a table has.
    pub fn count(&self, table: &str) -> usize {
        self.0.get(table).map_or(0, Vec::len)
    }

    /// Names of the tables.
    pub fn tables(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// The first thing in which this differs from what is `expected`, in words.
    pub fn difference(&self, expected: &Self) -> Option<String> {
        if !self.tables().eq(expected.tables()) {
            let (ours, theirs): (Vec<_>, Vec<_>) = (self.tables().collect(), expected.tables().collect());
            return Some(format!("tables {ours:?}, not {theirs:?}"));
        }
        expected.0.iter().find_map(|(table, expected)| {
            let rows = &self.0[table];
            let differs = rows.iter().zip(expected).find(|(row, expected)| !same(row, expected));
            match differs {
                Some((row, expected)) => Some(format!("{table}: {row}, not {expected}")),
                None if rows.len() == expected.len() => None,
                None => Some(format!("{table}: {} rows, not {}", rows.len(), expected.len())),
            }
        })
    }
}

/// All rows of a table, page by page.
async fn rows(customer: &Customer, schema: &str, table: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("/v1/tables/{schema}/{table}/rows?limit=50000{cursor}");
        let mut page = customer.get(&path).await.ok();
        rows.extend(page["data"].as_array_mut().into_iter().flatten().map(Value::take));
        match page["meta"]["next"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    for row in rows.iter_mut().filter_map(Value::as_object_mut) {
        STAMPS.iter().for_each(|stamp| drop(row.remove(*stamp)));
    }
    rows.sort_by_cached_key(texts);
    rows
}

/// The texts of a row; a number may be close to another without being equal.
fn texts(row: &Value) -> String {
    let values = row.as_object().into_iter().flatten();
    values.filter(|(_, value)| value.is_string()).map(|(name, value)| format!("{name}={value};")).collect()
}

fn same(ours: &Value, theirs: &Value) -> bool {
    match (ours, theirs) {
        (Value::Object(ours), Value::Object(theirs)) => {
            ours.len() == theirs.len()
                && ours.iter().all(|(name, value)| theirs.get(name).is_some_and(|other| same(value, other)))
        }
        _ => match (ours.as_f64(), theirs.as_f64()) {
            (Some(a), Some(b)) => (a - b).abs() <= CLOSE * b.abs().max(1.0),
            _ => ours == theirs,
        },
    }
}
