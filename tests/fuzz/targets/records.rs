//! Stored rows: whatever reads as a record is the same record when it is written and read again. The first byte chooses.

use std::fmt::Debug;

use bytes::Bytes;
use trunkline::ledger::key::{Key, Range, Space};
use trunkline::ledger::tables;
use trunkline::model::{
    AccountSettings, Binding, Compact, ConversationRecord, CredentialRecord, Dispatch, Head, Json, Leaving,
    MessageRecord, OptOutRow, ParkedStatus, ParticipantRecord, PersonRow, ProviderIdRow, PushBindingRecord,
    ReceiptRecord, RoleRecord, ServiceRecord, ServiceSettings, UserRecord,
};
use trunkline::work::Job;

use super::choice;

pub fn run(data: &[u8]) {
    let Some((which, rest)) = choice(data) else { return };
    match which {
        b'H' => compact::<Head>(rest),
        b'D' => compact::<Dispatch>(rest),
        b'I' => compact::<ProviderIdRow>(rest),
        b'M' => message(rest),
        b'J' => job(rest),
        b'K' => key(rest),
        b'c' => json::<ConversationRecord>(rest),
        b'b' => json::<Binding>(rest),
        b'p' => json::<ParticipantRecord>(rest),
        b'n' => json::<PersonRow>(rest),
        b'r' => compact::<ReceiptRecord>(rest),
        b's' => json::<ServiceRecord>(rest),
        b'a' => json::<AccountSettings>(rest),
        b'o' => json::<OptOutRow>(rest),
        b'k' => json::<ParkedStatus>(rest),
        b'R' => json::<RoleRecord>(rest),
        b'S' => json::<ServiceSettings>(rest),
        b'U' => json::<UserRecord>(rest),
        b'C' => json::<CredentialRecord>(rest),
        b'P' => json::<PushBindingRecord>(rest),
        b'L' => json::<Leaving>(rest),
        _ => {}
    }
}

fn compact<T: Compact + PartialEq + Debug>(data: &[u8]) {
    let Ok(record) = T::decode(data) else { return };
    assert_eq!(T::decode(&record.encode()).expect("our own row"), record);
}

fn json<T: Json + PartialEq + Debug>(data: &[u8]) {
    let Ok(record) = T::decode(data) else { return };
    assert_eq!(T::decode(&record.encode()).expect("our own row"), record);
}

fn message(data: &[u8]) {
    compact::<MessageRecord>(data);
    let Ok(record) = MessageRecord::decode(data) else { return };
    let text = record.relayed_text();
    if record.body.as_ref().is_some_and(|body| !body.is_empty()) {
        assert_eq!(Some(text), record.body);
    }
}

/// A job's payload is a record in turn.
fn job(data: &[u8]) {
    compact::<Job>(data);
    if let Ok(job) = Job::decode(data) {
        compact::<Dispatch>(&job.payload);
    }
}

/// However a key is looked at, it says the same, and a key made of its parts is found among its like.
fn key(data: &[u8]) {
    let key = Key::from_bytes(Bytes::copy_from_slice(data));
    let Some(parts) = key.parts() else { return };
    assert_eq!(key.space(), Some(parts.space));
    assert_eq!(key.rest(), Some(parts.rest));
    let shown = format!("{key:?}");
    assert!(shown.ends_with(&format!("/{} bytes", parts.rest.len())));
    if parts.account.len() > 250 || parts.partition.len() > 250 {
        return;
    }
    let made = Key::new(&parts.account, &parts.partition, parts.space, parts.rest);
    assert_eq!(made.parts().as_ref(), Some(&parts));
    // Nobody reads along the ids of providers: each lies where its own digest says.
    if parts.space == Space::ProviderId {
        return;
    }
    let prefix = Key::new(&parts.account, &parts.partition, parts.space, b"");
    assert!(Range::prefix(&prefix).contains(made.as_bytes()));
    assert!(!Range::after(&prefix, &made).contains(made.as_bytes()));
    if let Some(index) = tables::message_index(&made) {
        assert_eq!(tables::message(&parts.account, &parts.partition, index).rest(), made.rest());
    }
}
