//! Where a row lives: (account, partition, space, rest).
//!
//! The partition is what a distributed engine would shard by: a conversation, a lane, or empty for
//! what belongs to the account as a whole. Revisions are compared only within one partition.
//!
//! A stored key begins with four bytes that scatter the partitions, so that two keys mostly differ at once: the engine
//! keeps these four beside its pointer to a key, and comparing keys was a quarter of what a commit took. Order is kept
//! where somebody reads along it: within a partition, and between all rows without one, which come first.

use std::fmt;

use bytes::{BufMut, Bytes, BytesMut};

/// A room of rows that share one meaning and one encoding. The byte is part of the stored key: never reuse one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Space {
    /// Facts about the store itself (account and partition empty).
    Meta = 1,
    /// Conversation services of an account.
    Service = 2,
    /// Account-wide settings that the API changes.
    Configuration = 3,
    /// (proxy address, address) → the open conversation that holds the pair.
    Binding = 4,
    /// (service, unique name) → conversation.
    UniqueName = 5,
    /// (service, birth) → conversation, for lists.
    ConversationList = 6,
    /// Addresses that asked not to be written to, per proxy address.
    OptOut = 7,
    /// (address or identity, conversation) → participant, open and closed conversations alike.
    Person = 8,
    /// Raw requests that were well signed and could not be read.
    Unreadable = 9,
    /// Conversation SID → the service it lives in.
    ConversationHome = 10,
    /// (when, account, conversation): timers in the order they are due, of all accounts (account and partition empty).
    Timer = 11,
    /// Configurations of an account's addresses.
    AddressConfiguration = 12,
    /// Address → the SID of its configuration.
    ConfiguredAddress = 13,
    /// A set of addresses that text each other as a group → the open conversation that holds it.
    GroupText = 14,
    /// A conversation's head: state, next index, roster number.
    Head = 16,
    /// A conversation's document: names, attributes, timers.
    Conversation = 17,
    /// A conversation's participants.
    Participant = 18,
    /// A conversation's messages by index.
    Message = 19,
    /// Message SID → index.
    MessageIndex = 20,
    /// Delivery receipts of a message.
    Receipt = 21,
    /// What was removed, as long as its conversation lives.
    Tombstone = 22,
    /// Ordered work: (lane, subject, sequence).
    Queue = 32,
    /// State of a lane that must outlive the process.
    Lane = 33,
    /// (kind, provider account, id) → message and participant.
    ProviderId = 48,
    /// Statuses that came before the send's own answer.
    Parked = 49,
    /// A service's own settings.
    ServiceSettings = 64,
    /// A service's roles.
    Role = 65,
    /// A service's users.
    User = 66,
    /// Identity → the user's SID, in a service.
    UserIdentity = 67,
    /// An account's credentials for push services.
    Credential = 68,
    /// A service's devices that get pushes.
    PushBinding = 69,
    /// (what, birth) → SID: the order of lists of what stands above.
    Listed = 70,
    /// (identity, conversation): whom a user's list of conversations lost, as long as the user lives.
    Departure = 71,
    /// The event webhooks of an account and of its services.
    Webhook = 80,
    /// Events that were given up.
    DeadLetter = 81,
    /// Idempotency keys of an account's callers, and what they were answered.
    Idempotency = 90,
    /// A file's record; its SID is the partition.
    Media = 100,
    /// (service, SID): the files of a service.
    MediaOfService = 101,
    /// (content, account, SID): who needs a stored content (account and partition empty).
    MediaContent = 102,
}

/// The groups of spaces that an engine may store apart, because they are born and die differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Keyspace {
    /// Rows that stay.
    Rows,
    /// Rows that are deleted within seconds.
    Queue,
    /// Random keys, looked up to be absent.
    ProviderId,
}

impl Space {
    /// Every space, in the order of its byte.
    pub const ALL: [Space; 39] = [
        Space::Meta,
        Space::Service,
        Space::Configuration,
        Space::Binding,
        Space::UniqueName,
        Space::ConversationList,
        Space::OptOut,
        Space::Person,
        Space::Unreadable,
        Space::ConversationHome,
        Space::Timer,
        Space::AddressConfiguration,
        Space::ConfiguredAddress,
        Space::GroupText,
        Space::Head,
        Space::Conversation,
        Space::Participant,
        Space::Message,
        Space::MessageIndex,
        Space::Receipt,
        Space::Tombstone,
        Space::Queue,
        Space::Lane,
        Space::ProviderId,
        Space::Parked,
        Space::ServiceSettings,
        Space::Role,
        Space::User,
        Space::UserIdentity,
        Space::Credential,
        Space::PushBinding,
        Space::Listed,
        Space::Departure,
        Space::Webhook,
        Space::DeadLetter,
        Space::Idempotency,
        Space::Media,
        Space::MediaOfService,
        Space::MediaContent,
    ];

    /// Which group of rows this space is stored in.
    pub fn keyspace(self) -> Keyspace {
        match self {
            Space::Queue => Keyspace::Queue,
            Space::ProviderId | Space::Parked => Keyspace::ProviderId,
            _ => Keyspace::Rows,
        }
    }

    /// The space a stored byte names.
    pub fn from_byte(byte: u8) -> Option<Space> {
        Space::ALL.into_iter().find(|space| *space as u8 == byte)
    }
}

/// An encoded key. Its order is the engine's order.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Bytes);

/// A key taken apart again, for dumps and messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts<'a> {
    pub account: String,
    pub partition: String,
    pub space: Space,
    pub rest: &'a [u8],
}

/// Marks a name stored as two letters and sixteen bytes, which is what most SIDs are. It only saves room:
/// a SID of any other shape is stored as it is, and nothing is read out of either.
const PACKED: u8 = 0xFF;

/// Bytes in front of the names.
const SCATTER: usize = 4;
/// Those of a key without a partition.
const UNSCATTERED: [u8; SCATTER] = [0; SCATTER];

/// The bytes in front of a key. The first is never 0, which is for rows without a partition, and below 254, where an
/// engine's own keys begin. Part of the stored format.
fn scatter(by: &[u8]) -> [u8; SCATTER] {
    let mut bytes = (xxhash_rust::xxh3::xxh3_64(by) as u32).to_be_bytes();
    bytes[0] = bytes[0] % 253 + 1;
    bytes
}

impl Key {
    /// The key of one row.
    pub fn new(account: &str, partition: &str, space: Space, rest: &[u8]) -> Key {
        Key::of(account, partition, space, &[Piece::Bytes(rest)])
    }

    /// The key of one row whose rest is made of pieces.
    pub fn of(account: &str, partition: &str, space: Space, rest: &[Piece<'_>]) -> Key {
        let (account, partition) = (Name::of(account), Name::of(partition));
        // Ten keys are made for a message: each in one piece of memory of its very size.
        let behind: usize = rest.iter().map(Piece::stored_len).sum();
        let names = account.stored_len() + partition.stored_len();
        let mut buffer = Vec::with_capacity(SCATTER + names + 1 + behind);
        buffer.put_slice(&UNSCATTERED);
        account.put(&mut buffer);
        partition.put(&mut buffer);
        buffer.put_u8(space as u8);
        rest.iter().for_each(|piece| piece.put(&mut buffer));
        let scattered_by = match space {
            // Nobody reads along the ids of providers: each is looked up.
            Space::ProviderId => SCATTER..buffer.len(),
            _ if partition.is_empty() => SCATTER..SCATTER,
            _ => SCATTER..SCATTER + names,
        };
        if !scattered_by.is_empty() {
            let scattered = scatter(&buffer[scattered_by]);
            buffer[..SCATTER].copy_from_slice(&scattered);
        }
        Key(Bytes::from(buffer))
    }

    /// A key read back from an engine.
    pub fn from_bytes(bytes: Bytes) -> Key {
        Key(bytes)
    }

    /// The stored bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The stored bytes, shared.
    pub fn bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// A number that rows of one partition share, and few other rows do; nothing for rows without a partition.
    pub fn group(&self) -> Option<u32> {
        let scatter = self.0.first_chunk::<SCATTER>().filter(|scatter| **scatter != UNSCATTERED)?;
        Some(u32::from_be_bytes(*scatter))
    }

    /// The parts this key was made of, or nothing if it is not one of ours.
    pub fn parts(&self) -> Option<Parts<'_>> {
        let (account, rest) = take_name(self.0.get(SCATTER..)?)?;
        let (partition, rest) = take_name(rest)?;
        let (space, rest) = rest.split_first()?;
        Some(Parts { account, partition, space: Space::from_byte(*space)?, rest })
    }

    /// The space alone, without decoding the names.
    pub fn space(&self) -> Option<Space> {
        let rest = skip_name(skip_name(self.0.get(SCATTER..)?)?)?;
        Space::from_byte(*rest.first()?)
    }

    /// The part behind the space, without decoding the names.
    pub fn rest(&self) -> Option<&[u8]> {
        skip_name(skip_name(self.0.get(SCATTER..)?)?)?.get(1..)
    }
}

/// Errors and logs show keys this way: the rest often names a person, so only its length is told.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.parts() {
            Some(parts) => write!(
                f,
                "{}/{}/{:?}/{} bytes",
                parts.account,
                parts.partition,
                parts.space,
                parts.rest.len()
            ),
            None => write!(f, "?/{} bytes", self.0.len()),
        }
    }
}

/// A run of keys, start included, end excluded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Range {
    pub start: Bytes,
    pub end: Bytes,
    /// Highest first.
    pub reverse: bool,
}

impl Range {
    /// Every key that begins with this one.
    pub fn prefix(key: &Key) -> Range {
        Range { start: key.bytes(), end: successor(key.as_bytes()), reverse: false }
    }

    /// The keys of the same prefix that come after `after` (itself left out).
    pub fn after(prefix: &Key, after: &Key) -> Range {
        let mut start = BytesMut::from(after.as_bytes());
        start.put_u8(0);
        Range { start: start.freeze(), end: successor(prefix.as_bytes()), reverse: false }
    }

    /// From `start` (included) to the end of `prefix`.
    pub fn from(prefix: &Key, start: &Key) -> Range {
        Range { start: start.bytes(), end: successor(prefix.as_bytes()), reverse: false }
    }

    /// From the beginning of `prefix` up to `end` (left out).
    pub fn until(prefix: &Key, end: &Key) -> Range {
        Range { start: prefix.bytes(), end: end.bytes(), reverse: false }
    }

    /// The same run, highest first.
    pub fn reversed(mut self) -> Range {
        self.reverse = true;
        self
    }

    /// As [`Range::accounts`], from the first account behind this one.
    pub fn accounts_behind(account: &str) -> Range {
        let mut prefix = BytesMut::from(&UNSCATTERED[..]);
        put_name(&mut prefix, account);
        Range { start: successor(&prefix), ..Range::accounts() }
    }

    /// The keys of all rows without a partition, account by account.
    pub fn accounts() -> Range {
        Range { start: Bytes::new(), end: successor(&UNSCATTERED), reverse: false }
    }

    /// Every key there is.
    pub fn all() -> Range {
        Range { start: Bytes::new(), end: Bytes::new(), reverse: false }
    }

    /// Whether a key lies in the run. An empty end means: no upper bound.
    pub fn contains(&self, key: &[u8]) -> bool {
        key >= self.start.as_ref() && (self.end.is_empty() || key < self.end.as_ref())
    }
}

/// The first key after all keys that begin with `prefix`; empty when there is none.
fn successor(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < 0xFF {
            end.push(last + 1);
            return Bytes::from(end);
        }
    }
    Bytes::new()
}

/// A part of what stands behind the space.
#[derive(Clone, Copy, Debug)]
pub enum Piece<'a> {
    /// A name that can be told from what follows; longest name 250 bytes (callers keep addresses below).
    Name(&'a str),
    /// Bytes as they are.
    Bytes(&'a [u8]),
}

impl Piece<'_> {
    fn stored_len(&self) -> usize {
        match self {
            Piece::Name(name) => Name::of(name).stored_len(),
            Piece::Bytes(bytes) => bytes.len(),
        }
    }

    fn put(&self, buffer: &mut impl BufMut) {
        match self {
            Piece::Name(name) => Name::of(name).put(buffer),
            Piece::Bytes(bytes) => buffer.put_slice(bytes),
        }
    }
}

/// A name as it is stored.
enum Name<'a> {
    Packed([u8; 18]),
    Plain(&'a [u8]),
}

impl Name<'_> {
    fn of(name: &str) -> Name<'_> {
        match pack(name) {
            Some(packed) => Name::Packed(packed),
            None => Name::Plain(&name.as_bytes()[..name.floor_char_boundary(250)]),
        }
    }

    fn is_empty(&self) -> bool {
        matches!(self, Name::Plain([]))
    }

    fn stored_len(&self) -> usize {
        1 + match self {
            Name::Packed(packed) => packed.len(),
            Name::Plain(bytes) => bytes.len(),
        }
    }

    fn put(&self, buffer: &mut impl BufMut) {
        match self {
            Name::Packed(packed) => {
                buffer.put_u8(PACKED);
                buffer.put_slice(packed);
            }
            Name::Plain(bytes) => {
                buffer.put_u8(bytes.len() as u8);
                buffer.put_slice(bytes);
            }
        }
    }
}

/// Writes a name so that it can be told from what follows, as [`Piece::Name`].
pub fn put_name(buffer: &mut BytesMut, name: &str) {
    Name::of(name).put(buffer);
}

/// Reads what [`put_name`] wrote, and what is left behind it.
pub fn take_name(bytes: &[u8]) -> Option<(String, &[u8])> {
    let (length, rest) = bytes.split_first()?;
    if *length == PACKED {
        let (packed, rest) = rest.split_at_checked(18)?;
        let mut name = String::with_capacity(34);
        name.push_str(std::str::from_utf8(&packed[..2]).ok()?);
        for byte in &packed[2..] {
            for nibble in [byte >> 4, byte & 15] {
                name.push(char::from(b"0123456789abcdef"[usize::from(nibble)]));
            }
        }
        return Some((name, rest));
    }
    let (name, rest) = rest.split_at_checked(usize::from(*length))?;
    Some((std::str::from_utf8(name).ok()?.to_owned(), rest))
}

fn skip_name(bytes: &[u8]) -> Option<&[u8]> {
    let (length, rest) = bytes.split_first()?;
    rest.get(if *length == PACKED { 18 } else { usize::from(*length) }..)
}

fn pack(name: &str) -> Option<[u8; 18]> {
    let bytes = name.as_bytes();
    if bytes.len() != 34 || !bytes[..2].iter().all(u8::is_ascii_uppercase) {
        return None;
    }
    let mut packed = [0; 18];
    packed[..2].copy_from_slice(&bytes[..2]);
    for (slot, pair) in packed[2..].iter_mut().zip(bytes[2..].chunks_exact(2)) {
        *slot = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(packed)
}

fn nibble(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::expect_used)]
    use super::*;

    #[test]
    fn parts_come_back() {
        for (account, partition) in [
            ("AC00000000000000000000000000000001", "CH0123456789abcdef0123456789abcdef"),
            ("", ""),
            ("ACFFFFFFFF000000000000000000000001", "+15550001"),
        ] {
            let key = Key::new(account, partition, Space::Head, b"x\0y");
            let parts = key.parts().expect("our own key");
            assert_eq!(
                (parts.account.as_str(), parts.partition.as_str(), parts.space, parts.rest),
                (account, partition, Space::Head, &b"x\0y"[..])
            );
            assert_eq!(key.space(), Some(Space::Head));
            assert_eq!(key.rest(), Some(&b"x\0y"[..]));
        }
    }

    /// Stored keys carry these bytes, so they may never change.
    #[test]
    fn partitions_are_scattered_as_they_always_were() {
        let front = |key: &Key| <[u8; 4]>::try_from(&key.as_bytes()[..4]).expect("four bytes");
        let account = "AC00000000000000000000000000000001";
        let one = "CH0123456789abcdef0123456789abcdef";
        let head = Key::new(account, one, Space::Head, b"");
        assert_eq!(front(&head), [130, 29, 59, 238]);
        assert_eq!(front(&head), front(&Key::new(account, one, Space::Message, b"1")));
        assert_eq!(front(&Key::new(account, "", Space::Service, b"x")), [0; 4]);
        let id = |id: &[u8]| front(&Key::new(account, "", Space::ProviderId, id));
        assert_ne!(id(b"1"), id(b"2"));
        for n in 0..10_000 {
            let first = front(&Key::new(account, &format!("CH{n}"), Space::Head, b""))[0];
            assert!((1..0xFE).contains(&first));
        }
    }

    #[test]
    fn accounts_are_walked_by_their_own_rows() {
        let own = Key::new("AC2", "", Space::Service, b"x");
        let all = Range::accounts();
        assert!(all.contains(own.as_bytes()));
        assert!(!all.contains(Key::new("AC2", "CH1", Space::Head, b"").as_bytes()));
        let behind = Range::accounts_behind("AC1");
        assert!(behind.contains(own.as_bytes()));
        assert!(!behind.contains(Key::new("AC1", "", Space::Binding, b"x").as_bytes()));
    }

    #[test]
    fn what_is_shown_names_nobody() {
        let key = Key::new("AC1", "CH1", Space::Person, b"+15550123");
        assert_eq!(format!("{key:?}"), "AC1/CH1/Person/9 bytes");
        let broken = Key::from_bytes(Bytes::from_static(b"+15550123"));
        assert_eq!(format!("{broken:?}"), "?/9 bytes");
    }

    #[test]
    fn a_prefix_holds_its_keys_only() {
        let prefix = Key::new("A", "B", Space::Message, b"");
        let range = Range::prefix(&prefix);
        assert!(range.contains(Key::new("A", "B", Space::Message, &[0xFF; 4]).as_bytes()));
        assert!(!range.contains(Key::new("A", "B", Space::MessageIndex, b"").as_bytes()));
        assert!(!range.contains(Key::new("A", "C", Space::Message, b"").as_bytes()));
    }

    #[test]
    fn a_name_too_long_is_cut_between_letters() {
        let key = Key::new(&"é".repeat(200), &"x".repeat(249), Space::Head, b"");
        assert_eq!(key.parts().map(|parts| parts.account), Some("é".repeat(125)));
        let odd = Key::new(&format!("x{}", "é".repeat(200)), "", Space::Head, b"");
        assert_eq!(odd.parts().map(|parts| parts.account.len()), Some(249));
    }

    #[test]
    fn truncated_keys_are_no_panic() {
        let key = Key::new("AC00000000000000000000000000000001", "p", Space::Head, b"");
        for end in 0..key.as_bytes().len() {
            let cut = Key::from_bytes(Bytes::copy_from_slice(&key.as_bytes()[..end]));
            assert!(cut.parts().is_none());
            assert!(cut.space().is_none());
        }
    }
}
