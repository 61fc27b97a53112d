//! Proxies whose word about the client's address is taken. `X-Forwarded-For` is written by whoever
//! sends the request, so only what a trusted proxy added to it counts: it is read from its end, and
//! the first address that is no trusted proxy is the client.

use std::net::IpAddr;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: u128,
    mask: u128,
}

/// The trusted networks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

/// IPv4 addresses in their place among IPv6 ones, so that both are compared alike.
fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

impl Network {
    fn parse(text: &str) -> Option<Self> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u32>().ok()?)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.unwrap_or(width);
        if bits > width {
            return None;
        }
        // All bits but those of the host; a network of nothing but host bits is everything.
        let mask = u128::MAX.checked_shl(width.saturating_sub(bits)).unwrap_or(0);
        Some(Self { address: number(address) & mask, mask })
    }
}

impl Proxies {
    /// The position of the first entry that is no address and no network, where there is one.
    pub fn parse(entries: &[String]) -> Result<Self, usize> {
        let networks = entries.iter().enumerate().map(|(place, entry)| Network::parse(entry).ok_or(place));
        networks.collect::<Result<Vec<_>, _>>().map(Self)
    }

    pub fn trust(&self, address: IpAddr) -> bool {
        let address = number(address);
        self.0.iter().any(|network| address & network.mask == network.address)
    }

    /// The client's address: `peer` is who opened the connection, `forwarded` the lines of
    /// `X-Forwarded-For` in their order.
    pub fn client<'a>(&self, peer: IpAddr, forwarded: impl DoubleEndedIterator<Item = &'a str>) -> IpAddr {
        let mut client = peer;
        let hops = forwarded.rev().flat_map(|line| line.rsplit(',')).map(str::trim);
        for hop in hops {
            if !self.trust(client) {
                return client;
            }
            // What cannot be read ends the chain: nothing before it can be trusted either.
            let Some(address) = address_of(hop) else { return client };
            client = address;
        }
        client
    }
}

/// An address, which some proxies write with a port.
fn address_of(hop: &str) -> Option<IpAddr> {
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse().ok().or_else(|| hop.parse::<std::net::SocketAddr>().ok().map(|socket| socket.ip()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies(entries: &[&str]) -> Result<Proxies, usize> {
        Proxies::parse(&entries.iter().map(|entry| (*entry).to_owned()).collect::<Vec<_>>())
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn networks_hold_their_addresses_and_no_others() {
        let trusted = proxies(&["10.0.0.0/8", "192.168.1.7", "fd00::/8"]).unwrap();
        for address in ["10.1.2.3", "192.168.1.7", "fd12::1", "::ffff:10.0.0.1"] {
            assert!(trusted.trust(ip(address)), "{address}");
        }
        for address in ["11.0.0.1", "192.168.1.8", "fe80::1", "::1", "::a00:1"] {
            assert!(!trusted.trust(ip(address)), "{address}");
        }
        assert!(proxies(&["0.0.0.0/0"]).unwrap().trust(ip("203.0.113.9")));
        assert!(!proxies(&["0.0.0.0/0"]).unwrap().trust(ip("2001:db8::1")));
        assert!(proxies(&["::/0"]).unwrap().trust(ip("2001:db8::1")));
        assert_eq!(proxies(&["10.0.0.0/8", "10.0.0.0/33"]).unwrap_err(), 1);
        assert_eq!(proxies(&["proxy.example"]).unwrap_err(), 0);
    }

    #[test]
    fn the_client_is_the_last_hop_that_no_trusted_proxy_is() {
        let trusted = proxies(&["10.0.0.0/8"]).unwrap();
        let client = |peer: &str, lines: &[&str]| trusted.client(ip(peer), lines.iter().copied()).to_string();
        assert_eq!(client("10.0.0.1", &["203.0.113.9"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, 203.0.113.9, 10.0.0.2"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["198.51.100.1", "203.0.113.9:4711"]), "203.0.113.9");
        assert_eq!(client("10.0.0.1", &["[2001:db8::1]:443"]), "2001:db8::1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1, nonsense"]), "10.0.0.1");
        assert_eq!(client("10.0.0.1", &[]), "10.0.0.1");
        // Whoever is no proxy can claim what it likes.
        assert_eq!(client("203.0.113.9", &["198.51.100.1"]), "203.0.113.9");
    }
}
