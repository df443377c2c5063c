//! From a queue row to a request: what is read, and when nothing is to be sent after all.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use trunkline_adapter::{
    Adapter, Address, BoxFuture, Capabilities, Cause, Content, MediaFile, Outbound, Outcome, Template,
    Templates,
};

use super::pieces::{Piece, pieces};
use super::plan::{LanePlan, Ready, Surroundings};
use crate::ledger::engine::Revision;
use crate::ledger::{LedgerError, tables, typed};
use crate::model::{
    Attempt, Compact, ConversationSid, Correlation, Dispatch, Head, Letter, MessageMedia, MessageRecord,
    ParticipantRecord, ParticipantSid, ReceiptRecord, State, Templated, message,
};
use crate::work::Taken;

/// A request that takes longer is given up. Adapters have shorter time-outs of their own.
const LONGEST_SEND: Duration = Duration::from_secs(120);

/// One with a file, which has to be handed over first.
const LONGEST_UPLOAD: Duration = Duration::from_secs(300);

/// Characters of a file's name that stand before a link to it.
const LONGEST_NAME: usize = 200;

/// The message has no text for this channel.
const NO_TEXT: u32 = 21602;
/// The queue row's recipient is not an address.
const BAD_ADDRESS: u32 = 21211;

/// What a queue row comes to.
pub(super) enum Prepared {
    Send(Box<Shipment>),
    /// A status already told that the provider took this part under this id: the daemon died, or lost the answer,
    /// before it wrote that down.
    Known {
        id: String,
        part: usize,
        parts: usize,
    },
    /// First this, then the row's turn comes again.
    Make(BoxFuture<'static, ()>),
    End(End),
}

/// How a row ends without a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// There is nothing left to tell anybody about.
    Drop,
    /// The receipt fails with this code.
    Fail(u32),
}

/// One request, ready to leave.
pub(super) struct Shipment {
    pub outbound: Outbound,
    /// Which part of how many.
    pub part: usize,
    pub parts: usize,
    pub idempotent: bool,
    pub correlated: bool,
    /// The opt-out set is asked.
    pub gated: bool,
    /// See [`super::outcome::Subjects::message`].
    pub message: Option<MessageRow>,
}

/// The numbers of a message's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MessageRow {
    pub changed: Revision,
    pub created: Revision,
}

/// Reads what a row names, as of now.
pub(super) async fn prepare(
    site: &Surroundings,
    plan: &LanePlan,
    taken: &Taken,
    dispatch: &Dispatch,
) -> Result<Prepared, LedgerError> {
    let Some(capabilities) = plan.adapter.capabilities(&plan.proxy) else {
        return Err(LedgerError::Read(crate::ledger::engine::ReadError::Damaged(
            "the adapter does not know its own proxy address".to_owned(),
        )));
    };
    let (mut row, mut template, mut files) = (None, None, None);
    let (text, to, aliases, sent, correlation) = match dispatch {
        Dispatch::Notice { text } => {
            let Ok(to) = Address::parse(&taken.subject) else {
                return Ok(Prepared::End(End::Fail(BAD_ADDRESS)));
            };
            (text.clone(), to, Vec::new(), 0, None)
        }
        Dispatch::Reply { text, sent } => {
            let Ok(to) = Address::parse(&taken.subject) else {
                return Ok(Prepared::End(End::Fail(BAD_ADDRESS)));
            };
            (text.clone(), to, Vec::new(), usize::try_from(*sent).unwrap_or(usize::MAX), None)
        }
        Dispatch::Message { conversation, index, participant, receipt, sent, .. } => {
            let correlation = Correlation {
                conversation: conversation.clone(),
                index: *index,
                participant: participant.clone(),
                receipt: receipt.clone(),
                part: u32::try_from(sent.len()).unwrap_or(u32::MAX),
                parts: 0,
            };
            let letter = match taken.letter.as_ref().filter(|letter| site.ledger.holds(letter.standing)) {
                Some(letter) => Arc::clone(letter),
                None => match written(site, capabilities, conversation, *index, participant).await? {
                    Ok(Written { letter, template: made, message }) => {
                        template = made;
                        files = message.filter(|_| template.is_none());
                        letter
                    }
                    Err(end) => return Ok(Prepared::End(end)),
                },
            };
            row = Some(MessageRow { changed: letter.message, created: letter.born });
            (
                letter.text.to_string(),
                letter.to.clone(),
                letter.aliases.clone(),
                sent.len(),
                Some(correlation),
            )
        }
    };
    if let Some(message) = files {
        let cut = match cut(capabilities, &message) {
            Ok(cut) => cut,
            Err(cause) => return Ok(Prepared::End(End::Fail(cause.code))),
        };
        let Some(piece) = cut.get(sent) else { return Ok(Prepared::End(End::Drop)) };
        let refused = taken.job.trace.iter().any(Attempt::file_refused);
        let content = match content(site, capabilities, piece, refused, &message).await? {
            Ok(content) => content,
            Err(instead) => return Ok(instead),
        };
        let leaving = Leaving { to, aliases, correlation, row, sent, parts: cut.len(), content };
        return ship(site, plan, capabilities, taken, dispatch, leaving).await;
    }
    if text.is_empty() {
        return Ok(Prepared::End(End::Fail(NO_TEXT)));
    }
    // A template is one part, however long: what it may say was agreed with the provider.
    let mut pieces = match capabilities.text.pieces(&text) {
        _ if template.is_some() => vec![text],
        Ok(pieces) => pieces,
        Err(cause) => return Ok(Prepared::End(End::Fail(cause.code))),
    };
    if pieces.is_empty() {
        // Nothing but spaces, and too many of them to be sent as they are.
        return Ok(Prepared::End(End::Fail(NO_TEXT)));
    }
    if sent >= pieces.len() {
        // The text was shortened after its first parts had left.
        return Ok(Prepared::End(End::Drop));
    }
    let parts = pieces.len();
    let content = match template {
        Some(template) => Content::Template(template),
        None => Content::Text { body: pieces.swap_remove(sent) },
    };
    let leaving = Leaving { to, aliases, correlation, row, sent, parts, content };
    ship(site, plan, capabilities, taken, dispatch, leaving).await
}

/// What leaves, and as which part of how many.
struct Leaving {
    to: Address,
    aliases: Vec<Address>,
    correlation: Option<Correlation>,
    row: Option<MessageRow>,
    sent: usize,
    parts: usize,
    content: Content,
}

/// Makes a shipment of it, unless it is known to have left already.
async fn ship(
    site: &Surroundings,
    plan: &LanePlan,
    capabilities: &Capabilities,
    taken: &Taken,
    dispatch: &Dispatch,
    leaving: Leaving,
) -> Result<Prepared, LedgerError> {
    let Leaving { to, aliases, correlation, row, sent, parts, content } = leaving;
    // Only a row that may have been sent before is worth the look.
    let again = taken.old || matches!(dispatch, Dispatch::Message { begun: true, .. });
    if again {
        let known = taken_already(site, dispatch, sent).await?;
        if let Some(id) = known {
            return Ok(Prepared::Known { id, part: sent, parts });
        }
    }
    Ok(Prepared::Send(Box::new(Shipment {
        gated: !matches!(dispatch, Dispatch::Notice { .. }),
        message: row.filter(|_| !again && sent == 0),
        outbound: Outbound {
            from: plan.proxy.clone(),
            to,
            aliases,
            content,
            correlation: correlation.map_or_else(
                || "notice".to_owned(),
                |correlation| {
                    let parts = u32::try_from(parts).unwrap_or(u32::MAX);
                    Correlation { parts, ..correlation }.encode()
                },
            ),
        },
        part: sent,
        parts,
        idempotent: capabilities.idempotent,
        correlated: capabilities.receipts.correlated,
    })))
}

/// A message's template for a provider that takes it as such; for others its text is sent.
fn as_taken(made: &Templated, capabilities: &Capabilities) -> Option<Template> {
    let takes = match capabilities.templates {
        Templates::Text => false,
        Templates::Named => made.named.is_some(),
        Templates::Sid => true,
    };
    let Templated { sid, variables, named, text } = made.clone();
    takes.then_some(Template { sid, variables, named, text })
}

/// A message with files, cut for a channel.
fn cut(capabilities: &Capabilities, message: &MessageRecord) -> Result<Vec<Piece>, Cause> {
    let body = message.body.clone().filter(|body| !body.is_empty());
    let text = body.or_else(|| message::describe(&message.parts()));
    pieces(capabilities, text.as_deref(), &message.media)
}

/// What a piece of it is for the adapter; or what to do instead of sending it now. `refused`: the provider did not take its
/// file, which is a link from here on.
async fn content(
    site: &Surroundings,
    capabilities: &Capabilities,
    piece: &Piece,
    refused: bool,
    message: &MessageRecord,
) -> Result<Result<Content, Prepared>, LedgerError> {
    let number = match piece {
        Piece::Text(body) => return Ok(Ok(Content::Text { body: body.clone() })),
        Piece::File { number, .. } | Piece::Link { number } => *number,
    };
    let lost = || Prepared::End(End::Fail(capabilities.media.map_or(0, |limits| limits.lost)));
    let Some(media) = message.media.get(number) else { return Ok(Err(lost())) };
    // Somebody may have removed the file and left the message.
    let key = tables::media(&site.account, media.sid.as_str());
    if site.ledger.snapshot().get(&key).await?.is_none() {
        return Ok(Err(lost()));
    }
    let Piece::File { caption, jpeg, .. } = piece else { return Ok(Ok(link(site, media, None))) };
    if refused {
        return Ok(Ok(link(site, media, caption.as_deref())));
    }
    Ok(match site.files.ready(media, *jpeg) {
        Ready::Now(file) => Ok(Content::Media(MediaFile { caption: caption.clone(), ..*file })),
        Ready::Never => Ok(link(site, media, caption.as_deref())),
        Ready::NotYet => Err(Prepared::Make(site.files.make(media, jpeg.unwrap_or(u64::MAX)))),
    })
}

/// A text that leads to a file which cannot go itself, with what was to be said beside it.
fn link(site: &Surroundings, media: &MessageMedia, caption: Option<&str>) -> Content {
    let name = media.filename.as_ref().map(|name| name.chars().take(LONGEST_NAME).collect());
    let lines = [caption.map(str::to_owned), name, Some(site.files.link(media))];
    Content::Text { body: lines.into_iter().flatten().collect::<Vec<_>>().join("\n") }
}

/// What a delivery comes to.
struct Written {
    letter: Arc<Letter>,
    /// For a provider that takes it as such.
    template: Option<Template>,
    /// The message, where it has files.
    message: Option<Box<MessageRecord>>,
}

/// What a delivery comes to as of now, read from the ledger; or how it ends, where there is nothing to send any more.
async fn written(
    site: &Surroundings,
    capabilities: &Capabilities,
    conversation: &ConversationSid,
    index: u64,
    participant: &ParticipantSid,
) -> Result<Result<Written, End>, LedgerError> {
    let (account, sid) = (site.account.as_str(), conversation.as_str());
    let head = tables::head(account, sid);
    let standing = site.ledger.standing(&head);
    let snapshot = site.ledger.snapshot();
    // A closed conversation still delivers what it took in; one being removed has no receipts to keep.
    match typed::compact::<Head>(&*snapshot, &head).await? {
        Some(head) if head.record.state != State::Deleted => {}
        _ => return Ok(Err(End::Drop)),
    }
    let Some(message) = typed::message(&*snapshot, account, sid, index).await? else {
        return Ok(Err(End::Drop));
    };
    let key = tables::participant(account, sid, participant.as_str());
    let person = typed::json::<ParticipantRecord>(&*snapshot, &key).await?;
    // Somebody who left before it was their turn gets nothing more; the receipt says so, with no code since no provider
    // was asked.
    let Some(person) = person.map(|person| person.record) else { return Ok(Err(End::Fail(0))) };
    let template = message.record.template.as_deref().and_then(|made| as_taken(made, capabilities));
    if let (Some(code), None) = (capabilities.shut, &template)
        && person.shut(site.clock.now())
    {
        return Ok(Err(End::Fail(code)));
    }
    let Some(binding) = person.binding else { return Ok(Err(End::Fail(0))) };
    let letter = Letter {
        text: message.record.relayed_text().into(),
        to: binding.address,
        aliases: binding.aliases,
        message: message.changed,
        born: message.created,
        standing,
    };
    let message = Some(message.record).filter(|message| !message.media.is_empty()).map(Box::new);
    Ok(Ok(Written { letter: Arc::new(letter), template, message }))
}

/// The provider's id of a part that its receipt knows to have been taken.
async fn taken_already(
    site: &Surroundings,
    dispatch: &Dispatch,
    part: usize,
) -> Result<Option<String>, LedgerError> {
    let Dispatch::Message { conversation, index, receipt, .. } = dispatch else { return Ok(None) };
    let key = tables::receipt(&site.account, conversation.as_str(), *index, receipt.as_str());
    let stored = match typed::compact::<ReceiptRecord>(&*site.ledger.snapshot(), &key).await {
        // A receipt that cannot be understood tells nothing, and will not later; the send's end logs it.
        Err(LedgerError::Decode(_)) => None,
        other => other?,
    };
    Ok(stored.and_then(|stored| {
        stored.record.parts.get(part).copied().flatten()?;
        stored.record.provider_ids.get(part).filter(|id| !id.is_empty()).cloned()
    }))
}

/// Reads a row's payload; one that cannot be read can never be sent.
pub(super) fn dispatch_of(taken: &Taken) -> Option<Dispatch> {
    Dispatch::decode(&taken.job.payload).ok()
}

/// Makes the request. Whatever happens in an adapter, there is an outcome.
pub(super) async fn send(adapter: &dyn Adapter, outbound: &Outbound) -> Outcome {
    let sending = AssertUnwindSafe(async { adapter.send(outbound).await }).catch_unwind();
    let longest = if matches!(outbound.content, Content::Media(_)) { LONGEST_UPLOAD } else { LONGEST_SEND };
    match tokio::time::timeout(longest, sending).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Outcome::Unknown { cause: Cause::new("the adapter panicked") },
        Err(_) => Outcome::Unknown { cause: Cause::new("no answer in time") },
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::super::house_test::House;
    use super::*;
    use crate::ledger::engine::Batch;
    use crate::model::Standing;
    use crate::work::{Job, Queue, row_key};

    async fn text(house: &House, taken: &Taken) -> String {
        let dispatch = dispatch_of(taken).unwrap();
        let prepared = prepare(&house.around, &house.plan, taken, &dispatch).await.unwrap();
        let Prepared::Send(shipment) = prepared else { panic!("it is to be sent") };
        let Content::Text { body } = shipment.outbound.content else { panic!("it is text") };
        body
    }

    #[tokio::test]
    async fn a_letter_is_believed_until_something_of_its_conversation_is_altered() {
        let mut house = House::new(|_, _| unreachable!()).await;
        let (index, _) = house.post("+15550100", "as it lies in the ledger").await;
        let (account, talk) = (house.around.account.clone(), house.conversation.as_str().to_owned());
        let key = row_key(&account, Queue::Outbound, house.plan.proxy.as_str(), "+15550100", index);
        let row = house.around.ledger.snapshot().get(&key).await.unwrap().unwrap();
        let message = tables::message(&account, &talk, index);
        let standing = house.around.ledger.standing(&message);
        let letter = |standing| {
            let to = Address::parse("+15550100").unwrap();
            Some(Arc::new(Letter {
                text: "as told".into(),
                to,
                aliases: vec![],
                message: 1,
                born: 1,
                standing,
            }))
        };
        let job = Job::decode(&row.payload).unwrap();
        let taken = Taken { subject: "+15550100".into(), key, job, old: false, letter: letter(standing) };
        assert_eq!(text(&house, &taken).await, "as told");
        let mut edit = Batch::default();
        let row = house.around.ledger.snapshot().get(&message).await.unwrap().unwrap();
        edit.put(message, row.payload);
        house.around.ledger.commit(edit).await.unwrap();
        assert_eq!(text(&house, &taken).await, "as it lies in the ledger");
        let stale = Standing { altered: standing.altered.wrapping_sub(1), ..standing };
        let taken = Taken { letter: letter(stale), ..taken };
        assert_eq!(text(&house, &taken).await, "as it lies in the ledger");
    }
}
