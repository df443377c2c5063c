//! Webhooks: every change of a delivery becomes events.
//!
//! Owns the walk and the routing by `phone_number_id`; what a message holds is `content`, how a send went is `status`,
//! who became whom is `identity`. Nothing here fails after the gate: an element that makes no sense is a notice.

mod content;
mod identity;
mod message;
mod status;

use trunkline_adapter::{Address, Inbound, Received, Refusal, Reply, Webhook, WebhookRequest};
use trunkline_graph::{Delivery, Event, Gate, Json, NULL, Passed, kind_word, lenient, unreadable};

use crate::person::Contacts;
use crate::settings::Numbers;

const OBJECT: &str = "whatsapp_business_account";

/// Reads webhooks of one app.
pub(crate) struct Receiver {
    gate: Gate,
    numbers: Numbers,
}

impl Receiver {
    pub(crate) fn new(gate: Gate, numbers: Numbers) -> Receiver {
        Receiver { gate, numbers }
    }
}

impl Webhook for Receiver {
    fn receive(&self, request: &WebhookRequest) -> Result<Received, Refusal> {
        let delivery = match self.gate.pass(request)? {
            Passed::Challenge(received) => return Ok(received),
            Passed::Delivery(body) => Delivery::new(body)?,
        };
        if delivery.object() != OBJECT {
            return Err(Refusal::Malformed(format!("object is {}", kind_word(delivery.object()))));
        }
        let mut tray = Tray { numbers: &self.numbers, inbound: Vec::new(), foreign: 0 };
        for event in delivery.events() {
            match event {
                Event::Change { field, value } => tray.change(field, value),
                Event::Messaging { event: raw, .. }
                | Event::Standby { event: raw }
                | Event::Unreadable { raw } => {
                    tray.inbound.push(unreadable("element", raw));
                }
            }
        }
        if tray.foreign > 0 && tray.foreign == tray.inbound.len() {
            return Err(Refusal::WrongAccount);
        }
        Ok(Received { inbound: tray.inbound, reply: Reply::empty() })
    }
}

/// The events of one delivery, as they are found.
struct Tray<'a> {
    numbers: &'a Numbers,
    inbound: Vec<Inbound>,
    foreign: usize,
}

impl Tray<'_> {
    fn change(&mut self, field: &str, value: &Json<'_>) {
        if !matches!(field, "messages" | "smb_message_echoes" | "user_id_update") {
            return self.notice(field, value);
        }
        let metadata = value.get("metadata").unwrap_or(&NULL);
        let Some(id) = lenient::text(metadata, "phone_number_id") else {
            // Errors of the account as a whole name no number.
            return match lenient::list(value, "errors") {
                [] => self.inbound.push(unreadable("change", value)),
                errors => errors.iter().for_each(|error| self.notice("errors", error)),
            };
        };
        // Looked up per change: one delivery may mix the numbers of an account.
        let Some(to) = self.numbers.address(&id).cloned() else {
            self.foreign += 1;
            return self.notice("foreign_number", value);
        };
        let before = self.inbound.len();
        match field {
            "messages" => self.messages(&to, value),
            "smb_message_echoes" => self.echoes(&to, value),
            _ => self.identities(&to, value),
        }
        if self.inbound.len() == before {
            self.notice(field, value);
        }
    }

    fn messages(&mut self, to: &Address, value: &Json<'_>) {
        let messages = lenient::list(value, "messages");
        let contacts = Contacts::of(value, messages.len() == 1);
        for raw in messages {
            let read = message::read(raw, &contacts, to);
            self.inbound.push(read.unwrap_or_else(|| unreadable("message", raw)));
        }
        for raw in lenient::list(value, "statuses") {
            self.inbound.push(status::read(raw, to).unwrap_or_else(|| unreadable("status", raw)));
        }
        for raw in lenient::list(value, "errors") {
            self.notice("errors", raw);
        }
    }

    fn echoes(&mut self, from: &Address, value: &Json<'_>) {
        let echoes = lenient::list(value, "message_echoes");
        let contacts = Contacts::of(value, false);
        for raw in echoes {
            let read = message::echo(raw, &contacts, from);
            self.inbound.push(read.unwrap_or_else(|| unreadable("echo", raw)));
        }
    }

    fn identities(&mut self, to: &Address, value: &Json<'_>) {
        for raw in lenient::list(value, "user_id_update") {
            let read = identity::update(raw, to);
            self.inbound.push(read.unwrap_or_else(|| unreadable("user_id_update", raw)));
        }
    }

    fn notice(&mut self, kind: &str, raw: &Json<'_>) {
        self.inbound.push(Inbound::Notice { kind: kind_word(kind), raw: raw.to_value() });
    }
}

#[cfg(test)]
mod tests;
