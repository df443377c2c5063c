//! Why the relay says no. Each variant is somebody's to act on; `http` gives it its code.

use crate::ledger::LedgerError;
use crate::ledger::engine::CommitError;
use crate::model::ConversationSid;

#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    #[error("there is no such service")]
    ServiceNotFound,
    #[error("there is no such conversation")]
    ConversationNotFound,
    #[error("there is no such participant")]
    ParticipantNotFound,
    #[error("there is no such message")]
    MessageNotFound,
    #[error("there is no such receipt")]
    ReceiptNotFound,
    #[error("the conversation is closed")]
    Closed,
    #[error("the unique name is taken")]
    UniqueNameTaken,
    /// The pair is bound in this open conversation.
    #[error("the messaging binding is taken")]
    BindingTaken(ConversationSid),
    #[error("the identity is in the conversation already")]
    IdentityTaken,
    #[error("the address is one of our own proxy addresses")]
    AddressIsOurs,
    #[error("the proxy address is not configured here")]
    ProxyNotOurs,
    #[error("the conversation is full")]
    TooManyParticipants,
    #[error("the conversation has too many outside participants")]
    TooManyBound,
    #[error("the default service cannot be removed")]
    DefaultService,
    /// Others changed the same thing faster, again and again.
    #[error("too many others are changing the same thing")]
    Contended,
    #[error("the disk is nearly full")]
    Full,
    #[error(transparent)]
    Ledger(LedgerError),
}

impl From<LedgerError> for RelayError {
    fn from(error: LedgerError) -> RelayError {
        match error {
            LedgerError::Commit(CommitError::Full) => RelayError::Full,
            other => RelayError::Ledger(other),
        }
    }
}

impl From<CommitError> for RelayError {
    fn from(error: CommitError) -> RelayError {
        LedgerError::from(error).into()
    }
}

impl From<crate::ledger::engine::ReadError> for RelayError {
    fn from(error: crate::ledger::engine::ReadError) -> RelayError {
        RelayError::Ledger(error.into())
    }
}
