//! A stand-in with the relay's signatures, so that `http` compiles before the two meet. Replaced at the merge.

pub mod command;
mod error;

use std::sync::Arc;

use crate::model::{AccountSid, Conversation, ParticipantSid, ReceiptRecord, ServiceRecord, ServiceSid};
use command::{
    ConversationChange, ConversationFilter, MessageChange, MessageView, NewConversation, NewMessage,
    NewParticipant, ParticipantChange,
};

pub use error::RelayError;

pub struct Relay {}

macro_rules! unknown {
    ($($name:ident($($arg:ident: $ty:ty),*) -> $out:ty;)*) => {
        impl Relay {
            $(pub async fn $name(&self, $($arg: $ty),*) -> Result<$out, RelayError> {
                let _ = ($($arg,)*);
                Err(RelayError::ServiceNotFound)
            })*
        }
    };
}

type Posted = (Arc<Conversation>, MessageView);

unknown! {
    default_service(account: &AccountSid) -> ServiceRecord;
    service(account: &AccountSid, sid: &str) -> ServiceRecord;
    services(account: &AccountSid) -> Vec<ServiceRecord>;
    create_service(account: &AccountSid, friendly_name: String) -> ServiceRecord;
    delete_service(account: &AccountSid, sid: &str) -> ();
    create_conversation(account: &AccountSid, service: &ServiceSid, new: NewConversation) -> Arc<Conversation>;
    conversation(account: &AccountSid, service: &ServiceSid, name: &str) -> Arc<Conversation>;
    conversations(account: &AccountSid, service: &ServiceSid, filter: &ConversationFilter, before: Option<u64>, limit: usize) -> Vec<Arc<Conversation>>;
    update_conversation(account: &AccountSid, service: &ServiceSid, name: &str, change: ConversationChange) -> Arc<Conversation>;
    delete_conversation(account: &AccountSid, service: &ServiceSid, name: &str) -> ();
    add_participant(account: &AccountSid, service: &ServiceSid, name: &str, new: NewParticipant) -> (Arc<Conversation>, ParticipantSid);
    update_participant(account: &AccountSid, service: &ServiceSid, name: &str, participant: &str, change: ParticipantChange) -> (Arc<Conversation>, ParticipantSid);
    remove_participant(account: &AccountSid, service: &ServiceSid, name: &str, participant: &str) -> ();
    post_message(account: &AccountSid, service: &ServiceSid, name: &str, new: NewMessage) -> Posted;
    messages(account: &AccountSid, service: &ServiceSid, name: &str, descending: bool, beyond: Option<u64>, limit: usize) -> (Arc<Conversation>, Vec<MessageView>);
    message(account: &AccountSid, service: &ServiceSid, name: &str, message: &str) -> Posted;
    update_message(account: &AccountSid, service: &ServiceSid, name: &str, message: &str, change: MessageChange) -> Posted;
    delete_message(account: &AccountSid, service: &ServiceSid, name: &str, message: &str) -> ();
    receipts(account: &AccountSid, service: &ServiceSid, name: &str, message: &str) -> (Arc<Conversation>, MessageView, Vec<ReceiptRecord>);
}
