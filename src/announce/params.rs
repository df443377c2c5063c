//! The parameters of events, under the names that the documentation gives them.

use serde_json::{Value, json};
use trunkline_adapter::{Part, Timestamp};

use super::cause::channel;
use super::client;
use crate::model::{
    AccountSid, Conversation, Event, MessageMedia, MessageRecord, ParticipantRecord, PersonBinding,
    ReceiptRecord, Seat, ServiceSid, State, UserRecord,
};

/// Most bytes of a text that are told: the most that a REST caller can write.
const MOST_BODY: usize = 32 * 1024;

/// Parameters in the order they were added; what is not there has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs(pub Vec<(String, String)>);

impl Pairs {
    pub fn put(&mut self, name: &str, value: impl Into<String>) -> &mut Pairs {
        self.0.push((name.to_owned(), value.into()));
        self
    }

    pub fn maybe(&mut self, name: &str, value: Option<impl Into<String>>) -> &mut Pairs {
        if let Some(value) = value {
            self.put(name, value);
        }
        self
    }
}

/// What every event says.
pub fn common(event: Event, account: &AccountSid, service: &ServiceSid, source: &str) -> Pairs {
    let mut pairs = Pairs::default();
    pairs.put("AccountSid", account.as_str()).put("EventType", event.name());
    pairs.put("Source", source).put("ChatServiceSid", service.as_str());
    pairs.maybe("ClientIdentity", client::identity().as_deref());
    pairs
}

/// A moment with its milliseconds, as events write it and REST answers do not.
pub fn instant(at: Timestamp) -> String {
    let whole = at.rfc3339();
    let millis = at.millis().rem_euclid(1000);
    format!("{}.{millis:03}Z", whole.trim_end_matches('Z'))
}

/// A conversation that is there.
pub fn conversation(pairs: &mut Pairs, conversation: &Conversation, state: State) {
    let record = &conversation.record;
    pairs.put("ConversationSid", record.sid.as_str());
    pairs.maybe("MessagingServiceSid", record.messaging_service_sid.as_deref());
    pairs.maybe("FriendlyName", record.friendly_name.as_deref());
    pairs.maybe("UniqueName", record.unique_name.as_deref());
    pairs.put("Attributes", record.attributes.as_str());
    pairs.put("DateCreated", instant(record.created)).put("DateUpdated", instant(record.updated));
    pairs.put("State", state.name());
}

/// A participant, without dates.
pub fn participant(pairs: &mut Pairs, record: &ParticipantRecord) {
    pairs.maybe("Identity", record.identity.as_deref());
    pairs.maybe("RoleSid", record.role_sid.as_deref());
    pairs.put("Attributes", record.attributes.as_str());
    if let Some(own) = &record.binding {
        binding(pairs, own);
    }
    if let Some(own) = &record.seat {
        seat(pairs, own);
    }
}

/// A place in a group text.
pub fn seat(pairs: &mut Pairs, seat: &Seat) {
    let name = match seat {
        Seat::Address(_) => "MessagingBinding.Address",
        Seat::Projected(_) => "MessagingBinding.ProjectedAddress",
    };
    pairs.put(name, seat.seen().as_str());
    pairs.put("MessagingBinding.Type", channel(seat.seen().channel()));
}

/// A messaging binding.
pub fn binding(pairs: &mut Pairs, binding: &PersonBinding) {
    pairs.put("MessagingBinding.ProxyAddress", binding.proxy.as_str());
    pairs.put("MessagingBinding.Address", binding.address.as_str());
    pairs.put("MessagingBinding.Type", channel(binding.proxy.channel()));
}

/// A message that is there.
pub fn message(pairs: &mut Pairs, index: u64, record: &MessageRecord) {
    pairs.put("MessageSid", record.sid.as_str()).put("Index", index.to_string());
    pairs.put("DateCreated", instant(record.created));
    pairs.maybe("Body", record.body.as_deref().map(told));
    pairs.put("Author", record.author.as_str());
    pairs.maybe("ParticipantSid", record.participant.as_ref().map(|sid| sid.as_str()));
    pairs.put("Attributes", record.attributes.as_str());
    pairs.maybe("Media", media(&record.parts(), &record.media));
}

/// A text as far as it is told.
pub(super) fn told(text: &str) -> &str {
    &text[..text.floor_char_boundary(MOST_BODY)]
}

/// The files of a message, as JSON text: those it carries, or where there are none, those its sender's provider told of.
pub fn media(parts: &[Part], media: &[MessageMedia]) -> Option<String> {
    if !media.is_empty() {
        let item = |one: &MessageMedia| {
            json!({
                "Sid": one.sid, "Filename": one.filename, "ContentType": one.content_type, "Size": one.size,
                "Category": one.category.name(),
            })
        };
        return Some(media.iter().map(item).collect::<Value>().to_string());
    }
    let items: Vec<Value> = parts
        .iter()
        .filter_map(|part| match part {
            Part::Media(media) => {
                Some(json!({ "Filename": media.filename, "ContentType": media.content_type }))
            }
            _ => None,
        })
        .collect();
    (!items.is_empty()).then(|| Value::Array(items).to_string())
}

/// A user that is there.
pub fn user(pairs: &mut Pairs, record: &UserRecord) {
    pairs.put("UserSid", record.sid.as_str()).put("DateCreated", instant(record.created));
    pairs.put("Identity", record.identity.as_str()).put("RoleSid", record.role.as_str());
    pairs.put("Attributes", record.attributes.as_str());
    pairs.maybe("FriendlyName", record.friendly_name.as_deref());
}

/// A receipt that moved.
pub(super) fn receipt(
    pairs: &mut Pairs,
    conversation: &str,
    message: &MessageRecord,
    record: &ReceiptRecord,
) {
    pairs.put("ConversationSid", conversation).put("MessageSid", message.sid.as_str());
    pairs.put("DeliveryReceiptSid", record.sid.as_str());
    pairs.maybe("ChannelMessageSid", record.ids().next().map(String::as_str));
    pairs.put("ParticipantSid", record.participant.as_str());
    pairs.maybe("Status", record.status.map(|status| status.name()));
    pairs.put("ErrorCode", record.error_code.to_string());
    pairs.put("DateCreated", instant(record.created)).put("DateUpdated", instant(record.updated));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::model::{ContentHash, MediaCategory, MediaSid, Mint};

    #[test]
    fn moments_have_milliseconds() {
        assert_eq!(instant(Timestamp(1_767_323_045_678_901)), "2026-01-02T03:04:05.678Z");
        assert_eq!(instant(Timestamp(1_767_323_045_000_000)), "2026-01-02T03:04:05.000Z");
    }

    #[test]
    fn files_are_told_as_they_are_kept_else_as_they_came() {
        let came = vec![Part::Text { text: "x".to_owned() }];
        assert_eq!(media(&came, &[]), None);
        let sid = MediaSid::new(&Mint::seeded(1));
        let kept = MessageMedia {
            sid: sid.clone(),
            content: ContentHash::new([0; 32]),
            size: 5,
            content_type: "image/png".to_owned(),
            filename: None,
            category: MediaCategory::Media,
        };
        let told: Value = media(&came, &[kept]).map(|text| serde_json::from_str(&text).unwrap()).unwrap();
        let expected = json!([{
            "Sid": sid, "Filename": null, "ContentType": "image/png", "Size": 5, "Category": "media",
        }]);
        assert_eq!(told, expected);
    }

    #[test]
    fn long_texts_are_told_as_far_as_there_is_room() {
        let text = "é".repeat(MOST_BODY);
        assert_eq!(told(&text).len(), MOST_BODY);
        assert_eq!(told("short"), "short");
    }
}
