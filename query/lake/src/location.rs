//! Where a table lies under the lake's root: the one place where prefixes of the platform's tables are built; those of customers' come
//! from [`WorkspaceId::place`].

use std::fmt;
use std::str::FromStr;

use identity::{TableId, TableName, WorkspaceId};
use object_store::path::Path;

use crate::Error;

/// The folder of one table, relative to the lake's root, without slashes at the ends.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Location(String);

impl Location {
    /// `<area>/<schema>/<table>`, a table of the platform.
    pub fn platform(area: &str, name: &TableName) -> Self {
        Self(format!("{area}/{}/{}", name.schema, name.table))
    }

    /// `workspaces/<workspace>/<table id>`: generated parts only, never a customer's words.
    pub fn workspace(workspace: WorkspaceId, table: TableId) -> Self {
        Self(workspace.place(table))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The folder as an object-store path.
    pub fn path(&self) -> Path {
        Path::from(self.0.as_str())
    }

    /// A file of the table. `relative` is a path of the log, already decoded.
    pub(crate) fn file(&self, relative: &str) -> Path {
        Path::from(format!("{}/{relative}", self.0))
    }

    /// A file of the table's log.
    pub(crate) fn log(&self, name: &str) -> Path {
        Path::from(format!("{}/_delta_log/{name}", self.0))
    }
}

impl FromStr for Location {
    type Err = Error;

    /// Refuses empty and dotted segments; what the catalog has stored always passes.
    fn from_str(text: &str) -> Result<Self, Error> {
        let plain = |part: &str| {
            !part.is_empty()
                && !part.starts_with('.')
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if text.split('/').all(plain) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::Unsupported(format!("`{}` as a location", text.escape_debug())))
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_segments_pass() {
        assert!("curated/weather/daily".parse::<Location>().is_ok());
        for bad in ["", "a//b", "../etc", "a/../b", "/a", "a/", "a b", "a\0"] {
            assert!(bad.parse::<Location>().is_err(), "{bad:?}");
        }
    }
}
