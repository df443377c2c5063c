//! Whoever wants a say is asked before something happens: one at a time, with nothing held meanwhile. What is decided
//! afterwards is decided from scratch, so nobody is bound by what was true before the question.

use serde_json::{Map, Value};
use trunkline_adapter::{InboundMessage, Timestamp};

use super::command::{
    Change, ConversationChange, MessageChange, NewConversation, NewMessage, NewParticipant,
    ParticipantChange, UserChange, Who,
};
use super::error::Improper;
use super::intake::inbox::Writer;
use super::media::Attachment;
use super::{Relay, RelayError};
use crate::announce::{self, Cause, Pairs, Verdict};
use crate::model::{
    AccountSid, Conversation, ConversationSid, Event, MessageRecord, ParticipantRecord, PersonBinding, Seat,
    ServiceSid, State, UserRecord, message,
};

/// Characters of a name or an author.
const NAME: usize = 256;
/// Bytes of a body.
const BODY: usize = 32 * 1024;
/// Bytes of a message's attributes.
const ATTRIBUTES: usize = 4 * 1024;

/// Fields of a message that were replaced by whoever was asked, and the files that were got meanwhile.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Amended {
    pub body: Option<String>,
    pub author: Option<String>,
    pub attributes: Option<String>,
    pub media: Vec<Attachment>,
    /// When it was accepted, if that was not now.
    pub accepted: Option<Timestamp>,
    /// The keyword that it may be was heard when it was accepted.
    pub heard: bool,
    /// Who wrote it, as it was when it was accepted.
    pub writer: Option<Writer>,
}

/// Whose event it is.
#[derive(Clone, Copy)]
pub(super) struct Whose<'a> {
    pub account: &'a AccountSid,
    pub service: &'a ServiceSid,
    pub cause: Cause,
}

impl Relay {
    /// Asks, if somebody wants to be. Gives the fields that were answered.
    async fn ask(
        &self,
        whose: Whose<'_>,
        event: Event,
        render: impl FnOnce(&mut Pairs),
    ) -> Result<Map<String, Value>, RelayError> {
        let Whose { account, service, cause } = whose;
        if !cause.told {
            return Ok(Map::new());
        }
        let (Some(settings), Some(asker)) = (self.hooks.pre(account, service, event), self.asker.get())
        else {
            return Ok(Map::new());
        };
        let mut pairs = announce::common(event, account, service, cause.source);
        render(&mut pairs);
        let verdict = asker.ask(account, &settings, pairs).await;
        failpoint!("hook::asked");
        match verdict {
            Verdict::Proceed(fields) => Ok(fields),
            Verdict::Refuse => Err(RelayError::Vetoed),
        }
    }

    pub(super) async fn ask_conversation_add(
        &self,
        whose: Whose<'_>,
        new: &mut NewConversation,
        first: Option<&InboundMessage>,
    ) -> Result<(), RelayError> {
        let fields = self
            .ask(whose, Event::ConversationAdd, |pairs| {
                pairs.maybe("MessagingServiceSid", new.messaging_service_sid.as_deref());
                pairs.maybe("FriendlyName", new.friendly_name.as_deref());
                pairs.maybe("UniqueName", new.unique_name.as_deref());
                pairs.put("Attributes", new.attributes.as_deref().unwrap_or("{}"));
                let state = if new.inactive { State::Inactive } else { State::Active };
                pairs.put("State", state.name());
                // What a conversation makes itself of.
                if let Some(first) = first {
                    pairs.maybe("MessageBody", message::body(&first.parts).as_deref());
                    pairs.maybe("Media", announce::media(&first.parts, &[]).as_deref());
                    let (address, proxy) = (first.from.address.clone(), first.to.clone());
                    let (aliases, rest) = (Vec::new(), Map::new());
                    announce::binding(pairs, &PersonBinding { address, proxy, aliases, rest });
                }
            })
            .await?;
        if let Some(name) = friendly_name(&fields)? {
            new.friendly_name = Some(name);
        }
        Ok(())
    }

    /// Asked with what the conversation would be.
    pub(super) async fn ask_conversation_update(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
        change: &mut ConversationChange,
    ) -> Result<(), RelayError> {
        let mut next = current.clone();
        let record = std::sync::Arc::make_mut(&mut next.record);
        record.friendly_name = change.friendly_name.clone().apply(record.friendly_name.take());
        record.unique_name = change.unique_name.clone().apply(record.unique_name.take());
        if let Some(attributes) = &change.attributes {
            record.attributes.clone_from(attributes);
        }
        let state = change.state.unwrap_or(current.head.state);
        let render = |pairs: &mut Pairs| announce::conversation(pairs, &next, state);
        let fields = self.ask(whose, Event::ConversationUpdate, render).await?;
        if let Some(name) = friendly_name(&fields)? {
            change.friendly_name = Change::Set(name);
        }
        Ok(())
    }

    pub(super) async fn ask_conversation_remove(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
    ) -> Result<(), RelayError> {
        let render = |pairs: &mut Pairs| announce::conversation(pairs, current, current.head.state);
        self.ask(whose, Event::ConversationRemove, render).await?;
        Ok(())
    }

    pub(super) async fn ask_participant_add(
        &self,
        whose: Whose<'_>,
        conversation: &ConversationSid,
        new: &NewParticipant,
    ) -> Result<(), RelayError> {
        self.ask(whose, Event::ParticipantAdd, |pairs| {
            pairs.put("ConversationSid", conversation.as_str());
            match &new.who {
                Who::Identity(identity) => {
                    pairs.put("Identity", identity.as_str());
                }
                Who::Bound { address, proxy } => {
                    let rest = Map::new();
                    let (address, proxy) = (address.clone(), proxy.clone());
                    let binding = PersonBinding { address, proxy, aliases: Vec::new(), rest };
                    announce::binding(pairs, &binding);
                }
                Who::Outside(address) => announce::seat(pairs, &Seat::Address(address.clone())),
                Who::Projected { address, identity } => {
                    pairs.maybe("Identity", identity.as_deref());
                    announce::seat(pairs, &Seat::Projected(address.clone()));
                }
            }
            pairs.maybe("RoleSid", new.role_sid.as_deref());
            pairs.put("Attributes", new.attributes.as_deref().unwrap_or("{}"));
        })
        .await?;
        Ok(())
    }

    pub(super) async fn ask_participant_update(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
        name: &str,
        change: &ParticipantChange,
    ) -> Result<(), RelayError> {
        let Some(member) = current.member_by_name(name) else { return Ok(()) };
        let mut record = member.record.clone();
        record.role_sid = change.role_sid.clone().apply(record.role_sid);
        record.attributes = change.attributes.clone().unwrap_or(record.attributes);
        self.ask_participant(whose, Event::ParticipantUpdate, current, &record).await
    }

    pub(super) async fn ask_participant_remove(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
        name: &str,
    ) -> Result<(), RelayError> {
        let Some(member) = current.member_by_name(name) else { return Ok(()) };
        self.ask_participant(whose, Event::ParticipantRemove, current, &member.record).await
    }

    async fn ask_participant(
        &self,
        whose: Whose<'_>,
        event: Event,
        current: &Conversation,
        record: &ParticipantRecord,
    ) -> Result<(), RelayError> {
        self.ask(whose, event, |pairs| {
            pairs.put("ConversationSid", current.sid().as_str()).put("ParticipantSid", record.sid.as_str());
            announce::participant(pairs, record);
            pairs.put("DateCreated", announce::instant(record.created));
            pairs.put("DateUpdated", announce::instant(record.updated));
        })
        .await?;
        Ok(())
    }

    pub(super) async fn ask_message_add(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
        new: &mut NewMessage,
    ) -> Result<(), RelayError> {
        // Files that cannot be had are refused with or without a webhook; nobody is asked about them.
        let media = self.attachments(whose.account, whose.service, &new.media).await?;
        let author = current.author(&new.author).map(|member| member.record.sid.as_str());
        let (body, attributes) = (new.body.as_deref(), new.attributes.as_deref());
        let media = super::media::told(&media);
        let said = Said { body, author: &new.author, participant: author, attributes, media };
        let amended = self.ask_message(whose, current, &said).await?;
        new.body = amended.body.or(new.body.take());
        new.attributes = amended.attributes.or(new.attributes.take());
        if let Some(author) = amended.author {
            new.author = author;
        }
        Ok(())
    }

    /// Asks about a message that is about to join, whoever brought it.
    pub(super) async fn ask_message(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
        said: &Said<'_>,
    ) -> Result<Amended, RelayError> {
        let fields = self
            .ask(whose, Event::MessageAdd, |pairs| {
                pairs.put("ConversationSid", current.sid().as_str());
                pairs.maybe("MessagingServiceSid", current.record.messaging_service_sid.as_deref());
                pairs.maybe("Body", said.body).put("Author", said.author);
                pairs.maybe("ParticipantSid", said.participant);
                pairs.put("Attributes", said.attributes.unwrap_or("{}"));
                pairs.maybe("Media", said.media.as_deref());
            })
            .await?;
        amended(&fields)
    }

    /// Asked with what the message would be.
    pub(super) async fn ask_message_update(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
        (index, record): (u64, &MessageRecord),
        change: &mut MessageChange,
    ) -> Result<(), RelayError> {
        let mut next = record.clone();
        next.author = change.author.clone().unwrap_or(next.author);
        next.body = change.body.clone().apply(next.body);
        next.attributes = change.attributes.clone().unwrap_or(next.attributes);
        let fields = self.ask_about_message(whose, Event::MessageUpdate, current, index, &next).await?;
        let Amended { body, author, attributes, .. } = amended(&fields)?;
        change.author = author.or(change.author.take());
        change.attributes = attributes.or(change.attributes.take());
        if let Some(body) = body {
            change.body = Change::Set(body);
        }
        Ok(())
    }

    pub(super) async fn ask_message_remove(
        &self,
        whose: Whose<'_>,
        current: &Conversation,
        (index, record): (u64, &MessageRecord),
    ) -> Result<(), RelayError> {
        self.ask_about_message(whose, Event::MessageRemove, current, index, record).await?;
        Ok(())
    }

    async fn ask_about_message(
        &self,
        whose: Whose<'_>,
        event: Event,
        current: &Conversation,
        index: u64,
        record: &MessageRecord,
    ) -> Result<Map<String, Value>, RelayError> {
        self.ask(whose, event, |pairs| {
            pairs.put("ConversationSid", current.sid().as_str());
            announce::message(pairs, index, record);
            pairs.put("DateUpdated", announce::instant(record.updated));
        })
        .await
    }

    pub(super) async fn ask_user_update(
        &self,
        whose: Whose<'_>,
        user: &UserRecord,
        change: &UserChange,
    ) -> Result<(), RelayError> {
        let mut next = user.clone();
        next.friendly_name = change.friendly_name.clone().apply(next.friendly_name);
        next.attributes = change.attributes.clone().unwrap_or(next.attributes);
        self.ask(whose, Event::UserUpdate, |pairs| {
            announce::user(pairs, &next);
            pairs.put("DateUpdated", announce::instant(next.updated));
        })
        .await?;
        Ok(())
    }

    /// Whether somebody wants to be asked about this, so that what the question needs is worth reading.
    pub(super) fn asks(&self, whose: Whose<'_>, event: Event) -> bool {
        whose.cause.told && self.hooks.pre(whose.account, whose.service, event).is_some()
    }
}

/// A message that is about to join.
pub(super) struct Said<'a> {
    pub body: Option<&'a str>,
    pub author: &'a str,
    pub participant: Option<&'a str>,
    pub attributes: Option<&'a str>,
    /// Its files, as JSON text.
    pub media: Option<String>,
}

fn friendly_name(fields: &Map<String, Value>) -> Result<Option<String>, RelayError> {
    text(fields, "friendly_name", Improper::FriendlyName, |text| text.chars().count() <= NAME)
}

fn amended(fields: &Map<String, Value>) -> Result<Amended, RelayError> {
    let json = |text: &str| serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok();
    let attributes = text(fields, "attributes", Improper::AttributesLong, |text| text.len() <= ATTRIBUTES)?;
    if attributes.as_deref().is_some_and(|text| !json(text)) {
        return Err(RelayError::Improper(Improper::Attributes));
    }
    Ok(Amended {
        body: text(fields, "body", Improper::Body, |text| text.len() <= BODY)?,
        author: text(fields, "author", Improper::Author, |text| text.chars().count() <= NAME)?,
        attributes,
        ..Amended::default()
    })
}

/// A field that was answered. What is no text is as good as not there.
fn text(
    fields: &Map<String, Value>,
    name: &str,
    otherwise: Improper,
    fits: impl Fn(&str) -> bool,
) -> Result<Option<String>, RelayError> {
    match fields.get(name).and_then(Value::as_str) {
        Some(text) if !fits(text) => Err(RelayError::Improper(otherwise)),
        text => Ok(text.map(str::to_owned)),
    }
}
