//! What a lane is made of, and how it is told things while it works.

use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio::task::JoinHandle;
use trunkline_adapter::{Address, Timestamp, TypingIndicator};

use super::lock::lock;
use super::plan::{InForce, Policies, Surroundings};
use super::status::Standing;
use super::wishes::Wishes;
use crate::work::WorkReceiver;

/// What a lane is told from outside. The newest word counts.
pub(super) struct Mailbox {
    mail: Mutex<Mail>,
    pub notify: Notify,
    pub standing: Mutex<Standing>,
    /// Who is to be shown that somebody writes.
    pub typing: Wishes,
}

#[derive(Clone)]
pub(super) struct Mail {
    /// Nothing when the proxy address is not configured.
    pub plan: Option<Arc<InForce>>,
    pub policies: Policies,
    /// Another lane of the same provider account was told to slow down.
    pub paused_until: Option<Timestamp>,
    pub stop: bool,
}

impl Mailbox {
    pub(super) fn new(plan: Option<Arc<InForce>>, policies: Policies) -> Mailbox {
        let mail = Mail { plan, policies, paused_until: None, stop: false };
        Mailbox {
            mail: Mutex::new(mail),
            notify: Notify::new(),
            standing: Mutex::default(),
            typing: Wishes::default(),
        }
    }

    /// What the lane is to do now. A pause is told once.
    pub(super) fn read(&self) -> Mail {
        let mut mail = lock(&self.mail);
        Mail { paused_until: mail.paused_until.take(), ..mail.clone() }
    }

    /// The plan in force, if the proxy address is configured.
    pub(super) fn plan(&self) -> Option<Arc<InForce>> {
        lock(&self.mail).plan.clone()
    }

    /// Somebody is to be shown that somebody writes.
    pub(super) fn wish(&self, indicator: TypingIndicator) {
        self.typing.add(indicator);
        self.notify.notify_one();
    }

    pub(super) fn write(&self, change: impl FnOnce(&mut Mail)) {
        change(&mut lock(&self.mail));
        self.notify.notify_one();
    }
}

pub(super) type PauseAdapter = Arc<dyn Fn(&str, Timestamp) + Send + Sync>;

/// What a lane is made of; kept by its supervisor so that it can be made again.
#[derive(Clone)]
pub(super) struct Site {
    pub surroundings: Surroundings,
    pub proxy: Address,
    pub mailbox: Arc<Mailbox>,
    pub work: WorkReceiver,
    /// Tells the other lanes of an adapter to pause.
    pub pause_adapter: PauseAdapter,
}

/// A lane as it is known to those who start and end it.
pub(super) struct Handle {
    pub(super) mailbox: Arc<Mailbox>,
    /// The adapter's and the proxy address' names, also of one that is no more.
    pub(super) adapter: String,
    pub(super) name: String,
    /// Says whether the lane's end was clean.
    pub(super) task: JoinHandle<bool>,
}
