//! Files behind URLs that others named: read as they come, never whole.

use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use reqwest::{Response, Url};

use super::call::{CallError, Caller, failed, spare_client};

/// A sender that says nothing for so long is given up.
const SILENCE: Duration = Duration::from_secs(20);

/// Where a GET goes, and what goes along.
pub struct Fetch {
    pub url: Url,
    /// The whole value of the header.
    pub authorization: Option<String>,
    /// The operator named this place: it may be in a private network.
    pub trusted: bool,
    /// From the first step to the last byte.
    pub timeout: Duration,
}

/// An answer of which the body is still to come.
pub struct Fetched {
    pub status: u16,
    /// As the header says it; empty when it does not.
    pub content_type: String,
    /// As the header says it.
    pub length: Option<u64>,
    /// Where the answer sends us, made absolute.
    pub location: Option<Url>,
    response: Response,
}

/// Makes such requests.
#[derive(Clone)]
pub struct Fetcher {
    caller: Caller,
    /// For places that the operator named.
    trusting: reqwest::Client,
}

impl Fetcher {
    /// Shares the caller's guard and its connections.
    ///
    /// # Errors
    /// When the system's trust store cannot be read.
    pub fn new(caller: &Caller, agent: &str) -> Result<Fetcher, reqwest::Error> {
        Ok(Fetcher { caller: caller.clone(), trusting: spare_client(agent).build()? })
    }

    /// Asks for a file, and comes back with the head of the answer. A redirect is an answer.
    ///
    /// # Errors
    /// When no answer came, or none is asked for because of where the URL leads.
    pub async fn fetch(&self, fetch: Fetch) -> Result<Fetched, CallError> {
        let client = if fetch.trusted {
            &self.trusting
        } else {
            self.caller.guard().check(&fetch.url)?;
            self.caller.client()
        };
        let mut request = client.get(fetch.url.clone()).timeout(fetch.timeout);
        if let Some(authorization) = fetch.authorization {
            let mut value = HeaderValue::try_from(authorization).map_err(|_| CallError::Url)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        let response =
            tokio::time::timeout(SILENCE, request.send()).await.map_err(|_| CallError::TimedOut)?;
        let response = response.map_err(failed)?;
        let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
        Ok(Fetched {
            status: response.status().as_u16(),
            content_type: header(CONTENT_TYPE).unwrap_or_default().to_owned(),
            length: header(CONTENT_LENGTH).and_then(|length| length.parse().ok()),
            location: header(LOCATION).and_then(|to| fetch.url.join(to).ok()),
            response,
        })
    }
}

impl Fetched {
    /// The next piece; `None` at the end. An end before what the head promised is an error.
    ///
    /// # Errors
    /// When it broke off, or nothing came for too long.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, CallError> {
        let chunk = tokio::time::timeout(SILENCE, self.response.chunk()).await;
        chunk.map_err(|_| CallError::TimedOut)?.map_err(failed)
    }

    /// A small body, whole.
    ///
    /// # Errors
    /// As [`Fetched::chunk`], and when there is more than `most`.
    pub async fn whole(mut self, most: usize) -> Result<Vec<u8>, CallError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > most {
                return Err(CallError::TooLarge);
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::egress::{Guard, NotReachable};
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn once(answer: &'static [u8]) -> (u16, tokio::task::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let heard = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let read = socket.read(&mut heard).await.unwrap();
            socket.write_all(answer).await.unwrap();
            String::from_utf8_lossy(&heard[..read]).into_owned()
        });
        (port, heard)
    }

    fn fetcher() -> Fetcher {
        let caller = Caller::new(Guard::default(), "test/1").unwrap();
        Fetcher::new(&caller, "test/1").unwrap()
    }

    fn fetch(url: &str, trusted: bool) -> Fetch {
        let authorization = Some("Bearer t".to_owned());
        Fetch { url: url.parse().unwrap(), authorization, trusted, timeout: Duration::from_secs(5) }
    }

    #[tokio::test]
    async fn a_place_the_operator_named_is_asked_wherever_it_is() {
        let (port, heard) = once(
            b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /store/x\r\ncontent-length: 2\r\ncontent-type: a/b\r\n\r\nok",
        )
        .await;
        let url = format!("http://127.0.0.1:{port}/file");
        let mut fetched = fetcher().fetch(fetch(&url, true)).await.unwrap();
        assert_eq!((fetched.status, fetched.content_type.as_str(), fetched.length), (307, "a/b", Some(2)));
        assert_eq!(fetched.location.as_ref().unwrap().as_str(), format!("http://127.0.0.1:{port}/store/x"));
        assert_eq!(fetched.chunk().await.unwrap().unwrap(), Bytes::from_static(b"ok"));
        assert_eq!(fetched.chunk().await.unwrap(), None);
        assert!(heard.await.unwrap().contains("authorization: Bearer t\r\n"));
    }

    #[tokio::test]
    async fn anywhere_else_must_be_public_whatever_it_is_called() {
        for host in ["127.0.0.1:9", "localhost:9", "2130706433:9", "[::ffff:127.0.0.1]:9", "0x7f.1:9"] {
            let refused = fetcher().fetch(fetch(&format!("http://{host}/"), false)).await.err().unwrap();
            assert_eq!(refused, CallError::NotReachable(NotReachable::Private), "{host}");
        }
        for url in ["file:///etc/passwd", "gopher://example.com/", "ftp://example.com/"] {
            let refused = fetcher().fetch(fetch(url, false)).await.err().unwrap();
            assert_eq!(refused, CallError::NotReachable(NotReachable::Scheme), "{url}");
        }
    }

    #[tokio::test]
    async fn less_than_promised_is_an_error_and_more_than_allowed_too() {
        let (port, _) = once(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf").await;
        let mut fetched = fetcher().fetch(fetch(&format!("http://127.0.0.1:{port}/"), true)).await.unwrap();
        assert_eq!(fetched.chunk().await.unwrap().unwrap(), Bytes::from_static(b"half"));
        assert!(fetched.chunk().await.is_err());
        let (port, _) = once(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n0123456789").await;
        let fetched = fetcher().fetch(fetch(&format!("http://127.0.0.1:{port}/"), true)).await.unwrap();
        assert_eq!(fetched.whole(9).await, Err(CallError::TooLarge));
    }
}
