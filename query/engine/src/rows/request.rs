//! A call on a table's rows, as it came: the parameter pairs of the URL, taken apart as far as it goes without the table.

use chrono::{DateTime, Utc};

use crate::{Answer, Format, QueryError};

/// `count=` or `Prefer: count=`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Count {
    #[default]
    None,
    Exact,
    Estimated,
}

/// `select`, `order`, `limit`, `cursor` and filters of a rows call. Filters are checked against the table's columns later.
#[derive(Clone, Debug, Default)]
pub struct RowsRequest {
    pub select: Option<String>,
    pub order: Option<String>,
    /// 1 to 100 000; 1 000 if absent.
    pub limit: Option<u64>,
    pub cursor: Option<String>,
    pub as_of: Option<DateTime<Utc>>,
    pub count: Count,
    pub format: Format,
    /// In the order of the URL; all hold together.
    pub filters: Vec<Filter>,
}

/// One filter as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Filter {
    /// `column=gte.5`
    Column { column: String, condition: String },
    /// `or=(a.eq.1,b.gt.2)`, `and=(…)`, and either after `not.`; the text begins with the word.
    Group { text: String },
}

/// What a rows call is answered with.
#[derive(Clone, Debug)]
pub enum RowsAnswer {
    Page(Answer),
    /// The caller already has the page of this tag.
    NotModified {
        etag: String,
    },
}

/// Parameters of a rows call that are no columns. A column of such a name is filtered as `col.<name>=…`.
pub const PARAMETERS: [&str; 12] = [
    "select", "order", "limit", "cursor", "as_of", "count", "format", "bom", "or", "and", "not.or", "not.and",
];

impl RowsRequest {
    /// Sorts the URL's decoded pairs. `format` and `count` may also come from headers: the caller sets them before or after.
    /// Errors: `invalid-parameter` for a repeated or unreadable parameter. Unknown names become filters and are judged with the table.
    pub fn from_pairs<I>(pairs: I) -> Result<Self, QueryError>
    where
        I: IntoIterator<Item = (String, String)>,
    {
        let mut request = Self::default();
        for (name, value) in pairs {
            request.take(name, value)?;
        }
        Ok(request)
    }

    fn take(&mut self, name: String, value: String) -> Result<(), QueryError> {
        match name.as_str() {
            "select" => once(&mut self.select, "select", value),
            "order" => once(&mut self.order, "order", value),
            "cursor" => once(&mut self.cursor, "cursor", value),
            "limit" => once(&mut self.limit, "limit", crate::regions::limit(&value, crate::PAGE_ROWS)?),
            "as_of" => once(&mut self.as_of, "as_of", crate::regions::instant("as_of", &value)?),
            "count" => count(&value).map(|count| self.count = count),
            "format" => format(&value).map(|format| self.format = format),
            "bom" => Ok(()),
            "or" | "and" | "not.or" | "not.and" => self.filter(Filter::Group { text: name + &value }),
            _ => {
                let column = name.strip_prefix("col.").map(str::to_owned).unwrap_or(name);
                self.filter(Filter::Column { column, condition: value })
            }
        }
    }

    fn filter(&mut self, filter: Filter) -> Result<(), QueryError> {
        self.filters.push(filter);
        Ok(())
    }
}

fn once<T>(place: &mut Option<T>, name: &str, value: T) -> Result<(), QueryError> {
    match place.replace(value) {
        None => Ok(()),
        Some(_) => Err(QueryError::parameter(name, format!("`{name}` is given twice"))),
    }
}

fn count(word: &str) -> Result<Count, QueryError> {
    match word {
        "none" => Ok(Count::None),
        "exact" => Ok(Count::Exact),
        "estimated" => Ok(Count::Estimated),
        _ => Err(QueryError::parameter("count", "`count` is exact, estimated or none")),
    }
}

fn format(word: &str) -> Result<Format, QueryError> {
    let unknown = |detail: String| QueryError::Refused {
        code: "not-acceptable".to_owned(),
        detail,
        errors: Vec::new(),
    };
    word.parse().map_err(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(pairs: &[(&str, &str)]) -> Result<RowsRequest, QueryError> {
        RowsRequest::from_pairs(pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn a_column_named_like_a_parameter_has_its_escape() {
        let asked = request(&[("limit", "5"), ("col.limit", "gt.3"), ("or", "(a.eq.1)"), ("col.or", "eq.x")])
            .unwrap();
        assert_eq!(asked.limit, Some(5));
        let column = |column: &str, condition: &str| Filter::Column {
            column: column.into(),
            condition: condition.into(),
        };
        let group = Filter::Group { text: "or(a.eq.1)".into() };
        assert_eq!(asked.filters, [column("limit", "gt.3"), group, column("or", "eq.x")]);
    }

    #[test]
    fn a_parameter_comes_once_and_in_range() {
        for wrong in [
            &[("limit", "1"), ("limit", "2")][..],
            &[("limit", "0")],
            &[("limit", "100001")],
            &[("format", "xml")],
            &[("count", "all")],
        ] {
            assert!(request(wrong).is_err(), "{wrong:?}");
        }
    }
}
