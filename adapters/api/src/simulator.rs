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

    /// An id for a new file, in the provider's form.
    fn file_id(&self, serial: u64) -> String {
        serial.to_string()
    }

    /// Answers a request that is about files: one that somebody sent, which our adapter gets, or one that it uploads.
    /// `None` when the request is about something else.
    fn files(&self, _request: &ProviderRequest, _shelf: &dyn Shelf) -> Option<FileAnswer> {
        None
    }

    /// Reads a request that shows a person that somebody is writing to them, and gives the provider's answer to it. `None`
    /// when the request is about something else.
    fn typing(&self, _request: &ProviderRequest) -> Option<TypingAnswer> {
        None
    }

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

/// A file as the provider keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PhoneFile {
    /// The provider's id of it.
    pub id: String,
    /// MIME type.
    pub content_type: String,
    /// What it is called, where the channel tells that.
    pub filename: Option<String>,
    /// The file.
    pub bytes: Bytes,
}

/// Where the provider keeps files.
pub trait Shelf {
    /// The file of an id.
    fn file(&self, id: &str) -> Option<PhoneFile>;

    /// Keeps a file that was uploaded, and gives its id.
    fn keep(&self, content_type: String, filename: Option<String>, bytes: Bytes) -> String;
}

/// An answer that may hold a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileAnswer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: Vec<(&'static str, String)>,
    /// Its body.
    pub body: Bytes,
}

impl FileAnswer {
    /// The file itself.
    pub fn of(file: PhoneFile) -> FileAnswer {
        let headers = vec![("content-type", file.content_type)];
        FileAnswer { status: StatusCode::OK, headers, body: file.bytes }
    }
}

impl From<ProviderAnswer> for FileAnswer {
    fn from(answer: ProviderAnswer) -> FileAnswer {
        FileAnswer { status: answer.status, headers: answer.headers, body: Bytes::from(answer.body) }
    }
}

/// A file of a submission.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubmittedFile {
    /// The provider is to fetch it.
    Link(String),
    /// It was uploaded before, under this id.
    Kept(String),
}

/// How the provider takes a request that shows that somebody is writing.
pub type TypingAnswer = Result<(ShownTyping, ProviderAnswer), ProviderAnswer>;

/// What our adapter asked the provider to show.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShownTyping {
    /// The proxy address somebody writes from.
    pub from: Address,
    /// The person who sees it.
    pub to: Viewer,
}

/// Who sees that somebody is writing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Viewer {
    /// This person.
    Person(Address),
    /// Whoever wrote the message of this id, which is marked as read by it.
    WriterOf(String),
}

/// What our adapter asked the provider to send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// The proxy address it leaves from.
    pub from: Address,
    /// The person it goes to.
    pub to: Address,
    /// The text, or the caption of the files.
    pub text: String,
    /// The files.
    pub media: Vec<SubmittedFile>,
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
    /// The text, or the caption of the files.
    pub text: String,
    /// The files. Channels whose messages hold one take the first.
    pub media: Vec<PhoneFile>,
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
