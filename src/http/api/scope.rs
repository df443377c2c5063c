//! Whose things are shown, and in which of the two shapes of URLs.

use std::sync::Arc;

use serde_json::Value;

use crate::model::{AccountSid, ServiceSid};

/// The account and service of a request.
#[derive(Clone, Debug)]
pub(super) struct Scope {
    pub(super) account: AccountSid,
    pub(super) service: ServiceSid,
    /// The path named the service: then URLs do so too, and nested records say which it is.
    explicit: bool,
    root: Arc<str>,
}

impl Scope {
    pub(super) fn new(account: AccountSid, service: ServiceSid, explicit: bool, root: Arc<str>) -> Scope {
        Scope { account, service, explicit, root }
    }

    /// Scheme and host.
    pub(super) fn root(&self) -> &str {
        &self.root
    }

    /// The absolute URL of something that belongs to a service.
    pub(super) fn url(&self, path: &str) -> String {
        if self.explicit {
            format!("{}/v1/Services/{}{path}", self.root, self.service)
        } else {
            self.account_url(path)
        }
    }

    /// The absolute URL of something that belongs to the account.
    pub(super) fn account_url(&self, path: &str) -> String {
        format!("{}/v1{path}", self.root)
    }

    /// Adds the service to a record whose short form does not show it.
    pub(super) fn sign(&self, mut record: Value) -> Value {
        if self.explicit {
            record["chat_service_sid"] = self.service.as_str().into();
        }
        record
    }
}
