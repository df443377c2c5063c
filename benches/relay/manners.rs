//! How a provider misbehaves: answers that hide that it took the message, and statuses that are late, wrong or of nobody.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use trunkline_adapter::simulator::{Simulator, Submission};
use trunkline_adapter::{Address, DeliveryStatus, Timestamp};

use super::Failure;

/// How often in a row one message is lied about: the daemon waits twice as long after each time, and whether anything is
/// lost can be said only after the longest of these waits.
const LIES: u8 = 5;

/// Answers that hide that a message was taken.
#[derive(Default)]
pub struct Liar {
    /// How often, by the message's number.
    told: HashMap<usize, u8>,
}

impl Liar {
    /// Writes an answer that is a lie, to three requests of eight; all of them were taken.
    pub fn lie(&mut self, serial: u64, message: Option<usize>, out: &mut Vec<u8>) -> bool {
        let answer = match serial % 8 {
            1 => b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 4\r\n\r\noops".as_slice(),
            4 => {
                b"HTTP/1.1 201 Created\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{\"sid\":7}"
            }
            6 => b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 6\r\n\r\n<html>",
            _ => return false,
        };
        if let Some(message) = message {
            let told = self.told.entry(message).or_default();
            if *told >= LIES {
                return false;
            }
            *told += 1;
        }
        out.extend_from_slice(answer);
        true
    }
}

/// Brings statuses to the daemon.
pub struct Courier {
    http: reqwest::Client,
    target: SocketAddr,
    simulator: Arc<dyn Simulator>,
}

impl Courier {
    pub fn new(target: SocketAddr, simulator: Arc<dyn Simulator>) -> Result<Courier, Failure> {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build()?;
        Ok(Courier { http, target, simulator })
    }

    /// Tells of every fourth message that it was delivered, that it failed, that it was sent, in this order and late; and
    /// of another one that nobody sent.
    pub fn contradict(&self, serial: u64, body: &[u8]) {
        if !serial.is_multiple_of(4) {
            return;
        }
        let field = |name: &str| {
            let found = form_urlencoded::parse(body).find(|(key, _)| key == name);
            found.map(|(_, value)| value.into_owned())
        };
        let (Some(from), Some(to)) = (field("From"), field("To")) else { return };
        let (Ok(from), Ok(to)) = (Address::parse(&from), Address::parse(&to)) else { return };
        let callback = field("StatusCallback");
        let submission =
            Submission { from, to, text: String::new(), media: Vec::new(), correlation: None, callback };
        let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |age| age.as_micros());
        let at = Timestamp(i64::try_from(now).unwrap_or_default());
        let (own, nobody) =
            (format!("SM{serial:032x}"), format!("SM{:032x}", u128::MAX - u128::from(serial)));
        let told = [
            (&own, DeliveryStatus::Delivered, None),
            (&own, DeliveryStatus::Failed, Some(30008)),
            (&own, DeliveryStatus::Sent, None),
            (&nobody, DeliveryStatus::Delivered, None),
        ];
        let signed: Vec<_> = told
            .iter()
            .filter_map(|(id, status, error)| self.simulator.status(&submission, id, *status, *error, at, ""))
            .collect();
        let (http, target) = (self.http.clone(), self.target);
        tokio::spawn(async move {
            for request in signed {
                tokio::time::sleep(Duration::from_millis(300)).await;
                let path = request.url.strip_prefix(super::daemon::PUBLIC_URL).unwrap_or("/");
                let mut post = http.post(format!("http://{target}{path}")).body(request.body);
                for (name, value) in request.headers {
                    post = post.header(name, value);
                }
                // Whether it is taken is not the point; that nothing comes to harm by it is.
                let _ = post.send().await;
            }
        });
    }
}
