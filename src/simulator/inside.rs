//! What is inside the simulator: everything that a request may need.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderValue;
use serde::Serialize;
use trunkline_adapter::Address;

use super::files::Files;
use super::phones::{Event, Phones};
use super::provider::{LONGEST_TEXT, TypeError, Working};
use super::{Fault, Message};

/// What the page shows of the daemon, so that one can go on with REST.
#[derive(Clone, Debug, Serialize)]
pub struct Bridge {
    /// Base URL of the REST API.
    pub url: String,
    /// Base URL of metrics and health.
    pub admin_url: String,
    /// User name of its Basic authentication.
    pub account_sid: String,
    /// Password of its Basic authentication.
    pub auth_token: String,
    /// The conversation of the phones, once there is one.
    pub conversation_sid: Option<String>,
}

/// Somebody in the browser, who meets the daemon with the official SDK and not through a provider.
pub struct Visitor {
    /// What they are called.
    pub name: String,
    /// Who they are to the daemon.
    pub identity: String,
    /// Where the daemon is, as the page reaches it: scheme, host and port of its HTTP. The page may get files from there.
    pub root: String,
    /// Where the SDK connects.
    pub socket: String,
    /// Makes an access token. The page asks for one when it is opened, and before one ends.
    pub token: Box<dyn Fn() -> String + Send + Sync>,
}

/// What every request may need.
pub(super) struct Inside {
    pub(super) phones: Arc<Phones>,
    pub(super) providers: Vec<Working>,
    pub(super) files: Arc<Files>,
    pub(super) bridge: Mutex<Option<Bridge>>,
    pub(super) visitor: Option<Visitor>,
    /// What the page may load and reach.
    pub(super) policy: HeaderValue,
    /// Then a request must be addressed to this machine by a name for it; see `server`.
    pub(super) loopback_only: bool,
}

impl Inside {
    pub(super) fn provider(&self, adapter: &str) -> Option<&Working> {
        self.providers.iter().find(|working| working.provider.adapter == adapter)
    }

    pub(super) fn provider_of(&self, proxy: &Address) -> Option<&Working> {
        self.providers.iter().find(|working| working.provider.proxies.contains(proxy))
    }

    pub(super) fn bridge(&self) -> Option<Bridge> {
        self.bridge.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn write(
        &self,
        phone: &Address,
        proxy: &Address,
        text: String,
        photo: Option<(&str, Bytes)>,
    ) -> Result<Message, TypeError> {
        if text.trim().is_empty() {
            return Err(TypeError::Empty);
        }
        if text.chars().count() > LONGEST_TEXT {
            return Err(TypeError::TooLong);
        }
        if phone.channel() != proxy.channel() {
            return Err(TypeError::OtherChannel(phone.channel().name(), proxy.channel().name()));
        }
        self.provider_of(proxy).ok_or(TypeError::UnknownProxy)?.write(phone, proxy, text, photo)
    }

    pub(super) fn set_fault(&self, adapter: &str, fault: Option<Fault>) -> bool {
        let Some(working) = self.provider(adapter) else { return false };
        working.switch.set(fault);
        self.phones.tell(Event::Fault { adapter: adapter.to_owned(), fault });
        true
    }
}
