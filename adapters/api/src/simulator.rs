//! The provider's own side of an adapter's wire, as pure functions. `trunkline demo` and the tests host it.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};

use crate::{Address, DeliveryStatus, Timestamp};

/// A provider, seen from its own side.
pub trait Simulator: Send + Sync {
    /// Reads a request our adapter made, as the provider would: credentials checked, fields required.
    ///
    /// # Errors
    /// The provider's own error answer.
    fn accept(&self, request: &ProviderRequest) -> Result<Submission, ProviderAnswer>;

    /// An id for a new message, in the provider's form. `serial` makes it unique.
    fn message_id(&self, serial: u64) -> String;

    /// The provider's success answer to a submission.
    fn accepted(&self, submission: &Submission, id: &str) -> ProviderAnswer;

    /// The provider's answer when it wants us to slow down.
    fn throttled(&self) -> ProviderAnswer;

    /// The signed webhook for a message that somebody wrote to one of our proxy addresses.
    fn message(&self, message: &PhoneMessage, webhook_url: &str) -> SignedRequest;

    /// The signed webhook for a status of a submission; `None` where the provider tells no such status.
    fn status(
        &self,
        submission: &Submission,
        id: &str,
        status: DeliveryStatus,
        error: Option<u32>,
        at: Timestamp,
        webhook_url: &str,
    ) -> Option<SignedRequest>;
}

/// A request our adapter made.
#[derive(Clone, Debug)]
pub struct ProviderRequest {
    /// Its method.
    pub method: Method,
    /// Path below the base URL, beginning with `/`.
    pub path: String,
    /// Query as sent, without `?`.
    pub query: String,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

/// An answer of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProviderAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Extra headers.
    pub headers: Vec<(&'static str, String)>,
    /// JSON text.
    pub body: String,
}

/// What our adapter asked the provider to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The proxy address it leaves from.
    pub from: Address,
    /// The person it goes to.
    pub to: Address,
    /// The text.
    pub text: String,
    /// Our correlation text as the provider saw it.
    pub correlation: Option<String>,
    /// Where statuses go, if the request says.
    pub callback: Option<String>,
}

/// A message typed on a simulated phone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneMessage {
    /// The provider's id.
    pub id: String,
    /// Who typed it.
    pub from: Address,
    /// The proxy address it goes to.
    pub to: Address,
    /// The text.
    pub text: String,
    /// When.
    pub at: Timestamp,
    /// The name the person shows.
    pub name: Option<String>,
}

/// A request from the provider to us, signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedRequest {
    /// Its method.
    pub method: Method,
    /// The whole URL.
    pub url: String,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Bytes,
}
