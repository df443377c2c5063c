//! What follows a commit, as far as it is known when it is decided: who is to be woken, and by which rows.

use std::sync::Arc;

use trunkline_adapter::{Address, Timestamp};

use crate::ledger::engine::Revision;
use crate::model::{AccountSid, Letter, Standing};
use crate::work::{Enqueued, Fresh, Queue};

/// A queue row that somebody has to be told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wake {
    pub queue: Queue,
    pub lane: String,
    pub subject: String,
    pub row: Option<Row>,
}

/// What is in a row, for a lane that can go on with it at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub enqueued: Enqueued,
    pub letter: Option<Enclosed>,
}

/// What is known of a letter before its message is committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enclosed {
    pub text: Arc<str>,
    pub to: Address,
    pub aliases: Vec<Address>,
    /// Where among the batch's writes its message is.
    pub message_at: usize,
}

impl Row {
    pub(super) fn committed(self, first: Revision, standing: Standing) -> Fresh {
        let number = |at: usize| first + at as Revision;
        let Enqueued { key, job, at } = self.enqueued;
        let letter = self.letter.map(|Enclosed { text, to, aliases, message_at }| {
            let message = number(message_at);
            Arc::new(Letter { text, to, aliases, message, born: message, standing })
        });
        Fresh { key, job, created: number(at), letter }
    }
}

impl Wake {
    /// Something to send.
    pub fn outbound(proxy: &Address, address: &Address) -> Wake {
        let (lane, subject) = (proxy.as_str().to_owned(), address.as_str().to_owned());
        Wake { queue: Queue::Outbound, lane, subject, row: None }
    }

    /// Something to send, and what it is, unless more has to be looked at when it is sent.
    pub fn delivery(proxy: &Address, enqueued: Enqueued, letter: Enclosed, simple: bool) -> Wake {
        let (lane, subject) = (proxy.as_str().to_owned(), letter.to.as_str().to_owned());
        let letter = Some(letter).filter(|letter| simple && letter.text.len() <= Letter::LONGEST);
        Wake { queue: Queue::Outbound, lane, subject, row: Some(Row { enqueued, letter }) }
    }

    /// Something to forward.
    pub fn forward(service: &str, sender: &str) -> Wake {
        Wake { queue: Queue::Forward, lane: service.to_owned(), subject: sender.to_owned(), row: None }
    }

    /// Something to tell.
    pub fn webhook(account: &AccountSid, subject: String) -> Wake {
        Wake { queue: Queue::Webhook, lane: account.as_str().to_owned(), subject, row: None }
    }

    /// Something that came in and waits.
    pub fn inbox(account: &AccountSid, conversation: &str) -> Wake {
        let (lane, subject) = (account.as_str().to_owned(), conversation.to_owned());
        Wake { queue: Queue::Inbox, lane, subject, row: None }
    }

    /// Something to remove.
    pub fn cleanup(account: &AccountSid, name: &str) -> Wake {
        let (lane, subject) = (account.as_str().to_owned(), name.to_owned());
        Wake { queue: Queue::Cleanup, lane, subject, row: None }
    }
}

/// What follows a commit.
#[derive(Debug, Default)]
pub struct After {
    pub wake: Vec<Wake>,
    /// Pairs whose opt-out row was written or deleted.
    pub opted: Vec<(Address, Address)>,
    /// A status was parked.
    pub parked: bool,
    /// A timer was armed.
    pub due: Option<Timestamp>,
}
