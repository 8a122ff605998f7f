//! Descriptions that customers write: shown in lists, so they are short and hide nothing.

use identity::is_hidden;

use crate::problem::{Kind, Problem};

const CHARS: usize = 4_096;

/// The description, if there is one. Errors: `invalid-body` for more than 4 096 characters, and for control or direction
/// characters other than line ends and tabs.
pub fn description(text: Option<String>) -> Result<Option<String>, Problem> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.chars().count() > CHARS {
        return Err(refused(format!("`description` has more than {CHARS} characters")));
    }
    if text.chars().any(|c| is_hidden(c) && !matches!(c, '\n' | '\r' | '\t')) {
        return Err(refused("`description` has control or direction characters".into()));
    }
    Ok(Some(text))
}

fn refused(why: String) -> Problem {
    Problem::because(Kind::InvalidBody, why)
}
