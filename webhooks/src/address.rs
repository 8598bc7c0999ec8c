//! Where a webhook may go: to public addresses over https, so that nobody reaches our own network through us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Why a webhook may not go to an address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedAddress {
    /// Not encrypted.
    #[error("webhooks are sent over https only; change the app's webhook URL to https")]
    NotHttps,
    /// The host is a forbidden address, or its name leads to one.
    #[error("{0} does not lead to a public address; give the app a webhook URL that the internet can reach")]
    NotPublic(String),
}

/// Judges a URL before anything is resolved: its scheme, and its host if that is an address. A name is judged when it
/// is resolved, at each attempt.
///
/// # Errors
/// When a webhook may not go there.
pub fn check_url(url: &Url, allow_private: bool) -> Result<(), RefusedAddress> {
    if allow_private {
        return Ok(());
    }
    if url.scheme() != "https" {
        return Err(RefusedAddress::NotHttps);
    }
    let public = match url.host() {
        Some(Host::Ipv4(address)) => is_public_v4(address),
        Some(Host::Ipv6(address)) => is_public_v6(address),
        Some(Host::Domain(_)) => true,
        None => false,
    };
    if public { Ok(()) } else { Err(RefusedAddress::NotPublic(url.host_str().unwrap_or_default().to_owned())) }
}

/// Whether everybody on the internet may reach this address.
#[must_use]
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// What the IANA registries of special-purpose addresses set apart (RFC 6890), and multicast.
const FORBIDDEN_V4: [([u8; 4], u32); 16] = [
    ([0, 0, 0, 0], 8),
    ([10, 0, 0, 0], 8),
    ([100, 64, 0, 0], 10),
    ([127, 0, 0, 0], 8),
    ([169, 254, 0, 0], 16),
    ([172, 16, 0, 0], 12),
    ([192, 0, 0, 0], 24),
    ([192, 0, 2, 0], 24),
    ([192, 31, 196, 0], 24),
    ([192, 52, 193, 0], 24),
    ([192, 88, 99, 0], 24),
    ([192, 168, 0, 0], 16),
    ([198, 18, 0, 0], 15),
    ([198, 51, 100, 0], 24),
    ([203, 0, 113, 0], 24),
    // 224/4 multicast, 240/4 reserved, broadcast.
    ([224, 0, 0, 0], 3),
];

const FORBIDDEN_V6: [([u16; 8], u32); 12] = [
    // ::, ::1, and the deprecated form of embedded IPv4; the mapped form is judged before.
    ([0, 0, 0, 0, 0, 0, 0, 0], 96),
    ([0x64, 0xff9b, 1, 0, 0, 0, 0, 0], 48),
    ([0x100, 0, 0, 0, 0, 0, 0, 0], 64),
    ([0x100, 0, 0, 1, 0, 0, 0, 0], 64),
    // 2001::/23 holds Teredo, benchmarking, ORCHID.
    ([0x2001, 0, 0, 0, 0, 0, 0, 0], 23),
    ([0x2001, 0xdb8, 0, 0, 0, 0, 0, 0], 32),
    ([0x3fff, 0, 0, 0, 0, 0, 0, 0], 20),
    ([0x5f00, 0, 0, 0, 0, 0, 0, 0], 16),
    ([0xfc00, 0, 0, 0, 0, 0, 0, 0], 7),
    ([0xfe80, 0, 0, 0, 0, 0, 0, 0], 10),
    ([0xfec0, 0, 0, 0, 0, 0, 0, 0], 10),
    ([0xff00, 0, 0, 0, 0, 0, 0, 0], 8),
];

fn is_public_v4(address: Ipv4Addr) -> bool {
    let bits = address.to_bits();
    !FORBIDDEN_V4.iter().any(|(network, length)| {
        let differing = bits ^ Ipv4Addr::from(*network).to_bits();
        differing.leading_zeros() >= *length
    })
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(embedded) = embedded_v4(address) {
        return is_public_v4(embedded);
    }
    let bits = address.to_bits();
    !FORBIDDEN_V6.iter().any(|(network, length)| {
        let differing = bits ^ Ipv6Addr::from(*network).to_bits();
        differing.leading_zeros() >= *length
    })
}

/// The IPv4 address that a packet would end at: mapped, NAT64 (RFC 6052), 6to4 (RFC 3056).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let word = |high: u16, low: u16| Ipv4Addr::from_bits(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] | [0x2002, high, low, ..] => {
            Some(word(high, low))
        }
        _ => None,
    }
}

/// Resolves names for the HTTP client, once per connection, which then goes to one of the addresses judged here. If any
/// of them is forbidden, the name is refused: it would only take another try to be sent to that one.
pub(crate) struct VettingResolver {
    pub(crate) allow_private: bool,
}

impl Resolve for VettingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            Ok(vet(name.as_str(), found, allow_private)?)
        })
    }
}

fn vet(name: &str, found: Vec<SocketAddr>, allow_private: bool) -> Result<Addrs, RefusedAddress> {
    if allow_private || found.iter().all(|address| is_public(address.ip())) {
        Ok(Box::new(found.into_iter()))
    } else {
        Err(RefusedAddress::NotPublic(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLIC: [&str; 12] = [
        "1.1.1.1",
        "8.8.8.8",
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "223.255.255.255",
        "2606:4700::1111",
        "2a00:1450:4001::1",
        "::ffff:8.8.8.8",
        "64:ff9b::808:808",
    ];

    const FORBIDDEN: [&str; 58] = [
        "0.0.0.0",
        "0.255.255.255",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.0",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.1",
        "192.0.0.170",
        "192.0.2.1",
        "192.31.196.1",
        "192.52.193.1",
        "192.88.99.1",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::7f00:1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "100::1",
        "2001::1",
        "2001:2::1",
        "2001:10::1",
        "2001:20::1",
        "2001:db8::1",
        "2002:7f00:1::1",
        "2002:a00:1::",
        "2002:c0a8:101::1",
        "2002:a9fe:a9fe::1",
        "3fff::1",
        "3fff:fff:ffff::1",
        "5f00::1",
        "fc00::1",
        "fd00:ec2::254",
        "fdff:ffff::1",
        "fe80::1",
        "febf::1",
        "fec0::1",
        "ff02::1",
        "ff0e::1",
    ];

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn public_addresses_are_allowed() {
        for text in PUBLIC {
            assert!(is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn every_range_that_is_not_public_is_refused() {
        for text in FORBIDDEN {
            assert!(!is_public(address(text)), "{text}");
        }
    }

    #[test]
    fn an_address_as_host_is_judged_however_it_is_written() {
        let hosts = [
            "127.0.0.1",
            "2130706433",
            "0x7f000001",
            "0x7f.1",
            "0177.0.0.1",
            "127.1",
            "127.0.0.1.",
            "10.0.0.1",
            "0",
            "169.254.169.254",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[64:ff9b::7f00:1]",
        ];
        for host in hosts {
            let url = Url::parse(&format!("https://{host}/hook")).unwrap_or_else(|error| panic!("{host}: {error}"));
            assert!(matches!(check_url(&url, false), Err(RefusedAddress::NotPublic(_))), "{host}");
            assert_eq!(check_url(&url, true), Ok(()), "{host}");
        }
    }

    #[test]
    fn only_https_leaves_the_house() {
        let url = |text| Url::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(check_url(&url("https://app.example/hook"), false), Ok(()));
        assert_eq!(check_url(&url("https://8.8.8.8/hook"), false), Ok(()));
        assert_eq!(check_url(&url("http://app.example/hook"), false), Err(RefusedAddress::NotHttps));
        assert_eq!(check_url(&url("http://127.0.0.1:3000/hook"), true), Ok(()));
    }

    #[test]
    fn one_forbidden_answer_refuses_the_name() {
        let found = |texts: &[&str]| texts.iter().map(|text| SocketAddr::new(address(text), 0)).collect::<Vec<_>>();
        assert!(vet("app.example", found(&["8.8.8.8", "2606:4700::1111"]), false).is_ok());
        let mixed = found(&["8.8.8.8", "127.0.0.1"]);
        assert!(vet("app.example", mixed.clone(), false).is_err());
        assert!(vet("app.example", mixed, true).is_ok());
    }

    #[tokio::test]
    async fn a_name_that_leads_home_is_refused() {
        let resolver = VettingResolver { allow_private: false };
        let name: Name = "localhost".parse().unwrap_or_else(|_| panic!("localhost is a name"));
        let refused = resolver.resolve(name).await.err().unwrap_or_else(|| panic!("localhost was resolved"));
        assert!(refused.downcast_ref::<RefusedAddress>().is_some(), "{refused}");
    }
}
