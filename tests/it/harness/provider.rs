//! Webhooks as the providers send them: signed, to the daemon's webhook path.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use trunkline_adapter::simulator::{PhoneFile, PhoneMessage, SignedRequest, Simulator};
use trunkline_adapter::{Address, DeliveryStatus, Timestamp};

use super::config::PUBLIC_URL;
use super::shelf::Files;
use super::sink::Sent;

/// Somebody with a phone who writes to one of our proxy addresses.
#[derive(Clone)]
pub struct Phone {
    pub simulator: Arc<dyn Simulator>,
    /// Where the provider keeps what it sends.
    pub files: Arc<Files>,
    /// The adapter's name: the end of the webhook path.
    pub adapter: String,
    pub from: String,
    pub to: String,
}

/// Now, by the system's clock.
pub fn now() -> Timestamp {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Timestamp(i64::try_from(now.as_micros()).unwrap())
}

/// Where the provider of an adapter posts to, as the world sees it.
pub fn webhook_url(adapter: &str) -> String {
    format!("{PUBLIC_URL}/webhooks/{adapter}")
}

impl Phone {
    /// A webhook of a text with the provider's id for it.
    pub fn text(&self, id: &str, text: &str) -> SignedRequest {
        self.with_files(id, text, &[])
    }

    /// A webhook of a message with files, given as type, name and content, which are there to be got.
    pub fn with_files(&self, id: &str, text: &str, files: &[(&str, &str, &[u8])]) -> SignedRequest {
        let media = files.iter().map(|(content_type, name, content)| {
            let file = PhoneFile {
                id: self.simulator.file_id(self.files.serial()),
                content_type: (*content_type).to_owned(),
                filename: Some((*name).to_owned()),
                bytes: Bytes::copy_from_slice(content),
            };
            self.files.put(file.clone());
            file
        });
        let media = media.collect();
        let message = PhoneMessage {
            id: id.to_owned(),
            from: Address::parse(&self.from).unwrap(),
            to: Address::parse(&self.to).unwrap(),
            text: text.to_owned(),
            media,
            at: now(),
            name: None,
        };
        self.simulator.message(&message, &webhook_url(&self.adapter))
    }

    /// The same phone, when the adapter has another name.
    pub fn through(&self, adapter: &str) -> Phone {
        Phone { adapter: adapter.to_owned(), ..self.clone() }
    }
}

/// The webhook for the status of something that was sent; `None` where the provider tells no such status.
pub fn status(
    simulator: &dyn Simulator,
    adapter: &str,
    sent: &Sent,
    status: DeliveryStatus,
    error: Option<u32>,
) -> Option<SignedRequest> {
    let submission = sent.submission.as_ref().expect("a send that the provider could read");
    simulator.status(submission, &sent.id, status, error, now(), &webhook_url(adapter))
}

/// A Meta webhook of any body.
pub fn meta(secret: &str, body: impl Into<bytes::Bytes>) -> (Vec<(&'static str, String)>, bytes::Bytes) {
    let body = body.into();
    let signature = trunkline_graph::sign(secret, &body);
    let headers =
        vec![("content-type", "application/json".to_owned()), (trunkline_graph::SIGNATURE_HEADER, signature)];
    (headers, body)
}

/// A Twilio webhook of any fields.
pub fn twilio(
    token: &str,
    adapter: &str,
    fields: &[(&str, &str)],
) -> (Vec<(&'static str, String)>, bytes::Bytes) {
    let signature = trunkline_twilio::sign(token, &webhook_url(adapter), fields);
    let mut body = form_urlencoded::Serializer::new(String::new());
    body.extend_pairs(fields);
    let headers = vec![
        ("content-type", "application/x-www-form-urlencoded".to_owned()),
        ("x-twilio-signature", signature),
    ];
    (headers, body.finish().into())
}
