//! Which addresses a URL of a caller's may lead to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, PoisonError, RwLock};

use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use super::names::{Names, SystemNames};

/// The URL leads where nobody may be sent. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotReachable {
    #[error("only http and https URLs are called")]
    Scheme,
    #[error("the URL names no host")]
    Host,
    #[error("the host is in a private network that [egress] allow_private does not name")]
    Private,
}

/// Says which private addresses are allowed after all.
pub type Allowed = dyn Fn(IpAddr) -> bool + Send + Sync;

/// Checks addresses. Cheap to clone; a reload changes all clones.
#[derive(Clone)]
pub struct Guard {
    allowed: Arc<RwLock<Option<Arc<Allowed>>>>,
    names: Arc<dyn Names>,
}

/// The system's names, and no private network.
impl Default for Guard {
    fn default() -> Guard {
        Guard::over(Arc::new(SystemNames))
    }
}

impl Guard {
    /// A guard in front of these names.
    pub fn over(names: Arc<dyn Names>) -> Guard {
        Guard { allowed: Arc::default(), names }
    }

    /// Takes the private networks of today's configuration.
    pub fn allow(&self, allowed: impl Fn(IpAddr) -> bool + Send + Sync + 'static) {
        *self.allowed.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(allowed));
    }

    /// Whether an address may be connected to.
    pub fn admits(&self, address: IpAddr) -> bool {
        if public(address) {
            return true;
        }
        let allowed = self.allowed.read().unwrap_or_else(PoisonError::into_inner).clone();
        allowed.is_some_and(|allowed| allowed(address))
    }

    /// What can be said of a URL before its name is resolved. A host that is an address in whatever spelling (decimal,
    /// hexadecimal, in brackets) was made one by the URL's parser, and is never resolved.
    ///
    /// # Errors
    /// Why it is not called.
    pub fn check(&self, url: &Url) -> Result<(), NotReachable> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NotReachable::Scheme);
        }
        let host = url.host_str().filter(|host| !host.is_empty()).ok_or(NotReachable::Host)?;
        let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            Ok(address) if !self.admits(address) => Err(NotReachable::Private),
            _ => Ok(()),
        }
    }
}

/// Resolves names to what may be connected to; the client connects to nothing else. Each connection asks anew, so what a name
/// stood for a moment ago counts for nothing.
impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let found = guard.names.addresses(name.as_str()).await?;
            let admitted = found.into_iter().filter(|address| guard.admits(*address));
            let admitted: Vec<SocketAddr> = admitted.map(|address| SocketAddr::new(address, 0)).collect();
            if admitted.is_empty() {
                return Err(NotReachable::Private.into());
            }
            let addresses: Addrs = Box::new(admitted.into_iter());
            Ok(addresses)
        })
    }
}

/// Whether an address belongs to the public Internet: the special-purpose registries of IANA, read strictly.
fn public(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => public_v4(address),
        IpAddr::V6(address) => public_v6(address),
    }
}

fn public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    // One registry's entry a line or two.
    !matches!(
        (a, b, c),
        (0 | 10 | 127 | 224.., ..)
            | (100, 64..=127, _)
            | (169, 254, _)
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (192, 168, _)
            | (198, 18 | 19, _)
            | (198, 51, 100)
            | (203, 0, 113)
    )
}

fn public_v6(address: Ipv6Addr) -> bool {
    let segments = address.segments();
    let last = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match segments {
        // Compatible with IPv4, unspecified, loopback.
        [0, 0, 0, 0, 0, 0, ..] => false,
        // Translated: the IPv4 address stands in it.
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => public_v4(last(high, low)),
        [0x2002, high, low, ..] => public_v4(last(high, low)),
        // Teredo, benchmarking, documentation, and what else is special below 2001::/23.
        [0x2001, 0..=0x01ff, ..] | [0x2001, 0x0db8, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        // Global unicast is 2000::/3; all else is local, multicast or nobody's.
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::egress::ScriptedNames;

    fn check(guard: &Guard, url: &str) -> Result<(), NotReachable> {
        guard.check(&Url::parse(url).unwrap())
    }

    #[test]
    fn private_addresses_are_refused_however_they_are_spelt() {
        let guard = Guard::default();
        for host in [
            "127.0.0.1",
            "127.1",
            "2130706433",
            "0x7f000001",
            "0177.0.0.1",
            "0",
            "10.0.0.1",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.1",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "[::]",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:a00:1]",
            "[::7f00:1]",
            "[64:ff9b::7f00:1]",
            "[2002:7f00:1::]",
            "[fc00::1]",
            "[fe80::1]",
            "[fec0::1]",
            "[ff02::1]",
            "[2001:db8::1]",
            "[2001::1]",
            "[100::1]",
        ] {
            assert_eq!(check(&guard, &format!("http://{host}/x")), Err(NotReachable::Private), "{host}");
        }
        for host in
            ["8.8.8.8", "172.32.0.1", "100.128.0.1", "[2606:4700::1111]", "[64:ff9b::808:808]", "example.com"]
        {
            assert_eq!(check(&guard, &format!("https://{host}:8443/x")), Ok(()), "{host}");
        }
        for url in ["ftp://example.com/", "file:///etc/passwd", "data:text/plain,x"] {
            assert_eq!(check(&guard, url), Err(NotReachable::Scheme), "{url}");
        }
    }

    #[test]
    fn what_the_configuration_names_is_allowed_and_nothing_beside_it() {
        let guard = Guard::default();
        guard.allow(|address| address == IpAddr::from([10, 1, 0, 7]));
        assert_eq!(check(&guard, "http://10.1.0.7/"), Ok(()));
        assert_eq!(check(&guard, "http://10.1.0.8/"), Err(NotReachable::Private));
    }

    #[tokio::test]
    async fn a_name_is_judged_by_what_it_resolves_to() {
        let guard = Guard::default();
        let resolve = |guard: &Guard| guard.resolve("localhost".parse().unwrap());
        assert_eq!(resolve(&guard).await.err().unwrap().to_string(), NotReachable::Private.to_string());
        guard.allow(|address| address.is_loopback());
        assert!(resolve(&guard).await.unwrap().all(|address| address.ip().is_loopback()));
    }

    #[tokio::test]
    async fn a_name_is_judged_anew_for_each_connection_and_address_by_address() {
        let (public, private) = (IpAddr::from([8, 8, 8, 8]), IpAddr::from([10, 0, 0, 1]));
        let names = ScriptedNames::default();
        names.answer("turns.example", vec![public]);
        names.answer("turns.example", vec![private]);
        names.answer("both.example", vec![private, public]);
        let guard = Guard::over(Arc::new(names));
        let resolve = async |name: &str| {
            let found = guard.resolve(name.parse().unwrap()).await.ok()?;
            Some(found.map(|address| address.ip()).collect::<Vec<_>>())
        };
        assert_eq!(resolve("turns.example").await, Some(vec![public]));
        assert_eq!(resolve("turns.example").await, None);
        assert_eq!(resolve("turns.example").await, None);
        assert_eq!(resolve("both.example").await, Some(vec![public]));
    }
}
