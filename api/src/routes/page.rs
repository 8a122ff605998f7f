//! Which page of a list is asked for.

use serde::Deserialize;
use utoipa::IntoParams;

use crate::problem::{Kind, Problem};

#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Page {
    /// 100 if absent.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 1000, example = 10)]
    limit: Option<String>,
    /// `meta.next` of the page before.
    cursor: Option<String>,
}

impl Page {
    /// How many to answer.
    pub fn limit(&self) -> Result<u32, Problem> {
        let limit = self.limit.as_deref().map(|text| engine::regions::limit(text, 1_000)).transpose()?;
        Ok(limit.and_then(|limit| u32::try_from(limit).ok()).unwrap_or(100))
    }

    /// Where the page begins, by the list's own reading of its cursors. Errors: `invalid-cursor` where it cannot be read.
    pub fn cursor<T>(&self, read: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, Problem> {
        let wrong = || Problem::new(Kind::InvalidCursor);
        self.cursor.as_deref().map(|text| read(text).ok_or_else(wrong)).transpose()
    }
}

/// Leaves `limit` of rows that may be one more, which tells of a next page: its cursor, by the last that is left.
pub fn cut<T>(rows: &mut Vec<T>, limit: u32, cursor: impl FnOnce(&T) -> String) -> Option<String> {
    let limit = limit as usize;
    let more = rows.len() > limit;
    rows.truncate(limit);
    rows.last().filter(|_| more).map(cursor)
}
