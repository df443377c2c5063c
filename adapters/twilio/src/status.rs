//! Status callbacks: how a send went.

use trunkline_adapter::{Address, DeliveryStatus, Inbound, ProviderError, Refusal, StatusReport};

use crate::form::Fields;
use crate::{errors, person};

/// The state that makes a webhook a status callback; `None` for an inbound message.
pub(crate) fn state(fields: &Fields) -> Option<&str> {
    // WhatsApp tells reading as an event of its own, beside whatever the state says.
    if fields.get("EventType").is_some_and(|event| event.eq_ignore_ascii_case("READ")) {
        return Some("read");
    }
    match fields.any(&["MessageStatus", "SmsStatus"]) {
        Some("received" | "receiving") => None,
        Some(state) => Some(state),
        None if fields.has("Body") || fields.has("NumMedia") => None,
        // Neither a state nor content: an event of a kind we do not know.
        None => fields.get("EventType"),
    }
}

/// Reads one callback. Being on its way inside Twilio is nothing to report; a state we do not know is kept.
pub(crate) fn read(
    fields: &Fields,
    state: &str,
    correlation: Option<String>,
) -> Result<Vec<Inbound>, Refusal> {
    use DeliveryStatus::{Delivered, Failed, Read, Sent, Undelivered};
    let id = fields.required(&["MessageSid", "SmsSid"])?;
    let status = match state {
        "accepted" | "scheduled" | "queued" | "sending" => return Ok(Vec::new()),
        "sent" => Sent,
        "delivered" | "partially_delivered" => Delivered,
        "read" => Read,
        "undelivered" => Undelivered,
        "failed" | "canceled" => Failed,
        _ => return Ok(vec![notice("status", fields)]),
    };
    let from = fields.required(&["From"])?;
    let Some(from) = person::address(from) else { return Ok(vec![notice("status", fields)]) };
    let learned = learned(fields, &from);
    let error = matches!(status, Failed | Undelivered).then(|| error(fields)).flatten();
    let report = StatusReport { id: id.to_owned(), from, correlation, status, error, learned, at: None };
    Ok(vec![Inbound::Status(report)])
}

fn notice(kind: &str, fields: &Fields) -> Inbound {
    Inbound::Notice { kind: kind.to_owned(), raw: fields.raw() }
}

fn error(fields: &Fields) -> Option<ProviderError> {
    let code = fields.get("ErrorCode")?.parse().ok().filter(|code| *code != 0)?;
    let words = fields.any(&["ErrorMessage", "ChannelStatusMessage"]);
    let text = words.map(errors::clean).unwrap_or_else(|| errors::meaning(code).to_owned());
    Some(ProviderError { code, class: errors::class(code), text })
}

/// Other addresses of the recipient. `ChannelToAddress` is often masked, and then is no address.
fn learned(fields: &Fields, from: &Address) -> Vec<Address> {
    let channel = from.channel();
    let shown = fields.get("ChannelToAddress").and_then(|digits| Address::from_digits(channel, digits).ok());
    let to = fields.get("To").and_then(person::address);
    let mut learned: Vec<Address> = Vec::new();
    for address in person::other_names(fields, channel).into_iter().chain(shown) {
        if Some(&address) != to.as_ref() && !learned.contains(&address) {
            learned.push(address);
        }
    }
    learned
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::form::parse;
    use trunkline_adapter::Class;

    fn fields(rest: &str) -> Fields {
        let whole = format!("MessageSid=SM1&From=whatsapp:%2B15550002222&To=whatsapp:%2B15550001111&{rest}");
        Fields::new(parse(whole.as_bytes()).unwrap()).unwrap()
    }

    fn report(rest: &str) -> Option<StatusReport> {
        let fields = fields(rest);
        match read(&fields, state(&fields).unwrap(), Some("m-1".to_owned())).unwrap().pop() {
            Some(Inbound::Status(report)) => Some(report),
            None => None,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_documented_state() {
        use DeliveryStatus::{Delivered, Failed, Read, Sent, Undelivered};
        for (word, expected) in [
            ("accepted", None),
            ("scheduled", None),
            ("queued", None),
            ("sending", None),
            ("sent", Some(Sent)),
            ("delivered", Some(Delivered)),
            ("partially_delivered", Some(Delivered)),
            ("read", Some(Read)),
            ("undelivered", Some(Undelivered)),
            ("failed", Some(Failed)),
            ("canceled", Some(Failed)),
        ] {
            let told = report(&format!("MessageStatus={word}&SmsStatus={word}"));
            assert_eq!(told.map(|report| report.status), expected, "{word}");
        }
        assert_eq!(report("EventType=READ&MessageStatus=delivered").unwrap().status, Read);
    }

    #[test]
    fn what_is_no_status_is_not_taken_for_one() {
        for message in ["SmsStatus=received&Body=x", "MessageStatus=receiving", "Body=", "NumMedia=1"] {
            assert_eq!(state(&fields(message)), None, "{message}");
        }
        let unknown = fields("MessageStatus=teleported");
        assert!(matches!(&read(&unknown, "teleported", None).unwrap()[..], [Inbound::Notice { .. }]));
    }

    #[test]
    fn a_failure_carries_its_code_class_and_cleaned_words() {
        let report =
            report("MessageStatus=failed&ErrorCode=63016&ErrorMessage=no+window+for+%2B15550001111").unwrap();
        let error = report.error.unwrap();
        assert_eq!(
            (error.code, error.class, error.text.as_str()),
            (63016, Class::Window, "no window for +…")
        );
        assert_eq!(report.correlation.as_deref(), Some("m-1"));
    }

    #[test]
    fn addresses_given_away_are_learned_unless_masked() {
        let told =
            report("MessageStatus=sent&ChannelToAddress=%2B15550003333&ExternalUserId=US.900100").unwrap();
        let learned: Vec<_> = told.learned.iter().map(Address::as_str).collect();
        assert_eq!(learned, ["whatsapp:US.900100", "whatsapp:+15550003333"]);
        assert_eq!(report("MessageStatus=sent&ChannelToAddress=%2B1838383XXXX").unwrap().learned, []);
    }
}
