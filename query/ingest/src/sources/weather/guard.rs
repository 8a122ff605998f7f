//! Which addresses may be asked: the configured hosts, and of what their names resolve to only public addresses,
//! unless the lake says that the service is one of its own (`allow_private`).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

use crate::sources::SourceError;

/// The rule of one source.
#[derive(Clone, Debug)]
pub struct Guard {
    hosts: Vec<String>,
    allow_private: bool,
}

impl Guard {
    /// Only the hosts of these addresses.
    pub fn new(urls: &[&Url], allow_private: bool) -> Self {
        let hosts = urls.iter().filter_map(|u| u.host_str().map(str::to_string)).collect();
        Self { hosts, allow_private }
    }

    /// Errors: [`SourceError::NotAllowed`] for another scheme or host, or a private address written out.
    pub fn check(&self, url: &Url) -> Result<(), SourceError> {
        let refuse = |reason: &str| {
            let address = url.host_str().unwrap_or_default().to_string();
            Err(SourceError::NotAllowed { address, reason: reason.to_string() })
        };
        match url.host() {
            _ if !matches!(url.scheme(), "http" | "https") => refuse("only http and https are spoken"),
            Some(Host::Ipv4(ip)) if !self.may(ip.into()) => refuse("it is no public address"),
            Some(Host::Ipv6(ip)) if !self.may(ip.into()) => refuse("it is no public address"),
            Some(host) if self.hosts.contains(&host.to_string()) => Ok(()),
            _ => refuse("it is not the configured host"),
        }
    }

    /// The addresses behind a host and port that may be asked.
    /// - Errors: [`SourceError::Unavailable`] for a name that nobody knows; [`SourceError::NotAllowed`] when none may.
    pub async fn addresses(&self, host: &str, port: u16) -> Result<Vec<SocketAddr>, SourceError> {
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let unknown = |e: std::io::Error| SourceError::Unavailable {
            reason: format!("{host}: {e}"),
            retry_after_secs: None,
        };
        let found = tokio::net::lookup_host((bare, port)).await.map_err(unknown)?;
        let allowed: Vec<SocketAddr> = found.filter(|a| self.may(a.ip())).collect();
        match allowed.is_empty() {
            false => Ok(allowed),
            true => Err(SourceError::NotAllowed {
                address: host.to_owned(),
                reason: "it has no public address".to_owned(),
            }),
        }
    }

    fn may(&self, ip: IpAddr) -> bool {
        self.allow_private || is_public(ip)
    }
}

impl Resolve for Guard {
    /// Resolves once, and gives the connection only addresses that the rule allows.
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let allowed: Vec<SocketAddr> = found.filter(|a| guard.may(a.ip())).collect();
            if allowed.is_empty() {
                return Err(format!("{} has no public address", name.as_str()).into());
            }
            Ok(Box::new(allowed.into_iter()) as Addrs)
        })
    }
}

/// Whether an address belongs to the open internet.
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => match ip.to_ipv4_mapped() {
            Some(mapped) => is_public_v4(mapped),
            None => is_public_v6(ip),
        },
    }
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocols = a == 192 && b == 0 && c == 0;
    let benchmark = a == 198 && (b == 18 || b == 19);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_documentation()
        || a == 0
        || a >= 224
        || shared
        || protocols
        || benchmark)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    // Only 2000::/3 is given out; of it, documentation and the tunnels that carry IPv4 addresses are refused.
    let [first, second, ..] = ip.segments();
    let documentation = first == 0x2001 && second == 0x0db8;
    let tunnels = first == 0x2002 || (first == 0x2001 && second == 0);
    (first & 0xe000) == 0x2000 && !documentation && !tunnels
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[test]
    fn only_the_configured_host_is_asked() {
        let service = url("https://api.open-meteo.com/v1/forecast");
        let guard = Guard::new(&[&service], false);
        assert!(guard.check(&url("https://api.open-meteo.com/v1/archive?x=1")).is_ok());
        for other in
            ["https://example.com/", "ftp://api.open-meteo.com/", "http://127.0.0.1/", "http://[::1]/"]
        {
            assert!(guard.check(&url(other)).is_err(), "{other}");
        }
    }

    #[test]
    fn a_service_on_loopback_must_be_allowed() {
        let stub = url("http://127.0.0.1:4000/v1/forecast");
        assert!(Guard::new(&[&stub], false).check(&stub).is_err());
        assert!(Guard::new(&[&stub], true).check(&stub).is_ok());
    }

    #[tokio::test]
    async fn only_allowed_addresses_of_a_host_are_given() {
        for host in ["127.0.0.1", "[::1]", "localhost"] {
            assert!(Guard::new(&[], false).addresses(host, 21).await.is_err(), "{host}");
        }
        assert_eq!(Guard::new(&[], true).addresses("127.0.0.1", 21).await.unwrap().len(), 1);
    }

    #[test]
    fn private_addresses_are_not_public() {
        for ip in [
            "10.0.0.1",
            "172.16.3.4",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "255.255.255.255",
            "::1",
            "fe80::1",
            "fc00::1",
            "::ffff:127.0.0.1",
            "2002:7f00:1::",
            "2001:db8::1",
        ] {
            assert!(!is_public(ip.parse().unwrap()), "{ip}");
        }
        for ip in ["1.1.1.1", "93.184.216.34", "2606:4700::1111"] {
            assert!(is_public(ip.parse().unwrap()), "{ip}");
        }
    }
}
