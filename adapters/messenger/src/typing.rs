//! That somebody is writing: a sender action, which is alone in its request.

use std::collections::HashMap;

use serde::Serialize;
use trunkline_adapter::{Address, Blame, Cause, Channel, Outcome, TypingIndicator};
use trunkline_graph::{Endpoint, Target, post};

pub(crate) async fn show(
    targets: &HashMap<Address, Target>,
    endpoint: &Endpoint,
    indicator: &TypingIndicator,
) -> Result<(), Outcome> {
    let Some(target) = targets.get(&indicator.from) else {
        let cause = Cause::new("no access_token is configured for this page");
        return Err(Outcome::Rejected { blame: Blame::Operator, cause });
    };
    if indicator.to.channel() != Channel::Messenger {
        let cause = Cause::new("the recipient is not on Messenger");
        return Err(Outcome::Rejected { blame: Blame::Recipient, cause });
    }
    let recipient = Recipient { id: indicator.to.value() };
    post(endpoint, target, &Request { recipient, sender_action: "typing_on" }).await.map(drop)
}

/// The request's JSON.
#[derive(Serialize)]
struct Request<'a> {
    recipient: Recipient<'a>,
    sender_action: &'static str,
}

#[derive(Serialize)]
struct Recipient<'a> {
    id: &'a str,
}
