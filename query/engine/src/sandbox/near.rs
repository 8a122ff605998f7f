//! What a misspelt name may have meant: names a few letters away, and nothing where none is.

/// Names told of at most.
const SHOWN: usize = 3;
/// A table of the right name in another schema is as far as this.
const OTHER_SCHEMA: usize = 10;

/// Those of `known` that are nearest to `given`, three at most; upper and lower case are alike.
pub(crate) fn near<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    nearest(known.into_iter().filter_map(|name| Some((within(given, name)?, name))))
}

/// The same for tables, `schema.table`. A name without a schema is looked for in all of them, a table's right name wherever it is.
pub(crate) fn near_tables<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let given = given.replace('"', "");
    let (schema, table) = given.rsplit_once('.').map_or((None, given.as_str()), |(s, t)| (Some(s), t));
    let cost = |name: &str| {
        let (its_schema, its_table) = name.rsplit_once('.')?;
        let tables = within(table, its_table)?;
        let schemas = match schema.map(|schema| within(schema, its_schema)) {
            None => 0,
            Some(Some(schemas)) => schemas,
            Some(None) if tables == 0 => OTHER_SCHEMA,
            Some(None) => return None,
        };
        Some(tables + schemas)
    };
    nearest(known.into_iter().filter_map(|name| Some((cost(name)?, name))))
}

/// `. Did you mean a, b or c?`, or nothing.
pub(crate) fn did_you_mean(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => format!(". Did you mean {one}?"),
        [rest @ .., last] => format!(". Did you mean {} or {last}?", rest.join(", ")),
    }
}

fn nearest<'a>(found: impl Iterator<Item = (usize, &'a str)>) -> Vec<&'a str> {
    let mut found: Vec<(usize, &str)> = found.collect();
    found.sort_unstable();
    let least = found.first().map_or(0, |(cost, _)| *cost);
    found.into_iter().take_while(|(cost, _)| *cost == least).take(SHOWN).map(|(_, name)| name).collect()
}

/// The distance of two names, if they are near: a third of the letters may differ, three at most.
fn within(given: &str, name: &str) -> Option<usize> {
    let (given, name): (Vec<char>, Vec<char>) =
        (given.to_lowercase().chars().collect(), name.to_lowercase().chars().collect());
    let most = (given.len() / 3).clamp(1, 3);
    if given.len().abs_diff(name.len()) > most {
        return None;
    }
    Some(distance(&given, &name)).filter(|far| *far <= most && far * 2 <= given.len())
}

/// How many letters to write, leave out, change or swap with their neighbour.
fn distance(a: &[char], b: &[char]) -> usize {
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for i in 0..=a.len() {
        for j in 0..=b.len() {
            rows[i][j] = match (i, j) {
                (0, n) | (n, 0) => n,
                _ => {
                    let changed = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
                    let swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
                    let swapped = if swapped { rows[i - 2][j - 2] + 1 } else { usize::MAX };
                    changed.min(swapped).min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1)
                }
            };
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLES: [&str; 5] = ["geo.regions", "market.daily", "my.sales", "my.stores", "weather.daily"];

    #[test]
    fn a_misspelt_table_is_found() {
        for (given, meant) in [
            ("my.sale", "my.sales"),
            ("sales", "my.sales"),
            ("weather.dayly", "weather.daily"),
            ("wether.daily", "weather.daily"),
            ("weahter.dialy", "weather.daily"),
            ("other.sales", "my.sales"),
            ("\"my.sales\"", "my.sales"),
            ("My.Stroes", "my.stores"),
        ] {
            assert_eq!(near_tables(given, TABLES), [meant], "{given}");
        }
        assert_eq!(near_tables("daily", TABLES), ["market.daily", "weather.daily"]);
    }

    #[test]
    fn what_is_like_nothing_has_no_near_name() {
        for given in ["my.nothing", "x", "my.x", "information_schema.tables", "", ".", "/etc/passwd"] {
            assert_eq!(near_tables(given, TABLES), Vec::<&str>::new(), "{given}");
        }
    }

    #[test]
    fn names_are_told_in_a_sentence() {
        assert_eq!(did_you_mean(&near("summ", ["sum", "min", "stddev"])), ". Did you mean sum?");
        assert_eq!(did_you_mean(&["a", "b", "c"]), ". Did you mean a, b or c?");
        assert_eq!(did_you_mean(&near("foo", ["sum"])), "");
    }
}
