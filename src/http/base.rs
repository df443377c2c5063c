//! Where the world reaches us: the beginning of every URL we return and of every signature over one.

use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;
use http::header::HOST;

use super::server::Peer;

/// The public URL if one is configured, else what a request says of itself. It can change while the daemon runs.
#[derive(Default)]
pub struct Base(RwLock<Arc<Known>>);

#[derive(Default)]
struct Known {
    url: Option<Arc<str>>,
    trusted: Option<Box<Trusted>>,
}

/// Whether the headers by which a proxy names the original request are believed from there.
pub type Trusted = dyn Fn(IpAddr) -> bool + Send + Sync;

impl Base {
    /// With this public URL, or with none: then each request's own `Host` stands in.
    pub fn new(public_url: Option<&str>) -> Base {
        let base = Base::default();
        base.set(public_url, None);
        base
    }

    /// Takes a new public URL, and which peers are proxies of ours.
    pub fn set(&self, public_url: Option<&str>, trusted: Option<Box<Trusted>>) {
        let url = public_url.map(|url| Arc::from(url.trim_end_matches('/')));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(Known { url, trusted });
    }

    /// Scheme and host, without a slash at the end. Without a configured URL, a trusted proxy's
    /// `X-Forwarded-Proto` and `X-Forwarded-Host` count, nobody else's.
    pub fn root(&self, headers: &HeaderMap, peer: Option<&Peer>) -> Arc<str> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(url) = &known.url {
            return Arc::clone(url);
        }
        let proxied = matches!((&known.trusted, peer), (Some(trusted), Some(peer)) if trusted(peer.0));
        let said = |name: &str| headers.get(name).filter(|_| proxied)?.to_str().ok();
        let scheme = if said("x-forwarded-proto") == Some("https") { "https" } else { "http" };
        let name = said("x-forwarded-host").filter(|name| plain(name)).or_else(|| host(headers));
        format!("{scheme}://{}", name.unwrap_or("localhost")).into()
    }
}

impl fmt::Debug for Base {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        f.debug_struct("Base").field("url", &known.url).finish_non_exhaustive()
    }
}

/// The `Host` header, if it is a host and perhaps a port.
pub fn host(headers: &HeaderMap) -> Option<&str> {
    headers.get(HOST)?.to_str().ok().filter(|name| plain(name))
}

fn plain(name: &str) -> bool {
    let fits =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    !name.is_empty() && name.len() <= 255 && name.bytes().all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use std::net::Ipv4Addr;

    #[test]
    fn the_configured_url_wins_and_a_strange_host_is_not_repeated() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8080"));
        let base = Base::new(None);
        assert_eq!(&*base.root(&headers, None), "http://127.0.0.1:8080");
        base.set(Some("https://bridge.example.com/"), None);
        assert_eq!(&*base.root(&headers, None), "https://bridge.example.com");
        headers.insert(HOST, HeaderValue::from_static("a/b\"c"));
        base.set(None, None);
        assert_eq!(&*base.root(&headers, None), "http://localhost");
    }

    #[test]
    fn forwarded_headers_count_from_a_trusted_proxy_only() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("10.0.0.7:8080"));
        headers.insert("x-forwarded-host", HeaderValue::from_static("bridge.example.com"));
        headers.insert("x-forwarded-proto", HeaderValue::from_static("https"));
        let base = Base::default();
        base.set(None, Some(Box::new(|peer| peer.is_loopback())));
        let proxy = Peer(IpAddr::V4(Ipv4Addr::LOCALHOST));
        let stranger = Peer(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)));
        assert_eq!(&*base.root(&headers, Some(&proxy)), "https://bridge.example.com");
        assert_eq!(&*base.root(&headers, Some(&stranger)), "http://10.0.0.7:8080");
        assert_eq!(&*base.root(&headers, None), "http://10.0.0.7:8080");
    }
}
