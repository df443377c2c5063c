//! The classes of provider errors, and what each means for a lane.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{Blame, Cause, Outcome, Scope};

/// What kind of failure a provider's code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// Passing: the same request may succeed. With the number of tries that make sense, 0 for no limit.
    Retry(u8),
    /// Passing: slow down first.
    Throttle,
    /// As `Throttle`, for one recipient.
    ThrottleRecipient,
    /// Credentials or permissions: stop and tell the operator.
    Auth,
    /// The channel's policy window is shut: a template, or the person must write first.
    Window,
    /// This message can never succeed.
    Permanent,
    /// The file in it is not taken, for its type or its size.
    File,
    /// The recipient opted out or blocked us.
    Block,
    /// The operator must change an account, number or template.
    Config,
    /// Nobody knows whether it was sent.
    Unknown,
}

/// A provider's refusal, classified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Its class.
    pub class: Class,
    /// Its code, 0 when there is none.
    pub code: u32,
    /// The provider's words, without secrets or addresses.
    pub text: String,
    /// What the provider asked us to wait (`Retry-After`).
    pub after: Option<Duration>,
}

impl Failure {
    /// What the lane is to do about it.
    pub fn outcome(self) -> Outcome {
        let cause = Cause { code: self.code, text: self.text };
        let after = self.after;
        match self.class {
            Class::Retry(tries) => {
                Outcome::Retryable { after, tries: (tries > 0).then_some(u32::from(tries) + 1), cause }
            }
            Class::Throttle => Outcome::Throttled { after, scope: Scope::Lane, cause },
            Class::ThrottleRecipient => Outcome::Throttled { after, scope: Scope::Recipient, cause },
            Class::Auth | Class::Config => Outcome::Rejected { blame: Blame::Operator, cause },
            Class::Window | Class::Block => Outcome::Rejected { blame: Blame::Recipient, cause },
            Class::Permanent => Outcome::Rejected { blame: Blame::Message, cause },
            Class::File => Outcome::Rejected { blame: Blame::File, cause },
            Class::Unknown => Outcome::Unknown { cause },
        }
    }
}
