//! Twilio Programmable Messaging: SMS, and the WhatsApp and Messenger senders that live at Twilio.
//!
//! Owns Twilio's wire and nothing else: the form webhooks and their signature, the one REST call that sends, the
//! meaning of Twilio's error codes, and the provider's side of all that for demos and tests. It knows no conversation,
//! no store and no other provider.
//!
//! # Settings
//!
//! | key | meaning |
//! |---|---|
//! | `account_sid` | the account (`AC…`); sends go there, and a webhook of any other account is refused |
//! | `auth_token` | one or a list: the first sends, all verify webhooks, so a token is changed without a gap |
//! | `base_url` | `https://api.twilio.com` unless said otherwise |
//!
//! A proxy needs its `address` only: `+15550001111`, a short code, an alphanumeric sender, `whatsapp:+…` or
//! `messenger:…`. Point the number's incoming-message webhook (POST) at the adapter's webhook URL; status callbacks
//! need no set-up, every send asks for its own. `#rc=5&rp=all` behind the webhook URL in Twilio's console makes Twilio
//! repeat a delivery that we could not take.
//!
//! # What a send's end means
//!
//! Twilio has no idempotency key, so what is not known must stay unknown: a refused connection is tried again; a
//! time-out, a broken answer, or a gateway's error page after the request left is [`Outcome::Unknown`]. An answer with
//! Twilio's own error code is believed and looked up in one table. Our correlation text rides in the query of the
//! status callback, so that a status finds its message even when the answer to the send was lost.
//!
//! # Invariants
//!
//! - Nothing of a webhook is interpreted before its signature holds for one of our tokens. The account's auth token
//!   with HMAC-SHA1 is the one scheme: a header that asks for another changes nothing.
//! - A well-signed request is never a panic: what we cannot read becomes a notice or [`Refusal::Malformed`].
//! - No text that leaves this crate as a cause holds a secret, an address, or a message.
//!
//! [`Outcome::Unknown`]: trunkline_adapter::Outcome::Unknown
//! [`Refusal::Malformed`]: trunkline_adapter::Refusal::Malformed
#![warn(missing_docs)]

mod capability;
mod errors;
mod form;
mod kind;
mod live;
mod media;
mod message;
mod person;
mod receive;
mod send;
mod settings;
mod signature;
mod simulator;
mod status;

pub use kind::Twilio;
pub use signature::sign;
