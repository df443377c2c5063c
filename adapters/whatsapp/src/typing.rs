//! That somebody is writing: shown with the last message of the person, which is marked as read by it.

use std::collections::HashMap;

use serde::Serialize;
use trunkline_adapter::{Address, Blame, Cause, Outcome, TypingIndicator};
use trunkline_graph::{Endpoint, Target, post};

pub(crate) async fn show(
    targets: &HashMap<Address, Target>,
    endpoint: &Endpoint,
    indicator: &TypingIndicator,
) -> Result<(), Outcome> {
    let Some(target) = targets.get(&indicator.from) else {
        let cause = Cause::new("no phone_number_id is configured for this sender");
        return Err(Outcome::Rejected { blame: Blame::Operator, cause });
    };
    post(endpoint, target, &Request::of(indicator)).await.map(drop)
}

/// The request's JSON. There is none that shows typing and leaves the message unread.
#[derive(Serialize)]
struct Request<'a> {
    messaging_product: &'static str,
    status: &'static str,
    message_id: &'a str,
    typing_indicator: Kind,
}

#[derive(Serialize)]
struct Kind {
    #[serde(rename = "type")]
    kind: &'static str,
}

impl<'a> Request<'a> {
    fn of(indicator: &'a TypingIndicator) -> Request<'a> {
        Request {
            messaging_product: "whatsapp",
            status: "read",
            message_id: &indicator.answers,
            typing_indicator: Kind { kind: "text" },
        }
    }
}
