//! Where forwarded messages go today.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use trunkline_adapter::Address;

/// Where the messages of the running configuration go; a reload replaces it.
#[derive(Clone, Debug, Default)]
pub struct Target {
    /// The URL of each messaging service that forwards, by its SID.
    pub urls: HashMap<String, String>,
    /// Our addresses: an answer may leave from any of them.
    pub proxies: HashSet<Address>,
    /// What signs: the account's auth token.
    pub token: String,
    /// A message that nobody took for so long is kept elsewhere.
    pub give_up: Duration,
}

/// The target that couriers look at before each request.
pub(super) type Today = RwLock<Arc<Target>>;
