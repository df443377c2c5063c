#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use trunkline_adapter::{MediaKind, MediaReference, Timestamp};

use super::*;
use crate::model::{ConversationSid, Delivery};
use crate::relay::kit::{House, ours, phone, said, text};

fn edit(id: &str, of: &str, from: u32, parts: Vec<Part>) -> Inbound {
    let (id, of) = (id.to_owned(), of.to_owned());
    Inbound::Edit { id, of, from: Person::new(phone(from)), to: ours(1), parts, at: None }
}

fn deletion(id: &str, of: &str, from: u32) -> Inbound {
    let (id, of) = (id.to_owned(), of.to_owned());
    Inbound::Deletion { id, of, from: Person::new(phone(from)), to: ours(1), at: None }
}

fn reaction_to(id: &str, of: &str, from: u32, emoji: Option<&str>) -> Inbound {
    let (id, of, emoji) = (id.to_owned(), of.to_owned(), emoji.map(str::to_owned));
    Inbound::Reaction { id, of, from: Person::new(phone(from)), to: ours(1), emoji, at: None }
}

fn echo(id: &str, to: u32, correlation: Option<String>, body: &str) -> Inbound {
    let to = Person::new(phone(to));
    Inbound::Echo(Echo {
        id: id.to_owned(),
        from: ours(1),
        to,
        correlation,
        parts: text(body),
        at: Some(Timestamp(5)),
    })
}

async fn house() -> (House, ConversationSid) {
    let house = House::new().await;
    let conversation = house.talk(1, &[1, 2, 3]).await;
    house.take(vec![said("1", 1, 1, "one"), said("2", 2, 1, "two")]).await;
    (house, conversation)
}

#[tokio::test]
async fn writers_edit_and_take_back_their_own_and_nothing_else() {
    let (house, conversation) = house().await;
    let queued = house.queued().await.len();
    house.take(vec![edit("e1", "1", 1, text("uno")), edit("e1", "1", 1, text("again"))]).await;
    assert_eq!(house.bodies(&conversation).await, ["uno", "two"]);
    let rows = house.rows(None).await;
    house
        .take(vec![
            edit("e1", "1", 1, text("repeat")),
            edit("e2", "2", 1, text("not yours")),
            deletion("d1", "2", 1),
            deletion("d2", "nothing", 1),
            edit("e3", "1", 9, text("a stranger")),
        ])
        .await;
    assert_eq!(house.rows(None).await, rows);
    house.take(vec![deletion("d3", "2", 2), deletion("d3", "2", 2)]).await;
    assert_eq!(house.bodies(&conversation).await, ["uno"]);
    assert_eq!(house.queued().await.len(), queued, "nothing is sent again");
    // The repeat of what was taken back stays away.
    house.take(vec![said("2", 2, 1, "two")]).await;
    assert_eq!(house.bodies(&conversation).await, ["uno"]);
    // Nobody takes back what left from our side.
    house.take(vec![echo("m1", 1, None, "from the inbox"), deletion("d4", "m1", 1)]).await;
    assert_eq!(house.bodies(&conversation).await, ["uno", "from the inbox"]);
}

#[tokio::test]
async fn an_edited_caption_keeps_its_picture() {
    let (house, conversation) = house().await;
    let picture = |caption: &str| {
        Part::Media(MediaReference {
            kind: MediaKind::Image,
            id: Some("m".to_owned()),
            url: None,
            content_type: None,
            filename: None,
            caption: Some(caption.to_owned()),
            sha256: None,
        })
    };
    let Inbound::Message(mut message) = said("p", 1, 1, "") else { panic!() };
    message.parts = vec![picture("before")];
    house.take(vec![Inbound::Message(message)]).await;
    house.take(vec![edit("e1", "p", 1, text("after"))]).await;
    let (_, record) = house.messages(&conversation).await.pop().unwrap();
    assert_eq!((record.body.as_deref(), record.parts()), (Some("after"), vec![picture("before")]));
    house.take(vec![edit("e2", "p", 1, vec![picture("at last")])]).await;
    let (_, record) = house.messages(&conversation).await.pop().unwrap();
    assert_eq!((record.body.as_deref(), record.parts()), (Some("at last"), vec![picture("at last")]));
}

#[tokio::test]
async fn a_reaction_is_relayed_once_as_a_line() {
    let (house, conversation) = house().await;
    let queued = house.queued().await.len();
    let like = || reaction_to("r1", "1", 2, Some("👍"));
    house
        .take(vec![
            like(),
            like(),
            reaction_to("r2", "1", 2, None),
            reaction_to("r3", "unknown", 2, Some("👍")),
        ])
        .await;
    house.take(vec![like()]).await;
    assert_eq!(house.bodies(&conversation).await, ["one", "two", "Reacted 👍 to “one”"]);
    let (_, record) = house.messages(&conversation).await.pop().unwrap();
    assert_eq!((record.reply_to, record.author.as_str()), (Some(0), phone(2).as_str()));
    assert_eq!(house.queued().await.len(), queued + 2);
}

#[tokio::test]
async fn a_strangers_echo_joins_and_goes_to_the_others() {
    let (house, conversation) = house().await;
    let queued = house.queued().await.len();
    house
        .take(vec![
            echo("m1", 1, None, "an agent"),
            echo("m1", 1, None, "an agent"),
            echo("m2", 9, None, "x"),
        ])
        .await;
    assert_eq!(house.bodies(&conversation).await, ["one", "two", "an agent"]);
    let (_, record) = house.messages(&conversation).await.pop().unwrap();
    let members = house.state(&conversation).await.members.clone();
    let recipients: Vec<_> = record.deliveries.iter().map(|delivery| delivery.participant.clone()).collect();
    assert_eq!(
        recipients,
        [members[1].record.sid.clone(), members[2].record.sid.clone()],
        "who has it gets no copy"
    );
    assert_eq!((record.author, record.participant), (ours(1).to_string(), None));
    assert_eq!(house.queued().await.len(), queued + 2);
}

#[tokio::test]
async fn our_own_echo_is_a_status_before_and_after_the_outcome() {
    let (house, conversation) = house().await;
    let (index, record) = house.post(&conversation, "ours").await;
    let Delivery { participant, receipt } = record.deliveries[0].clone();
    let correlation =
        Correlation { conversation: conversation.clone(), index, participant, receipt, part: 0, parts: 1 };
    house.take(vec![echo("m1", 1, Some(correlation.encode()), "ours")]).await;
    let name = conversation.as_str();
    let receipts =
        house.relay.receipts(&house.account, &house.service, name, record.sid.as_str()).await.unwrap().2;
    assert_eq!(receipts[0].status, Some(DeliveryStatus::Sent));
    assert_eq!(
        (receipts[0].taken_at, receipts[0].provider_ids.as_slice()),
        (Some(Timestamp(5)), &["m1".to_owned()][..])
    );
    let rows = house.rows(None).await;
    // The id is known by now: without the correlation it is still ours.
    house.take(vec![echo("m1", 1, None, "ours")]).await;
    assert_eq!(house.rows(None).await, rows);
    assert_eq!(house.bodies(&conversation).await, ["one", "two", "ours"]);
}

#[tokio::test]
async fn a_new_number_is_the_same_person() {
    let (house, conversation) = house().await;
    let (from, to) = (Person::new(phone(1)), ours(1));
    house.take(vec![Inbound::Identity { from, to, now: vec![phone(40), phone(2)] }]).await;
    house.take(vec![said("9", 40, 1, "new phone"), said("10", 2, 1, "still two")]).await;
    let authors: Vec<_> =
        house.messages(&conversation).await.into_iter().map(|(_, record)| record.author).collect();
    assert_eq!(authors[2..], [phone(1).to_string(), phone(2).to_string()]);
}
