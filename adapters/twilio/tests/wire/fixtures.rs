//! Requests as Twilio documents them, each with what it must become.

use serde::Deserialize;
use serde_json::{Value, json};
use trunkline_adapter::{Inbound, Person, Signal};

use super::*;

#[derive(Deserialize)]
struct Fixture {
    source: String,
    url: String,
    form: Vec<(String, String)>,
    expected: Vec<Value>,
}

fn person(person: &Person) -> Value {
    json!({
        "address": person.address,
        "aliases": person.aliases,
        "lookalikes": person.lookalikes,
        "name": person.name,
    })
}

fn show(inbound: &Inbound) -> Value {
    match inbound {
        Inbound::Message(message) => json!({ "message": {
            "id": message.id,
            "from": person(&message.from),
            "to": message.to,
            "parts": message.parts,
            "reply_to": message.reply_to,
        }}),
        Inbound::Status(report) => json!({ "status": report }),
        Inbound::Signal { from, to, signal: Signal::OptOut { id } } => {
            json!({ "signal": { "from": person(from), "to": to, "opt_out": id } })
        }
        other => panic!("no fixture expects {other:?}"),
    }
}

macro_rules! fixtures {
    ($($name:ident),* $(,)?) => {$(
        #[test]
        fn $name() {
            let text = include_str!(concat!("../../fixtures/", stringify!($name), ".json"));
            let fixture: Fixture = serde_json::from_str(text).unwrap();
            assert!(fixture.source.contains("https://"));
            let params: Vec<_> =
                fixture.form.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let received = receive(&offline(), &signed_form(TOKEN, &fixture.url, &params)).unwrap();
            let inbound: Vec<_> = received.inbound.iter().map(show).collect();
            assert_eq!(inbound, fixture.expected);
        }
    )*};
}

fixtures!(
    sms,
    mms,
    sms_opt_out,
    whatsapp_button,
    whatsapp_location,
    messenger,
    status_queued,
    status_sent,
    status_delivered,
    status_undelivered,
    status_whatsapp_read,
    status_whatsapp_failed,
);
