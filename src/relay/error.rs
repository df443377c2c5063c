//! Why the relay says no. Each variant is somebody's to act on; `http` gives it its code.

use crate::ledger::LedgerError;
use crate::ledger::engine::CommitError;
use crate::model::ConversationSid;

/// What a role was to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RoleUse {
    /// As the role of a conversation's creator.
    Creator,
    /// As a participant's.
    Conversation,
    /// As a user's.
    Service,
}

/// What a pre-action webhook wanted and cannot have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Improper {
    FriendlyName,
    Body,
    Author,
    Attributes,
    AttributesLong,
}

/// Why somebody cannot be reached as they were to be, or be in the group text they were to be in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misfit {
    ProxyMissing,
    ChannelsDiffer,
    AddressIsProxy,
    ProxyNotThere,
    ProxyWithoutAddress,
    ProjectedNotOurs,
    ProjectedNotThere,
    ProjectedAndBinding,
    IdentityFixed,
    /// No proxy address that it would take can carry group texts.
    NoGroupTexts,
    /// Nothing on this channel can.
    ChannelWithoutGroups,
    /// Neither an address nor a projected one, in a group text.
    NoPlace,
    /// Too few in a group text, or nobody outside, or none of ours.
    Incomplete,
    GroupFull,
    /// In the group text already.
    Present,
    /// The same addresses are a group text in this open conversation.
    SetTaken(ConversationSid),
    /// Whoever writes into a group text must be in it.
    AuthorOutside,
}

impl From<Misfit> for RelayError {
    fn from(misfit: Misfit) -> RelayError {
        RelayError::Misfit(misfit)
    }
}

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
    /// Two of those who were to come with a new conversation.
    #[error("two of the participants have the same messaging binding")]
    PairTwice,
    #[error("too many participants are to come with a new conversation")]
    TooManyAtOnce,
    #[error("the identity is in the conversation already")]
    IdentityTaken,
    #[error("the address is one of our own proxy addresses")]
    AddressIsOurs,
    #[error("the proxy address is not configured here")]
    ProxyNotOurs,
    #[error("the messaging binding does not fit")]
    Misfit(Misfit),
    #[error("the conversation is full")]
    TooManyParticipants,
    #[error("the conversation has too many outside participants")]
    TooManyBound,
    #[error("the default service cannot be removed")]
    DefaultService,
    #[error("there is no such role")]
    RoleNotFound,
    /// A request names a role that is not there, or is of the other kind.
    #[error("there is no such role to use")]
    NoSuchRole(RoleUse),
    #[error("the permission is unknown, or not for this kind of role")]
    PermissionUnknown,
    #[error("a default role of a service cannot be removed")]
    DefaultRole,
    #[error("there is no such user")]
    UserNotFound,
    #[error("the identity is a user already")]
    UserTaken,
    #[error("the identity is in too many conversations")]
    TooManyConversations,
    #[error("there is no such credential")]
    CredentialNotFound,
    #[error("there is no such messaging service")]
    MessagingServiceNotFound,
    #[error("there is no such address configuration")]
    AddressNotFound,
    #[error("the address has a configuration already")]
    AddressConfigured,
    #[error("there is no such push binding")]
    PushBindingNotFound,
    /// Of somebody at a client, about a conversation they are not in.
    #[error("the caller is no participant of the conversation")]
    NotParticipant,
    /// Of somebody at a client.
    #[error("the caller's roles do not permit it")]
    NotPermitted,
    /// Whoever was asked before will not have it.
    #[error("a pre-action webhook refused it")]
    Vetoed,
    /// What was answered to a question cannot be done.
    #[error("a pre-action webhook answered with something that cannot be")]
    Improper(Improper),
    #[error("there is no such webhook in the conversation")]
    WebhookNotFound,
    #[error("the conversation has as many webhooks as it may have")]
    TooManyWebhooks,
    #[error("there is no such media")]
    MediaNotFound,
    #[error("the text beside media cannot be changed")]
    MediaBodyFixed,
    #[error("another message carries the media")]
    MediaTaken,
    #[error("there is no such template")]
    TemplateNotFound,
    #[error("nothing is given for the template's blank {0}")]
    VariableMissing(String),
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
