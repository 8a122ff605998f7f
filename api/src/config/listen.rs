//! An address to listen on, as people write it.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// `HOST:PORT`; a host name is looked up when the server starts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Listen(String);

/// The text is no address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("is an address and a port, such as 127.0.0.1:8080, [::1]:8080 or localhost:8080")]
pub struct NoAddress;

impl Listen {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for Listen {
    fn default() -> Self {
        Self("127.0.0.1:8080".to_owned())
    }
}

impl FromStr for Listen {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (host, port) = text.rsplit_once(':').ok_or(NoAddress)?;
        port.parse::<u16>().map_err(|_| NoAddress)?;
        let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        let known = match bracketed {
            Some(inner) => inner.parse::<Ipv6Addr>().is_ok(),
            None => !host.is_empty() && host.chars().all(named),
        };
        if known { Ok(Self(text.to_owned())) } else { Err(NoAddress) }
    }
}

impl TryFrom<String> for Listen {
    type Error = NoAddress;

    fn try_from(text: String) -> Result<Self, NoAddress> {
        text.parse()
    }
}

impl From<Listen> for String {
    fn from(listen: Listen) -> Self {
        listen.0
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_both_kinds_of_addresses_are_taken_and_nothing_else() {
        for good in ["127.0.0.1:8080", "localhost:0", "[::1]:80", "gateway-1.internal:8080"] {
            assert!(good.parse::<Listen>().is_ok(), "{good}");
        }
        for bad in ["8080", ":8080", "localhost", "localhost:http", "::1:80", "[x]:80", "a b:80", "a:70000"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
    }
}
