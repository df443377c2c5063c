//! The layout of every table: which key a record has. Rooms ask here, so that an index and its row are always written
//! by the same hand.

use std::borrow::Cow;

use trunkline_adapter::{Address, Timestamp};

use super::key::{Key, Piece, Space, take_name};
use crate::model::ContentHash;

/// An account's services, in order of birth when read through their records.
pub fn service(account: &str, service: &str) -> Key {
    Key::new(account, "", Space::Service, service.as_bytes())
}

/// The prefix of an account's services.
pub fn services(account: &str) -> Key {
    Key::new(account, "", Space::Service, b"")
}

/// An account's own settings.
pub fn account_settings(account: &str) -> Key {
    Key::new(account, "", Space::Configuration, b"")
}

/// The claim on a messaging binding.
pub fn binding(account: &str, proxy: &Address, address: &Address) -> Key {
    let names = [Piece::Name(proxy.as_str()), Piece::Name(address.as_str())];
    Key::of(account, "", Space::Binding, &names)
}

/// The prefix of an account's messaging bindings on one proxy address.
pub fn bindings_of_proxy(account: &str, proxy: &Address) -> Key {
    Key::of(account, "", Space::Binding, &[Piece::Name(proxy.as_str())])
}

/// Which conversation holds a set of addresses that text each other as a group. Sets are long, so their name is a digest.
pub fn group_text(account: &str, digest: &[u8]) -> Key {
    Key::new(account, "", Space::GroupText, digest)
}

/// The prefix of an account's messaging bindings.
pub fn bindings(account: &str) -> Key {
    Key::new(account, "", Space::Binding, b"")
}

/// The claim on a unique name within a service.
pub fn unique_name(account: &str, service: &str, name: &str) -> Key {
    Key::new(account, service, Space::UniqueName, &bounded(name))
}

/// A conversation's place in its service's list.
pub fn conversation_place(account: &str, service: &str, birth: u64) -> Key {
    Key::new(account, service, Space::ConversationList, &birth.to_be_bytes())
}

/// The prefix of a service's list.
pub fn conversation_list(account: &str, service: &str) -> Key {
    Key::new(account, service, Space::ConversationList, b"")
}

/// The record of a conversation whose timers are to be looked at.
pub fn timer(due: Timestamp, account: &str, conversation: &str) -> Key {
    let due = timer_place(due);
    Key::of("", "", Space::Timer, &[Piece::Bytes(&due), Piece::Name(account), Piece::Name(conversation)])
}

/// The prefix of all timers, and the first that is due then or later.
pub fn timers(from: Timestamp) -> (Key, Key) {
    (Key::new("", "", Space::Timer, b""), Key::new("", "", Space::Timer, &timer_place(from)))
}

/// When a timer is due, and of which account's conversation it is.
pub fn timer_of(key: &Key) -> Option<(Timestamp, String, String)> {
    let (due, names) = key.rest()?.split_first_chunk()?;
    let (account, rest) = take_name(names)?;
    let (conversation, _) = take_name(rest)?;
    Some((Timestamp(i64::try_from(u64::from_be_bytes(*due)).ok()?), account, conversation))
}

fn timer_place(due: Timestamp) -> [u8; 8] {
    u64::try_from(due.0).unwrap_or(0).to_be_bytes()
}

/// Whether an address has opted out of a proxy address.
pub fn opt_out(account: &str, proxy: &Address, address: &Address) -> Key {
    let names = [Piece::Name(proxy.as_str()), Piece::Name(address.as_str())];
    Key::of(account, "", Space::OptOut, &names)
}

/// The prefix of an account's opt-outs.
pub fn opt_outs(account: &str) -> Key {
    Key::new(account, "", Space::OptOut, b"")
}

/// The name an identity is found by in the person index; of very long ones, the beginning. An identity could look like an
/// address; the colon in front keeps the two apart.
pub fn identity_name(identity: &str) -> String {
    format!(":{}", identity.chars().take(200).collect::<String>())
}

/// An entry of the person index.
pub fn person(account: &str, name: &str, participant: &str) -> Key {
    let rest = [Piece::Name(name), Piece::Bytes(participant.as_bytes())];
    Key::of(account, "", Space::Person, &rest)
}

/// The prefix of a name's entries in the person index.
pub fn persons(account: &str, name: &str) -> Key {
    Key::of(account, "", Space::Person, &[Piece::Name(name)])
}

/// What a service has set for itself.
pub fn service_settings(account: &str, service: &str) -> Key {
    Key::new(account, service, Space::ServiceSettings, b"")
}

/// A role.
pub fn role(account: &str, service: &str, role: &str) -> Key {
    Key::new(account, service, Space::Role, role.as_bytes())
}

/// A user.
pub fn user(account: &str, service: &str, user: &str) -> Key {
    Key::new(account, service, Space::User, user.as_bytes())
}

/// Which user an identity is; its row is what makes identities unique.
pub fn user_identity(account: &str, service: &str, identity: &str) -> Key {
    Key::new(account, service, Space::UserIdentity, &bounded(identity))
}

/// That somebody left a conversation, for their list of conversations.
pub fn departure(account: &str, service: &str, identity: &str, conversation: &str) -> Key {
    let rest = [Piece::Bytes(&digest(identity)), Piece::Bytes(conversation.as_bytes())];
    Key::of(account, service, Space::Departure, &rest)
}

/// The prefix of an identity's departures.
pub fn departures(account: &str, service: &str, identity: &str) -> Key {
    Key::new(account, service, Space::Departure, &digest(identity))
}

/// Whose departure it is, as [`digest`] has it, and from which conversation.
pub fn departure_of(key: &Key) -> Option<([u8; 32], &str)> {
    let (identity, conversation) = key.rest()?.split_first_chunk()?;
    Some((*identity, std::str::from_utf8(conversation).ok()?))
}

/// An identity in 32 bytes.
pub fn digest(identity: &str) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, identity.as_bytes()).as_ref());
    bytes
}

/// Credentials for a push service.
pub fn credential(account: &str, credential: &str) -> Key {
    Key::new(account, "", Space::Credential, credential.as_bytes())
}

/// What a request under a caller's idempotency key was answered.
pub fn idempotency(account: &str, name: &str) -> Key {
    Key::new(account, "", Space::Idempotency, &bounded(name))
}

/// The prefix of an account's idempotency keys.
pub fn idempotency_keys(account: &str) -> Key {
    Key::new(account, "", Space::Idempotency, b"")
}

/// A device that gets pushes.
pub fn push_binding(account: &str, service: &str, binding: &str) -> Key {
    Key::new(account, service, Space::PushBinding, binding.as_bytes())
}

/// The prefix of a service's devices.
pub fn push_bindings(account: &str, service: &str) -> Key {
    Key::new(account, service, Space::PushBinding, b"")
}

/// The configuration of an address.
pub fn address_configuration(account: &str, configuration: &str) -> Key {
    Key::new(account, "", Space::AddressConfiguration, configuration.as_bytes())
}

/// Which configuration an address has; its row is what makes it the only one.
pub fn configured_address(account: &str, address: &str) -> Key {
    Key::new(account, "", Space::ConfiguredAddress, &bounded(address))
}

/// A file's record.
pub fn media(account: &str, media: &str) -> Key {
    Key::new(account, media, Space::Media, b"")
}

/// That a file is a service's.
pub fn media_of_service(account: &str, service: &str, media: &str) -> Key {
    Key::new(account, service, Space::MediaOfService, media.as_bytes())
}

/// The prefix of a service's files.
pub fn media_of_services(account: &str, service: &str) -> Key {
    Key::new(account, service, Space::MediaOfService, b"")
}

/// That a file needs a stored content. Contents are shared between accounts, so these rows belong to none.
pub fn media_content(content: &ContentHash, account: &str, media: &str) -> Key {
    let rest = [Piece::Bytes(content.as_bytes()), Piece::Name(account), Piece::Bytes(media.as_bytes())];
    Key::of("", "", Space::MediaContent, &rest)
}

/// The prefix of those who need a stored content.
pub fn media_contents(content: &ContentHash) -> Key {
    Key::new("", "", Space::MediaContent, content.as_bytes())
}

/// Event webhooks: of a service by its SID, of the account itself by an empty name.
pub fn hook(account: &str, name: &str) -> Key {
    Key::new(account, "", Space::Webhook, name.as_bytes())
}

/// The prefix of an account's event webhooks and its services'.
pub fn hooks(account: &str) -> Key {
    hook(account, "")
}

/// An event that was given up, by when.
pub fn dead_letter(account: &str, birth: u64) -> Key {
    Key::new(account, "", Space::DeadLetter, &birth.to_be_bytes())
}

/// The prefix of an account's dead letters.
pub fn dead_letters(account: &str) -> Key {
    Key::new(account, "", Space::DeadLetter, b"")
}

/// The birth in a dead letter's key.
pub fn dead_letter_birth(key: &Key) -> Option<u64> {
    Some(u64::from_be_bytes(key.rest()?.try_into().ok()?))
}

/// Lists in the order of birth whose records are found by SID. The byte is part of the stored key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum List {
    Addresses = b'A',
    Credentials = b'C',
    PushBindings = b'P',
    Roles = b'R',
    Users = b'U',
}

/// The prefix of a list; `service` is empty for one of the account as a whole.
pub fn list(account: &str, service: &str, list: List) -> Key {
    Key::new(account, service, Space::Listed, &[list as u8])
}

/// A place in a list.
pub fn listed(account: &str, service: &str, list: List, birth: u64) -> Key {
    let rest = [Piece::Bytes(&[list as u8]), Piece::Bytes(&birth.to_be_bytes())];
    Key::of(account, service, Space::Listed, &rest)
}

/// The birth in the key of a place in a list.
pub fn listed_birth(key: &Key) -> Option<u64> {
    Some(u64::from_be_bytes(key.rest()?.get(1..)?.try_into().ok()?))
}

/// The prefix of the tombstones of messages from an index on, and the first of them.
pub fn message_tombstones(account: &str, conversation: &str, from: u64) -> (Key, Key) {
    let prefix = Key::new(account, conversation, Space::Tombstone, b"M");
    (prefix, tombstone(account, conversation, b'M', &from.to_be_bytes()))
}

/// The index in the key of a message's tombstone.
pub fn tombstone_index(key: &Key) -> Option<u64> {
    match key.rest()?.split_first()? {
        (b'M', index) => Some(u64::from_be_bytes(index.try_into().ok()?)),
        _ => None,
    }
}

/// A place in the ring of raw requests that could not be read.
pub fn unreadable(account: &str, place: u64) -> Key {
    Key::new(account, "", Space::Unreadable, &place.to_be_bytes())
}

/// How many raw requests an account's ring was ever given; also the prefix of its places.
pub fn unreadables(account: &str) -> Key {
    Key::new(account, "", Space::Unreadable, b"")
}

/// A conversation's head.
pub fn head(account: &str, conversation: &str) -> Key {
    Key::new(account, conversation, Space::Head, b"")
}

/// A conversation's document.
pub fn conversation(account: &str, conversation: &str) -> Key {
    Key::new(account, conversation, Space::Conversation, b"")
}

/// A participant.
pub fn participant(account: &str, conversation: &str, participant: &str) -> Key {
    Key::new(account, conversation, Space::Participant, participant.as_bytes())
}

/// The prefix of a conversation's participants.
pub fn participants(account: &str, conversation: &str) -> Key {
    Key::new(account, conversation, Space::Participant, b"")
}

/// A message.
pub fn message(account: &str, conversation: &str, index: u64) -> Key {
    Key::new(account, conversation, Space::Message, &index.to_be_bytes())
}

/// The prefix of a conversation's messages.
pub fn messages(account: &str, conversation: &str) -> Key {
    Key::new(account, conversation, Space::Message, b"")
}

/// The index in a message's key.
pub fn message_index(key: &Key) -> Option<u64> {
    Some(u64::from_be_bytes(key.rest()?.try_into().ok()?))
}

/// Where a message SID's index is kept.
pub fn message_sid(account: &str, conversation: &str, message: &str) -> Key {
    Key::new(account, conversation, Space::MessageIndex, message.as_bytes())
}

/// A delivery receipt.
pub fn receipt(account: &str, conversation: &str, index: u64, receipt: &str) -> Key {
    let rest = [Piece::Bytes(&index.to_be_bytes()), Piece::Bytes(receipt.as_bytes())];
    Key::of(account, conversation, Space::Receipt, &rest)
}

/// The message's index in a receipt's key.
pub fn receipt_index(key: &Key) -> Option<u64> {
    Some(u64::from_be_bytes(key.rest()?.get(..8)?.try_into().ok()?))
}

/// The prefix of all receipts of a conversation.
pub fn all_receipts(account: &str, conversation: &str) -> Key {
    Key::new(account, conversation, Space::Receipt, b"")
}

/// The prefix of a message's receipts.
pub fn receipts(account: &str, conversation: &str, index: u64) -> Key {
    Key::new(account, conversation, Space::Receipt, &index.to_be_bytes())
}

/// What is left of a removed participant (`b'P'`, SID) or message (`b'M'`, index).
pub fn tombstone(account: &str, conversation: &str, what: u8, name: &[u8]) -> Key {
    Key::of(account, conversation, Space::Tombstone, &[Piece::Bytes(&[what]), Piece::Bytes(name)])
}

/// What a provider's id stands for.
pub fn provider_id(account: &str, kind: &str, proxy: &Address, id: &str) -> Key {
    named_by_provider(account, Space::ProviderId, kind, proxy, id)
}

/// Statuses waiting for a provider's id to be known.
pub fn parked(account: &str, kind: &str, proxy: &Address, id: &str) -> Key {
    named_by_provider(account, Space::Parked, kind, proxy, id)
}

/// The prefix of all parked statuses of an account.
pub fn all_parked(account: &str) -> Key {
    Key::new(account, "", Space::Parked, b"")
}

fn named_by_provider(account: &str, space: Space, kind: &str, proxy: &Address, id: &str) -> Key {
    let names = [Piece::Name(kind), Piece::Name(proxy.as_str()), Piece::Bytes(&bounded(id))];
    Key::of(account, "", space, &names)
}

/// Names from outside of up to this many bytes are stored as they are.
const LONGEST_NAME: usize = 400;

/// A name from outside, which may be of any length, as part of a key, which may not: a long one by its digest. No text
/// begins with the byte in front, so the two never meet.
fn bounded(name: &str) -> Cow<'_, [u8]> {
    if name.len() <= LONGEST_NAME {
        return Cow::Borrowed(name.as_bytes());
    }
    let mut marked = vec![0xFF];
    marked.extend_from_slice(&digest(name));
    Cow::Owned(marked)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::ledger::engine::MAX_KEY;

    #[test]
    fn names_of_any_length_make_keys_that_fit_and_differ() {
        let proxy = Address::parse("+12025550123").unwrap();
        let long = "x".repeat(5000);
        for key in [provider_id("AC1", "twilio", &proxy, &long), unique_name("AC1", "IS1", &long)] {
            assert!(key.as_bytes().len() <= MAX_KEY);
        }
        let other = format!("{long}y");
        assert_ne!(provider_id("AC1", "twilio", &proxy, &long), provider_id("AC1", "twilio", &proxy, &other));
        assert_ne!(provider_id("AC1", "twilio", &proxy, "a"), provider_id("AC1", "whatsapp", &proxy, "a"));
    }
}
