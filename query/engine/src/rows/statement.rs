//! A rows call as one SQL statement over one table.
//!
//! Pages follow each other by key where there is an order to follow: `WHERE key >= last … ORDER BY key … OFFSET rows of that key already
//! shown`, which loses no row where keys repeat. A table without key and without `order` is read in the order it is stored, by offset.

use catalog::{Column, Kind, Table};
use identity::TableName;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};

use super::filter::{Columns, Conditions, quoted};
use super::request::RowsRequest;
use super::value::Family;
use crate::QueryError;

/// Columns of an order that a page's start is compared by; further ones only order rows equal in these.
const KEYS: usize = 8;
/// Columns that order rows otherwise equal.
const TIES: usize = 64;

/// Where the next page begins.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Place {
    /// Key of the last row shown; empty where rows are read in stored order.
    pub last: Vec<Value>,
    /// Rows to leave out: those of that key already shown, or all rows shown so far.
    pub skip: u64,
}

/// One term of an order.
#[derive(Clone, Debug, PartialEq)]
struct Term {
    column: String,
    family: Family,
    descending: bool,
    nulls_first: bool,
}

impl Term {
    fn rising(column: &str, family: Family) -> Self {
        Self { column: column.to_owned(), family, descending: false, nulls_first: false }
    }

    fn sql(&self) -> String {
        let direction = if self.descending { "DESC" } else { "ASC" };
        let nulls = if self.nulls_first { "FIRST" } else { "LAST" };
        format!("{} {direction} NULLS {nulls}", quoted(&self.column))
    }
}

/// A statement and what it takes to go on after it.
pub(super) struct Built {
    pub sql: String,
    pub params: Vec<Value>,
    /// Trailing columns that are for us: the key.
    pub hidden: usize,
    /// Rows come in stored order.
    pub stored: bool,
}

/// The call's rows after `place`, `limit` and one more, so that it shows whether more follow.
/// Errors: `unknown-parameter`, `invalid-parameter`.
pub(super) fn rows(
    name: &TableName,
    table: &Table,
    request: &RowsRequest,
    limit: u64,
    place: Option<&Place>,
) -> Result<Built, QueryError> {
    let (keys, ties) = order(table, request)?;
    let mut list = select(&table.columns, request.select.as_deref())?;
    for (at, key) in keys.iter().enumerate() {
        list.push(format!(
            "{} AS {}",
            quoted(&key.column),
            quoted(&format!("{}{at}", hidden_prefix(&table.columns)))
        ));
    }
    let mut conditions = Conditions::new(&table.columns);
    let mut all = conditions.all(&request.filters)?;
    if let Some(place) = place.filter(|place| !place.last.is_empty()) {
        all.push(after(&keys, &place.last, &mut conditions)?);
    }
    let filter = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
    let terms: Vec<String> = keys.iter().chain(&ties).map(Term::sql).collect();
    let ordered = if terms.is_empty() { String::new() } else { format!(" ORDER BY {}", terms.join(", ")) };
    let skip = place.map_or(0, |place| place.skip);
    let offset = if skip == 0 { String::new() } else { format!(" OFFSET {skip}") };
    let sql = format!(
        "SELECT {} FROM {}{filter}{ordered} LIMIT {}{offset}",
        list.join(", "),
        from(name),
        limit + 1
    );
    Ok(Built { sql, params: conditions.params, hidden: keys.len(), stored: terms.is_empty() })
}

/// The number of rows that fit the call's filters.
pub(super) fn count(name: &TableName, table: &Table, request: &RowsRequest) -> Result<Built, QueryError> {
    let mut conditions = Conditions::new(&table.columns);
    let all = conditions.all(&request.filters)?;
    let filter = if all.is_empty() { String::new() } else { format!(" WHERE {}", all.join(" AND ")) };
    let sql = format!("SELECT 1 AS one, count(*) AS counted FROM {}{filter}", from(name));
    Ok(Built { sql, params: conditions.params, hidden: 1, stored: false })
}

fn from(name: &TableName) -> String {
    format!("{}.{}", quoted(&name.schema), quoted(&name.table))
}

/// What a cursor belongs to: the table and everything that decides which rows come in which order.
pub(super) fn question(name: &TableName, request: &RowsRequest) -> String {
    let RowsRequest { order, filters, as_of, .. } = request;
    let digest = Sha256::digest(format!("{name} {order:?} {filters:?} {as_of:?}"));
    digest[..12].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A prefix that no column of the table has.
fn hidden_prefix(columns: &[Column]) -> String {
    let mut prefix = "key_".to_owned();
    while columns.iter().any(|column| column.name.starts_with(&prefix)) {
        prefix.insert(0, '_');
    }
    prefix
}

/// The answered columns. A second `x` is answered as `x_2`.
fn select(columns: &[Column], select: Option<&str>) -> Result<Vec<String>, QueryError> {
    let names: Vec<&str> = match select {
        None | Some("*") => columns.iter().map(|column| column.name.as_str()).collect(),
        Some(list) => list.split(',').map(str::trim).collect(),
    };
    let known = Columns(columns);
    let mut taken: Vec<String> = Vec::with_capacity(names.len());
    let mut list = Vec::with_capacity(names.len());
    for name in names {
        let found = known.family(name).map_err(|_| {
            QueryError::parameter("select", format!("`select` names `{}`, which is no column", short(name)))
        });
        found?;
        let shown = free(name, &taken, columns);
        list.push(if shown == name {
            quoted(name)
        } else {
            format!("{} AS {}", quoted(name), quoted(&shown))
        });
        taken.push(shown);
    }
    Ok(list)
}

fn short(name: &str) -> String {
    name.chars().take(130).collect()
}

fn free(name: &str, taken: &[String], columns: &[Column]) -> String {
    if !taken.iter().any(|other| other == name) {
        return name.to_owned();
    }
    let numbered = (2_usize..).map(|n| format!("{name}_{n}"));
    let mut open = numbered
        .filter(|other| !taken.contains(other) && !columns.iter().any(|column| column.name == *other));
    open.next().unwrap_or_else(|| name.to_owned())
}

/// The terms a page goes on by, and those that only order rows equal in them.
fn order(table: &Table, request: &RowsRequest) -> Result<(Vec<Term>, Vec<Term>), QueryError> {
    let mut terms = asked(&table.columns, request.order.as_deref())?;
    let unique = !table.key.is_empty();
    // A stored table without a key has an order of its own, and no sort is needed to read it twice the same way.
    if terms.is_empty() && !unique && table.kind != Kind::View {
        return Ok((Vec::new(), Vec::new()));
    }
    let columns = table.columns.iter();
    let rest: Vec<&str> = if unique {
        table.key.iter().map(String::as_str).collect()
    } else {
        columns.map(|column| column.name.as_str()).collect()
    };
    for name in rest {
        let family = Columns(&table.columns).family(name)?;
        if family.ordered() && !terms.iter().any(|term| term.column == name) && terms.len() < TIES {
            terms.push(Term::rising(name, family));
        }
    }
    let ties = terms.split_off(terms.len().min(KEYS));
    Ok((terms, ties))
}

/// `day.desc,price.asc.nullslast`. As in PostgreSQL, nulls come last rising and first falling unless said otherwise.
fn asked(columns: &[Column], order: Option<&str>) -> Result<Vec<Term>, QueryError> {
    let mut terms: Vec<Term> = Vec::new();
    for part in order.into_iter().flat_map(|order| order.split(',')) {
        let term = term(columns, part.trim())?;
        if !terms.iter().any(|earlier| earlier.column == term.column) {
            terms.push(term);
        }
    }
    match terms.len() > KEYS {
        true => Err(QueryError::parameter("order", format!("`order` has at most {KEYS} columns"))),
        false => Ok(terms),
    }
}

fn term(columns: &[Column], text: &str) -> Result<Term, QueryError> {
    let wrong = |detail: String| QueryError::parameter("order", detail);
    let (mut name, mut descending, mut nulls) = (text, false, None);
    while let Some((rest, word)) = name.rsplit_once('.') {
        match word {
            "asc" => descending = false,
            "desc" => descending = true,
            "nullsfirst" => nulls = Some(true),
            "nullslast" => nulls = Some(false),
            _ => break,
        }
        name = rest;
    }
    let family = Columns(columns).family(name).map_err(|_| wrong(no_order(columns, name)))?;
    if !family.ordered() {
        return Err(wrong(format!("rows cannot be ordered by `{name}`")));
    }
    Ok(Term { column: name.to_owned(), family, descending, nulls_first: nulls.unwrap_or(descending) })
}

/// What is wrong with a name to order by: most often the word after its column.
fn no_order(columns: &[Column], name: &str) -> String {
    match name.rsplit_once('.') {
        Some((column, word)) if Columns(columns).family(column).is_ok() => {
            format!("`{}` is no order: write `{column}.asc` or `{column}.desc`", short(word))
        }
        _ => format!("`order` names `{}`, which is no column; columns may end in .asc or .desc", short(name)),
    }
}

/// Rows whose key is `last` or comes after it: `a > x OR (a = x AND (b > y OR b = y))`.
fn after(keys: &[Term], last: &[Value], conditions: &mut Conditions<'_>) -> Result<String, QueryError> {
    if keys.len() != last.len() {
        return Err(QueryError::InvalidCursor);
    }
    let mut sql = String::new();
    for (key, value) in keys.iter().zip(last).rev() {
        let equal = equal(key, value, conditions);
        let here = if sql.is_empty() { equal } else { format!("({equal} AND {sql})") };
        sql = match beyond(key, value, conditions) {
            Some(beyond) => format!("({beyond} OR {here})"),
            None => here,
        };
    }
    Ok(sql)
}

fn equal(key: &Term, value: &Value, conditions: &mut Conditions<'_>) -> String {
    let name = quoted(&key.column);
    match value {
        Value::Null => format!("{name} IS NULL"),
        value => format!("{name} = {}", conditions.bind(key.family, value.clone())),
    }
}

/// Rows that come later by this column alone; `None` where there can be none.
fn beyond(key: &Term, value: &Value, conditions: &mut Conditions<'_>) -> Option<String> {
    let name = quoted(&key.column);
    if value.is_null() {
        return key.nulls_first.then(|| format!("{name} IS NOT NULL"));
    }
    let symbol = if key.descending { "<" } else { ">" };
    let later = format!("{name} {symbol} {}", conditions.bind(key.family, value.clone()));
    Some(if key.nulls_first { later } else { format!("{later} OR {name} IS NULL") })
}

/// Where the page after one that began at `place` begins, if one follows.
pub(super) fn next(place: Option<&Place>, shown: u64, last: &[Value], repeats: u64) -> Place {
    let before = place.cloned().unwrap_or_default();
    if last.is_empty() {
        return Place { last: Vec::new(), skip: before.skip + shown };
    }
    // A whole page of one key: what was left out before it is left out again.
    let same = repeats == shown && before.last == last;
    Place { last: last.to_vec(), skip: repeats + if same { before.skip } else { 0 } }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use identity::TableId;

    use super::*;

    fn table(key: &[&str], kind: Kind) -> Table {
        let columns = [("region_id", "text"), ("day", "date"), ("price", "double"), ("tags", "list(text)")];
        Table {
            id: TableId::new(),
            workspace: None,
            name: TableName::new("market", "daily"),
            kind,
            location: "aggregated/market/daily".into(),
            version: Some(1),
            revision: 0,
            created_at: Utc::now(),
            updated_at: Utc::now(),
            columns: columns.iter().map(|(name, kind)| Column::new(*name, *kind)).collect(),
            key: key.iter().map(|name| (*name).to_owned()).collect(),
            sort: Vec::new(),
            rows: 0,
            bytes: 0,
            rejects: 0,
            description: None,
            sql: None,
            params: Value::Null,
            upstream: Vec::new(),
            refresh: None,
            tests: Value::Null,
            promise_secs: None,
            failing_since: None,
        }
    }

    fn request(pairs: &[(&str, &str)]) -> RowsRequest {
        RowsRequest::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
            .unwrap()
    }

    fn sql(table: &Table, pairs: &[(&str, &str)], place: Option<&Place>) -> Result<Built, QueryError> {
        rows(&table.name, table, &request(pairs), 10, place)
    }

    #[test]
    fn a_keyed_table_is_read_in_key_order() {
        let built = sql(
            &table(&["region_id", "day"], Kind::Platform),
            &[("select", "price"), ("day", "gte.2026-01-01")],
            None,
        )
        .unwrap();
        let expected = concat!(
            r#"SELECT "price", "region_id" AS "key_0", "day" AS "key_1" FROM "market"."daily" WHERE "day" >= $1"#,
            r#" ORDER BY "region_id" ASC NULLS LAST, "day" ASC NULLS LAST LIMIT 11"#,
        );
        assert_eq!((built.sql.as_str(), built.hidden), (expected, 2));
    }

    #[test]
    fn the_next_page_goes_on_by_key_and_leaves_out_what_was_shown() {
        let place = Place { last: vec![Value::from("it"), Value::Null, Value::from(2.5)], skip: 2 };
        let built = sql(
            &table(&[], Kind::Dataset),
            &[("order", "region_id.desc,day"), ("select", "day,day")],
            Some(&place),
        )
        .unwrap();
        let expected = concat!(
            r#" WHERE ("region_id" < $4 OR ("region_id" = $3 AND ("day" IS NULL AND ("price" > $2 OR "price" IS NULL OR "price" = $1))))"#,
            r#" ORDER BY "region_id" DESC NULLS FIRST, "day" ASC NULLS LAST, "price" ASC NULLS LAST LIMIT 11 OFFSET 2"#,
        );
        assert!(built.sql.starts_with(r#"SELECT "day", "day" AS "day_2", "#), "{}", built.sql);
        assert!(built.sql.ends_with(expected), "{}", built.sql);
        let short = Place { last: vec![Value::Null], skip: 0 };
        assert!(
            sql(&table(&[], Kind::Dataset), &[("order", "day")], Some(&short)).is_err(),
            "a cursor of another order"
        );
    }

    #[test]
    fn a_table_without_order_is_read_as_stored() {
        let place = Place { last: Vec::new(), skip: 20 };
        let built = sql(&table(&[], Kind::Dataset), &[], Some(&place)).unwrap();
        assert!(built.sql.ends_with(r#"FROM "market"."daily" LIMIT 11 OFFSET 20"#), "{}", built.sql);
        assert!(built.stored && built.hidden == 0);
        let view = sql(&table(&[], Kind::View), &[], None).unwrap();
        assert!(
            view.sql.contains(r#"ORDER BY "region_id" ASC"#) && !view.sql.contains(r#""tags" ASC"#),
            "{}",
            view.sql
        );
    }

    #[test]
    fn pages_of_one_key_add_up() {
        let last = vec![Value::from(1)];
        let first = next(None, 10, &last, 10);
        assert_eq!(first.skip, 10);
        assert_eq!(next(Some(&first), 10, &last, 10).skip, 20);
        assert_eq!(
            next(Some(&first), 10, &[Value::from(2)], 3),
            Place { last: vec![Value::from(2)], skip: 3 }
        );
        assert_eq!(next(Some(&Place { last: vec![], skip: 20 }), 10, &[], 0).skip, 30);
    }

    #[test]
    fn a_wrong_order_is_told_the_right_ones() {
        let table = table(&["region_id", "day"], Kind::Platform);
        for (order, told) in
            [("day.dsc", "write `day.asc` or `day.desc`"), ("dey.desc", "names `dey`, which is no column")]
        {
            let error = sql(&table, &[("order", order)], None).err().map(|error| error.to_string());
            assert!(error.as_ref().is_some_and(|error| error.contains(told)), "{order}: {error:?}");
        }
    }

    #[test]
    fn wrong_columns_are_refused() {
        let table = table(&["region_id", "day"], Kind::Platform);
        for pairs in [[("select", "nope")], [("order", "nope.desc")], [("order", "tags")], [("nope", "eq.1")]]
        {
            assert!(sql(&table, &pairs, None).is_err(), "{pairs:?}");
        }
    }
}
