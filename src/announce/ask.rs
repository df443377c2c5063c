//! Somebody may be asked before something happens. Plugged in by `app`: whoever sends requests.

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::params::Pairs;
use crate::model::{AccountSid, HookSettings};

/// What was said.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// Go on; with these fields replaced, if there are any.
    Proceed(Map<String, Value>),
    /// It must not happen.
    Refuse,
}

/// Asks the pre-action webhook of an account or a service.
pub trait Ask: Send + Sync {
    fn ask<'a>(
        &'a self,
        account: &'a AccountSid,
        settings: &'a HookSettings,
        pairs: Pairs,
    ) -> BoxFuture<'a, Verdict>;
}
