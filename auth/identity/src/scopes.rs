//! Scopes: what a credential may do.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_with::{DeserializeFromStr, SerializeDisplay};

use crate::NameError;

/// One right. They stand side by side: `admin` is the operator's and does not imply `read`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, SerializeDisplay, DeserializeFromStr)]
pub enum Scope {
    Read,
    Write,
    Admin,
}

impl Scope {
    pub const ALL: [Scope; 3] = [Scope::Read, Scope::Write, Scope::Admin];

    pub const fn as_str(self) -> &'static str {
        match self {
            Scope::Read => "read",
            Scope::Write => "write",
            Scope::Admin => "admin",
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        Scope::ALL
            .into_iter()
            .find(|scope| scope.as_str() == text)
            .ok_or_else(|| NameError::new(text, "a scope is one of `read`, `write`, `admin`"))
    }
}

/// A set of scopes. As text `read write`; as JSON `["read","write"]`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    pub const NONE: Scopes = Scopes(0);
    pub const READ: Scopes = Scopes(Scope::Read.bit());
    pub const WRITE: Scopes = Scopes(Scope::Write.bit());
    pub const ADMIN: Scopes = Scopes(Scope::Admin.bit());

    pub const fn contains(self, scope: Scope) -> bool {
        self.0 & scope.bit() != 0
    }

    pub const fn contains_all(self, others: Scopes) -> bool {
        self.0 & others.0 == others.0
    }

    /// What both hold: a token never has more than its key.
    pub const fn intersection(self, others: Scopes) -> Scopes {
        Scopes(self.0 & others.0)
    }

    pub const fn union(self, others: Scopes) -> Scopes {
        Scopes(self.0 | others.0)
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.contains(*scope))
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Scopes(scopes.into_iter().fold(0, |bits, scope| bits | scope.bit()))
    }
}

impl<const N: usize> From<[Scope; N]> for Scopes {
    fn from(scopes: [Scope; N]) -> Self {
        scopes.into_iter().collect()
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            write!(f, "{}{scope}", if n == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl fmt::Debug for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scopes({self})")
    }
}

impl FromStr for Scopes {
    type Err = NameError;

    /// Reads `read write` (RFC 6749 3.3).
    fn from_str(text: &str) -> Result<Self, NameError> {
        text.split_ascii_whitespace().map(Scope::from_str).collect()
    }
}

impl TryFrom<String> for Scopes {
    type Error = NameError;

    fn try_from(text: String) -> Result<Self, NameError> {
        text.parse()
    }
}

impl Serialize for Scopes {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.iter())
    }
}

impl<'de> Deserialize<'de> for Scopes {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Vec::<Scope>::deserialize(from).map(Scopes::from_iter)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn admin_does_not_imply_read() {
        let admin = Scopes::from([Scope::Admin]);
        assert!(admin.contains(Scope::Admin));
        assert!(!admin.contains(Scope::Read) && !admin.contains(Scope::Write));
    }

    #[test]
    fn scopes_are_a_list_in_json_and_words_in_text() {
        let scopes = Scopes::from([Scope::Write, Scope::Read]);
        assert_eq!(serde_json::to_string(&scopes).unwrap(), r#"["read","write"]"#);
        assert_eq!(serde_json::from_str::<Scopes>(r#"["write","read","read"]"#).unwrap(), scopes);
        assert_eq!(scopes.to_string(), "read write");
        assert_eq!("write  read".parse::<Scopes>().unwrap(), scopes);
        assert!("read root".parse::<Scopes>().is_err());
        assert!("Read".parse::<Scopes>().is_err());
    }

    #[test]
    fn an_intersection_never_widens() {
        let key = Scopes::from([Scope::Read]);
        let asked = Scopes::from([Scope::Read, Scope::Write]);
        assert_eq!(key.intersection(asked), key);
        assert!(asked.contains_all(key) && !key.contains_all(asked));
    }
}
