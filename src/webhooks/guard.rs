//! Where messages may be sent. A tenant names a URL and the server calls it from within the
//! operator's network, so it must not lead there: an address that is not public is refused when the
//! endpoint is made, and again for every connection, after its name was resolved.

use super::URL_CHARS_MAX;
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

/// How long a name may take to be resolved when an endpoint is made.
const LOOKUP: Duration = Duration::from_secs(5);

pub const NOT_PUBLIC: &str = "the url leads to an address that is not public";

/// A URL that messages may be sent to, as far as it can be seen.
pub fn check_url(text: &str, allow_private: bool) -> Result<Url, &'static str> {
    if text.chars().count() > URL_CHARS_MAX {
        return Err("the url is at most 2048 characters");
    }
    let url = Url::parse(text).map_err(|_| "the url cannot be understood")?;
    match url.scheme() {
        "https" => {}
        "http" if allow_private => {}
        _ => return Err("the url must be https"),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("the url must not hold a user or a password");
    }
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("the url names no host")?;
    if !allow_private && literal(host).is_some_and(|address| !is_public(address)) {
        return Err(NOT_PUBLIC);
    }
    Ok(url)
}

/// An address that stands in a URL itself; those are never resolved.
fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Whether a name leads to public addresses alone, as far as it is known now. One that is not known
/// yet may be so by the time that something is sent.
pub async fn check_host(url: &Url, allow_private: bool) -> Result<(), &'static str> {
    let Some(host) = url.host_str().filter(|host| !allow_private && literal(host).is_none()) else { return Ok(()) };
    let Ok(Ok(mut found)) = tokio::time::timeout(LOOKUP, tokio::net::lookup_host((host, 0))).await else {
        return Ok(());
    };
    if found.any(|address| !is_public(address.ip())) { Err(NOT_PUBLIC) } else { Ok(()) }
}

/// Whether an address is somewhere on the internet, and not within somebody's network.
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let special = match address.octets() {
        [0 | 10 | 127 | 240..=255, ..] => true,
        [224..=239, ..] => true,
        // Shared by carriers; link-local, where clouds keep their metadata.
        [100, 64..=127, ..] | [169, 254, ..] => true,
        [172, 16..=31, ..] | [192, 168, ..] => true,
        // Protocols, documentation, measuring, a former way to IPv6.
        [192, 0, 0 | 2, _] | [192, 88, 99, _] | [198, 18 | 19, ..] => true,
        [198, 51, 100, _] | [203, 0, 113, _] => true,
        _ => false,
    };
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let [high, low] = [g.to_be_bytes(), h.to_be_bytes()];
    let inner = Ipv4Addr::new(high[0], high[1], low[0], low[1]);
    match [a, b, c, d, e, f] {
        // An IPv4 address in another coat: as it stands, or behind NAT64.
        [0, 0, 0, 0, 0, 0xffff] | [0x64, 0xff9b, 0, 0, 0, 0] => is_public_v4(inner),
        // Tunnels into other networks, documentation.
        [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..] | [0x3fff, 0..=0xfff, ..] => false,
        [0x2000..=0x3fff, ..] => true,
        _ => false,
    }
}

/// The error of a name that leads somewhere else than to the internet.
#[derive(Debug, thiserror::Error)]
#[error("the address is not public")]
pub struct NotPublic;

/// Resolves names for the client: what it gives is what is connected to, so a name cannot lead
/// somewhere else between the look and the call.
pub struct Guarded {
    pub allow_private: bool,
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let allow_private = self.allow_private;
        Box::pin(async move {
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name.as_str(), 0)).await?.collect();
            if !allow_private && found.iter().any(|address| !is_public(address.ip())) {
                return Err(NotPublic.into());
            }
            let addresses: Addrs = Box::new(found.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_https_without_a_user_and_leads_to_the_internet() {
        for good in ["https://hooks.example/convoke?x=1", "https://8.8.8.8:8443/", "https://[2606:4700::1111]/"] {
            assert!(check_url(good, false).is_ok(), "{good}");
        }
        for bad in [
            "http://hooks.example/",
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "hooks.example",
            "https://user@hooks.example/",
            "https://user:password@hooks.example/",
            "https://:password@hooks.example/",
            "https://127.0.0.1/",
            "https://0x7f.1/",
            "https://2130706433/",
            "https://169.254.169.254/latest/meta-data",
            "https://[::1]/",
            "https://[::ffff:10.0.0.1]/",
        ] {
            assert!(check_url(bad, false).is_err(), "{bad}");
        }
        assert!(check_url("http://127.0.0.1:9000/", true).is_ok() && check_url("ftp://127.0.0.1/", true).is_err());
        let long = |chars: usize| format!("https://h.example/{}", "x".repeat(chars - 18));
        assert!(check_url(&long(URL_CHARS_MAX), false).is_ok());
        let why = check_url(&long(URL_CHARS_MAX + 1), false).unwrap_err();
        assert!(why.contains(&URL_CHARS_MAX.to_string()), "{why}");
    }

    #[test]
    fn what_is_not_on_the_internet_is_known() {
        for private in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "172.31.0.1",
            "192.0.0.8",
            "192.0.2.1",
            "192.168.1.1",
            "198.19.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:192.168.0.1",
            "64:ff9b::a00:1",
            "fe80::1",
            "fc00::1",
            "fd12::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:a00:1::",
            "3fff::1",
            "::7f00:1",
            "100::1",
        ] {
            assert!(!is_public(private.parse().unwrap()), "{private}");
        }
        for public in
            ["8.8.8.8", "100.128.0.1", "172.32.0.1", "192.0.1.1", "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::1"]
        {
            assert!(is_public(public.parse().unwrap()), "{public}");
        }
    }

    #[tokio::test]
    async fn a_name_is_looked_at_before_it_is_called() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert_eq!(check_host(&url("https://localhost/"), false).await, Err(NOT_PUBLIC));
        assert_eq!(check_host(&url("https://localhost/"), true).await, Ok(()));
        assert_eq!(check_host(&url("https://nowhere.invalid/"), false).await, Ok(()), "it may be known later");
        let resolve = |allow_private| Guarded { allow_private }.resolve("localhost".parse().unwrap());
        assert!(resolve(false).await.err().unwrap().downcast_ref::<NotPublic>().is_some());
        assert!(resolve(true).await.unwrap().all(|address| address.ip().is_loopback()));
    }
}
