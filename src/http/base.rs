//! Where the world reaches us: the beginning of every URL we return and of every signature over one.

use std::sync::{Arc, PoisonError, RwLock};

use http::HeaderMap;
use http::header::HOST;

/// The public URL if one is configured. It can change while the daemon runs.
#[derive(Debug, Default)]
pub struct Base(RwLock<Option<Arc<str>>>);

impl Base {
    /// With this public URL, or with none: then each request's own `Host` stands in.
    pub fn new(public_url: Option<&str>) -> Base {
        let base = Base::default();
        base.set(public_url);
        base
    }

    /// Takes a new public URL.
    pub fn set(&self, public_url: Option<&str>) {
        let url = public_url.map(|url| Arc::from(url.trim_end_matches('/')));
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = url;
    }

    /// Scheme and host, without a slash at the end.
    pub fn root(&self, headers: &HeaderMap) -> Arc<str> {
        match &*self.0.read().unwrap_or_else(PoisonError::into_inner) {
            Some(url) => Arc::clone(url),
            None => format!("http://{}", host(headers).unwrap_or("localhost")).into(),
        }
    }
}

/// The `Host` header, if it is a host and perhaps a port.
pub fn host(headers: &HeaderMap) -> Option<&str> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b':' | b'[' | b']');
    (!host.is_empty() && host.len() <= 255 && host.bytes().all(plain)).then_some(host)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_configured_url_wins_and_a_strange_host_is_not_repeated() {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("127.0.0.1:8080"));
        let base = Base::new(None);
        assert_eq!(&*base.root(&headers), "http://127.0.0.1:8080");
        base.set(Some("https://bridge.example.com/"));
        assert_eq!(&*base.root(&headers), "https://bridge.example.com");
        headers.insert(HOST, HeaderValue::from_static("a/b\"c"));
        base.set(None);
        assert_eq!(&*base.root(&headers), "http://localhost");
    }
}
