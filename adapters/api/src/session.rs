//! People who hold a connection open: what an adapter that serves them asks of the daemon, and what the daemon hands it.
//!
//! The adapter owns the wire: framing, the order of a session, expiry, back-pressure. Whose token it is, what a call does
//! and what there is to tell are the daemon's. Everything is pulled: the adapter asks a [`Member`] for its next notice
//! only when the socket can take it, so nothing piles up behind a reader who does not read.

use std::sync::Arc;

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::{BoxFuture, Timestamp};

/// Who speaks on a socket: a verified token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The account, `AC…`.
    pub account: String,
    /// The service, `IS…`: the account's default one when the token names none. It exists.
    pub service: String,
    /// Who it is. Never empty.
    pub identity: String,
    /// The API key that made the token, `SK…`.
    pub key: String,
    /// Which of the key's secrets it was verified with. Opaque; for [`Tokens::stands`].
    pub proof: u64,
    /// When the token ends.
    pub expires: Timestamp,
    /// The push credential that registrations of this token use, `CR…`.
    pub push_credential: Option<String>,
}

impl Caller {
    /// Whether a new token may take this one's place on an open socket: everything but its end and its key is the same.
    pub fn same_person(&self, other: &Caller) -> bool {
        self.account == other.account && self.service == other.service && self.identity == other.identity
    }
}

/// Why somebody is not let in, in the terms of an HTTP answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denied {
    /// 401, 403, 429 or 503.
    pub status: u16,
    /// The published error code.
    pub code: u32,
    /// What is wrong. Goes to the client.
    pub text: String,
}

/// Access tokens.
pub trait Tokens: Send + Sync + 'static {
    /// Verifies a token: signature first, then times, then grants and the service.
    ///
    /// # Errors
    /// With the codes of access tokens (20101, 20104, …); 503 when the store cannot be asked.
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, Denied>>;

    /// Whether the key and the secret that a token was verified with are still in the configuration.
    fn stands(&self, caller: &Caller) -> bool;
}

/// Where sessions are made.
pub trait Host: Send + Sync + 'static {
    /// Makes a session for somebody. It lasts until the member is dropped.
    ///
    /// # Errors
    /// 403 for somebody who may not come in, 503 when the store cannot be asked.
    fn open(&self, caller: Caller, visit: Visit) -> BoxFuture<'_, Result<Arc<dyn Member>, Denied>>;
}

/// What is known of a connection besides its caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Scheme and host under which the client reached us, without a slash at the end: the beginning of every link.
    pub root: Arc<str>,
}

/// One open session of one person.
pub trait Member: Send + Sync + 'static {
    /// Does one call. It runs to its end even when the socket is gone before; the adapter bounds how many are under way.
    fn request(self: Arc<Self>, call: Call) -> BoxFuture<'static, Answer>;

    /// The next thing to tell, in order. `None`: the daemon ends this session, and the client may come again.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: the notice it was waiting for is the next one's.
    fn next(&self) -> BoxFuture<'_, Option<Notice>>;

    /// The client said goodbye, or may not come again as it is. A member that is dropped without this word lost its network,
    /// and comes back if it can.
    fn goodbye(&self);

    /// Takes a new token of the same person.
    fn renew(&self, caller: Caller);
}

/// A call that came over a socket: HTTP in all but its transport.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// `GET`, `POST`, `PUT` or `DELETE`, in capitals.
    pub method: http::Method,
    /// The path without a query, percent-encoded as it came. Begins with a slash.
    pub path: String,
    /// The query, in the order it came, percent-encoded as it came; a name that was given a list is there once for each.
    pub params: Vec<(String, String)>,
    /// What the body is: `application/json` or `application/x-www-form-urlencoded`, without parameters, in small letters.
    pub content_type: Option<String>,
    /// `X-Twilio-Mutation-Id`: the same for a repeat of the same call.
    pub mutation: Option<String>,
    /// The body, bounded by the adapter.
    pub body: Bytes,
}

/// The answer to a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its HTTP status. Never 202, which makes clients ask again elsewhere.
    pub status: u16,
    /// JSON; empty with 204.
    pub body: Bytes,
}

/// Something told without being asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Its kind, as subscriptions name it: `twilio.sync.event`, `twilio.ipmsg.typing_indicator`.
    pub message_type: &'static str,
    /// JSON, encoded once for all sockets that are told.
    pub payload: Bytes,
}

/// A connection after its handshake.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Stream for T {}

/// An adapter's door for people who connect to us.
pub trait Door: Send + Sync + 'static {
    /// The path that is asked to upgrade, such as `/v3/wsconnect`.
    fn path(&self) -> &str;

    /// Whether a page of this origin may connect. Programs send none.
    fn welcomes(&self, origin: Option<&str>) -> bool;

    /// Serves one WebSocket, from the first frame to its end.
    fn serve(&self, stream: Box<dyn Stream>, reception: Reception) -> BoxFuture<'static, ()>;

    /// How many people are in.
    fn sessions(&self) -> usize;

    /// Looks at every session's key again: the accounts changed.
    fn recheck(&self);

    /// Lets everybody go, spread over some seconds, and takes nobody new. Ends when all are gone.
    fn drain(&self) -> BoxFuture<'static, ()>;
}

/// Who receives somebody that has just connected.
#[derive(Clone)]
pub struct Reception {
    /// Says whose token it is.
    pub tokens: Arc<dyn Tokens>,
    /// Makes the session.
    pub host: Arc<dyn Host>,
    /// What is known of the connection.
    pub visit: Visit,
    /// How many may be in.
    pub crowd: Crowd,
}

/// How many connections there may be. One too many is told to come again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crowd {
    /// In all.
    pub total: usize,
    /// Of one identity in one service.
    pub per_identity: usize,
}
