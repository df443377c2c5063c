//! What the room needs of the rest of the house.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use trunkline_adapter::{Clock, Secrets};

use super::dead_letters::DeadLetters;
use crate::announce::Hooks;
use crate::egress::Caller;
use crate::ledger::Ledger;
use crate::model::{AccountSid, Mint};
use crate::work::Wakeups;

/// What it means that a pre-action webhook does not answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnTimeout {
    /// What was to happen happens.
    #[default]
    Proceed,
    /// It does not.
    Refuse,
}

/// The operator's choices. They change with the configuration.
#[derive(Clone, Debug)]
pub struct Settings {
    /// An event that nobody took for so long becomes a dead letter.
    pub retry_for: Duration,
    pub on_timeout: OnTimeout,
    /// Whose auth token signs what is told of whom.
    pub tokens: HashMap<AccountSid, Secrets>,
}

impl Default for Settings {
    fn default() -> Settings {
        let retry_for = Duration::from_secs(24 * 3_600);
        Settings { retry_for, on_timeout: OnTimeout::default(), tokens: HashMap::new() }
    }
}

/// Shared by everything in here. Cheap to clone.
#[derive(Clone)]
pub struct Site {
    pub ledger: Ledger,
    pub clock: Clock,
    pub mint: Arc<Mint>,
    pub wakeups: Wakeups,
    pub hooks: Arc<Hooks>,
    pub caller: Caller,
    pub letters: Arc<DeadLetters>,
    settings: Arc<RwLock<Arc<Settings>>>,
}

impl Site {
    pub fn new(
        ledger: Ledger,
        clock: Clock,
        mint: Arc<Mint>,
        wakeups: Wakeups,
        hooks: Arc<Hooks>,
        caller: Caller,
    ) -> Site {
        let letters = Arc::new(DeadLetters::new(ledger.clone(), wakeups.clone(), clock));
        Site { ledger, clock, mint, wakeups, hooks, caller, letters, settings: Arc::default() }
    }

    /// Takes today's choices.
    pub fn set(&self, settings: Settings) {
        *self.settings.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    pub(super) fn settings(&self) -> Arc<Settings> {
        self.settings.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The token that signs for an account: the first, until another is promoted. Of an account that is no longer
    /// configured there is none, and its receivers will see that.
    pub(super) fn token(&self, account: &AccountSid) -> String {
        let settings = self.settings();
        settings.tokens.get(account).map(|tokens| tokens.first().expose().to_owned()).unwrap_or_default()
    }
}

/// As receivers see us.
pub const AGENT: &str = concat!("ConversationsWebhook/", env!("CARGO_PKG_VERSION"));
/// How long a webhook may take to answer.
pub(super) const TIMEOUT: Duration = Duration::from_secs(5);
