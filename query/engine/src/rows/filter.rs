//! Filters in PostgREST's manner: `gte.5`, `in.(a,b)`, `is.null`, `not.like.a*`, `or=(a.eq.1,and(b.gt.2,c.is.null))`.

use serde_json::Value;

use super::request::Filter;
use super::value::Family;
use crate::QueryError;

/// Conditions of one call at most, and how deep groups may nest: well under what a statement may hold.
const CONDITIONS: usize = 100;
const DEPTH: usize = 6;
/// Values of all `in.(…)` together; a statement binds at most 1 000 parameters, and the cursor needs some.
const IN_VALUES: usize = 800;
const OPERATORS: &str = "eq, neq, gt, gte, lt, lte, like, ilike, in, is";

/// The columns of a table as filters know them.
pub(super) struct Columns<'a>(pub &'a [catalog::Column]);

impl Columns<'_> {
    /// Errors: `unknown-parameter` for a name that is no column of the table.
    pub fn family(&self, name: &str) -> Result<Family, QueryError> {
        let column = self.0.iter().find(|column| column.name == name);
        column
            .map(|column| Family::of(&column.r#type))
            .ok_or_else(|| QueryError::UnknownParameter { name: name.chars().take(130).collect() })
    }
}

/// A column's name as an identifier of SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// SQL conditions and their parameters, as they grow.
pub(super) struct Conditions<'a> {
    columns: Columns<'a>,
    pub params: Vec<Value>,
    count: usize,
}

impl<'a> Conditions<'a> {
    pub fn new(columns: &'a [catalog::Column]) -> Self {
        Self { columns: Columns(columns), params: Vec::new(), count: 0 }
    }

    /// All `filters`, each a condition. Errors: `unknown-parameter`, `invalid-parameter`.
    pub fn all(&mut self, filters: &[Filter]) -> Result<Vec<String>, QueryError> {
        filters.iter().map(|filter| self.one(filter)).collect()
    }

    fn one(&mut self, filter: &Filter) -> Result<String, QueryError> {
        match filter {
            Filter::Column { column, condition } => self.condition(column, condition),
            Filter::Group { text } => self.member(text, 0),
        }
    }

    /// Binds a value and gives its place in the SQL.
    pub fn bind(&mut self, family: Family, value: Value) -> String {
        let place = family.placeholder(self.params.len() + 1, &value);
        self.params.push(value);
        place
    }

    /// `op.value` on a column.
    fn condition(&mut self, column: &str, condition: &str) -> Result<String, QueryError> {
        self.count += 1;
        if self.count > CONDITIONS {
            return Err(QueryError::parameter(column, format!("more than {CONDITIONS} conditions")));
        }
        let family = self.columns.family(column)?;
        if let Some(rest) = condition.strip_prefix("not.") {
            return Ok(format!("NOT ({})", self.plain(column, family, rest)?));
        }
        self.plain(column, family, condition)
    }

    fn plain(&mut self, column: &str, family: Family, condition: &str) -> Result<String, QueryError> {
        let wrong = || no_operator(column, condition);
        let (word, text) = condition.split_once('.').ok_or_else(wrong)?;
        let name = quoted(column);
        let compare = |symbol: &str, me: &mut Self| {
            let value = family.read(column, text)?;
            Ok(format!("{name} {symbol} {}", me.bind(family, value)))
        };
        match word {
            "eq" => compare("=", self),
            "neq" => compare("<>", self),
            "gt" => compare(">", self),
            "gte" => compare(">=", self),
            "lt" => compare("<", self),
            "lte" => compare("<=", self),
            "like" | "ilike" => self.like(column, family, word, text),
            "in" => self.within(column, family, text),
            "is" => is(column, family, text),
            _ => Err(wrong()),
        }
    }

    fn like(&mut self, column: &str, family: Family, word: &str, text: &str) -> Result<String, QueryError> {
        if family != Family::Text {
            return Err(QueryError::parameter(
                column,
                format!("`{column}` is no text, and `{word}` compares text"),
            ));
        }
        // `*` stands for `%`, which URLs make awkward.
        let place = self.bind(family, Value::from(text.replace('*', "%")));
        let operator = if word == "like" { "LIKE" } else { "ILIKE" };
        Ok(format!("{} {operator} {place}", quoted(column)))
    }

    fn within(&mut self, column: &str, family: Family, text: &str) -> Result<String, QueryError> {
        let wrong = || {
            QueryError::parameter(
                column,
                format!("`in` takes (a,b,…), and all together at most {IN_VALUES} values"),
            )
        };
        let list = text.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')).ok_or_else(wrong)?;
        let items = split(list, column)?;
        if items.is_empty() || self.params.len() + items.len() > IN_VALUES {
            return Err(wrong());
        }
        let mut places = Vec::with_capacity(items.len());
        for item in items {
            let value = family.read(column, &unquoted(&item))?;
            places.push(self.bind(family, value));
        }
        Ok(format!("{} IN ({})", quoted(column), places.join(", ")))
    }

    /// `or(…)`, `and(…)`, either after `not.`, or `column.op.value` inside a group.
    fn member(&mut self, text: &str, depth: usize) -> Result<String, QueryError> {
        if depth > DEPTH {
            return Err(QueryError::parameter("or", format!("groups nest deeper than {DEPTH}")));
        }
        for (word, joint) in [("or(", " OR "), ("and(", " AND ")] {
            if let Some(rest) = text.strip_prefix(word) {
                return self.group(rest, joint, depth);
            }
            if let Some(rest) = text.strip_prefix("not.").and_then(|rest| rest.strip_prefix(word)) {
                return Ok(format!("NOT {}", self.group(rest, joint, depth)?));
            }
        }
        let (column, condition) = column_of(text)?;
        self.condition(&column, condition)
    }

    fn group(&mut self, rest: &str, joint: &str, depth: usize) -> Result<String, QueryError> {
        let wrong = || QueryError::parameter("or", "a group is or=(a.eq.1,b.gt.2)");
        let inside = rest.strip_suffix(')').ok_or_else(wrong)?;
        let members = split(inside, "or")?;
        if members.is_empty() {
            return Err(wrong());
        }
        let members: Result<Vec<_>, _> =
            members.iter().map(|member| self.member(member, depth + 1)).collect();
        Ok(format!("({})", members?.join(joint)))
    }
}

/// A condition that begins with no operator: most often a bare value, as in `day=2026-11-02`.
fn no_operator(column: &str, condition: &str) -> QueryError {
    let word = condition.split('.').next().unwrap_or(condition);
    let takes = format!("`{column}` takes {OPERATORS}, each also after `not.`");
    let detail = match condition.contains('.') && word.chars().all(|c| c.is_ascii_alphabetic()) {
        true => format!("`{}` is no operator: {takes}", cut(word)),
        false => format!("a value stands after an operator: write `{column}=eq.{}`; {takes}", cut(condition)),
    };
    QueryError::parameter(column, detail)
}

/// Enough of a text to recognise it.
fn cut(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

fn is(column: &str, family: Family, text: &str) -> Result<String, QueryError> {
    let name = quoted(column);
    match (text, family) {
        ("null", _) => Ok(format!("{name} IS NULL")),
        ("not_null", _) => Ok(format!("{name} IS NOT NULL")),
        ("true", Family::Boolean) => Ok(format!("{name} IS TRUE")),
        ("false", Family::Boolean) => Ok(format!("{name} IS FALSE")),
        _ => {
            Err(QueryError::parameter(column, "`is` takes null or not_null, and true or false for a boolean"))
        }
    }
}

/// The column and the condition of a group's member. A name with a point or comma stands in double quotes.
fn column_of(text: &str) -> Result<(String, &str), QueryError> {
    let wrong = || QueryError::parameter("or", "each part of a group is column.operator.value");
    if let Some(rest) = text.strip_prefix('"') {
        let (name, condition) = rest.split_once("\".").ok_or_else(wrong)?;
        return Ok((name.to_owned(), condition));
    }
    text.split_once('.').map(|(name, condition)| (name.to_owned(), condition)).ok_or_else(wrong)
}

/// Splits at commas outside quotes and brackets. Errors: `invalid-parameter` where those do not close.
fn split(text: &str, name: &str) -> Result<Vec<String>, QueryError> {
    let (mut parts, mut part, mut open, mut inside, mut escaped) =
        (Vec::new(), String::new(), 0_i32, false, false);
    for c in text.chars() {
        match c {
            _ if escaped => escaped = false,
            '\\' if inside => escaped = true,
            '"' => inside = !inside,
            '(' if !inside => open += 1,
            ')' if !inside => open -= 1,
            ',' if !inside && open == 0 => {
                parts.push(std::mem::take(&mut part));
                continue;
            }
            _ => {}
        }
        part.push(c);
        if open < 0 {
            break;
        }
    }
    if inside || open != 0 {
        return Err(QueryError::parameter(name, "a quote or bracket does not close"));
    }
    if !part.is_empty() || !parts.is_empty() {
        parts.push(part);
    }
    Ok(parts)
}

/// A value without its double quotes; inside them `\` makes the next character plain.
fn unquoted(text: &str) -> String {
    let Some(inside) = text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inside.len());
    let mut escaped = false;
    for c in inside.chars() {
        if c == '\\' && !escaped {
            escaped = true;
            continue;
        }
        escaped = false;
        plain.push(c);
    }
    plain
}

#[cfg(test)]
mod tests {
    use catalog::Column;

    use super::*;

    fn columns() -> Vec<Column> {
        vec![
            Column::new("a", "bigint"),
            Column::new("b", "text"),
            Column::new("d", "date"),
            Column::new("t", "boolean"),
            Column::new("l", "list(text)"),
            Column::new("we\"ird", "text"),
        ]
    }

    fn sql(filters: &[Filter]) -> Result<(String, Vec<Value>), QueryError> {
        let columns = columns();
        let mut conditions = Conditions::new(&columns);
        let all = conditions.all(filters)?;
        Ok((all.join(" AND "), conditions.params))
    }

    fn column(column: &str, condition: &str) -> Filter {
        Filter::Column { column: column.into(), condition: condition.into() }
    }

    fn group(text: &str) -> Filter {
        Filter::Group { text: text.into() }
    }

    #[test]
    fn conditions_become_sql_with_bound_values() {
        let (text, params) =
            sql(&[column("a", "gte.5"), column("b", "not.like.x*"), column("d", "is.null")]).unwrap();
        assert_eq!(text, r#""a" >= $1 AND NOT ("b" LIKE $2) AND "d" IS NULL"#);
        assert_eq!(params, [Value::from(5), Value::from("x%")]);
        let (text, params) = sql(&[column("b", r#"in.(x,"y,z","q\"r")"#)]).unwrap();
        assert_eq!((text.as_str(), params.len()), (r#""b" IN ($1, $2, $3)"#, 3));
        assert_eq!(params[1..], [Value::from("y,z"), Value::from("q\"r")]);
    }

    #[test]
    fn groups_nest() {
        let (text, _) = sql(&[group("or(a.eq.1,and(b.eq.x,not.or(a.gt.2,t.is.true)),a.in.(3,4))")]).unwrap();
        assert_eq!(text, r#"("a" = $1 OR ("b" = $2 AND NOT ("a" > $3 OR "t" IS TRUE)) OR "a" IN ($4, $5))"#);
    }

    #[test]
    fn no_word_of_the_caller_becomes_sql() {
        let (text, params) = sql(&[column("b", "eq.'; DROP TABLE x --"), column("we\"ird", "eq.1")]).unwrap();
        assert_eq!(text, r#""b" = $1 AND "we""ird" = $2"#);
        assert_eq!(params[0], Value::from("'; DROP TABLE x --"));
    }

    #[test]
    fn nonsense_is_refused_with_its_reason() {
        let wrong = [
            column("nope", "eq.1"),
            column("a", "eq"),
            column("a", "eq.x"),
            column("a", "like.x"),
            column("a", "in.1,2"),
            column("a", "in.()"),
            column("b", "in.(\"x)"),
            column("l", "eq.x"),
            column("b", "is.true"),
            column("b", "similar.x"),
            group("or(a.eq.1"),
            group("or()"),
            group("or(a)"),
            group("or((a.eq.1)"),
            group(&format!("{}a.eq.1{}", "or(".repeat(10), ")".repeat(10))),
        ];
        for filter in wrong {
            assert!(sql(std::slice::from_ref(&filter)).is_err(), "{filter:?}");
        }
        assert!(sql(&vec![column("a", "eq.1"); 101]).is_err());
        assert!(sql(&[column("l", "is.null")]).is_ok());
    }

    #[test]
    fn a_value_without_an_operator_is_told_how_to_be_written() {
        for (condition, told) in [
            ("2026-11-02", "write `a=eq.2026-11-02`"),
            ("3.5", "write `a=eq.3.5`"),
            ("rome", "write `a=eq.rome`"),
            ("not.3", "write `a=eq.3`"),
            ("about.3", "`about` is no operator: `a` takes eq, neq"),
        ] {
            let error =
                sql(&[column("a", condition)]).err().map(|error| error.to_string()).unwrap_or_default();
            assert!(error.contains(told), "{condition}: {error}");
        }
    }
}
