//! Files and the messages that carry them, on a relay over the memory engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::RelayError;
use super::command::NewMessage;
use super::kit::House;
use super::media::NewMedia;
use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::model::{
    ContentHash, ConversationSid, MediaCategory, MediaRecord, MediaSid, MessageRecord, ServiceSid,
};

fn file(content: u8) -> NewMedia {
    NewMedia {
        content: ContentHash::new([content; 32]),
        size: 5,
        content_type: "image/png".to_owned(),
        filename: Some("cat.png".to_owned()),
        category: MediaCategory::Media,
        author: "system".to_owned(),
    }
}

async fn kept(house: &House, content: u8) -> MediaRecord {
    house.relay.keep_media(&house.account, &house.service, file(content)).await.unwrap()
}

async fn carry(
    house: &House,
    conversation: &ConversationSid,
    media: &[&MediaSid],
) -> Result<MessageRecord, RelayError> {
    let new = NewMessage {
        author: "system".to_owned(),
        template: None,
        media: media.iter().map(|sid| (*sid).clone()).collect(),
        body: None,
        subject: None,
        attributes: None,
        created: None,
        updated: None,
    };
    let (account, service, cause) = (&house.account, &house.service, Cause::api(false));
    let posted = house.relay.post_message(account, service, conversation.as_str(), new, cause).await;
    posted.map(|(_, view)| view.record)
}

async fn left(house: &House) -> usize {
    let mut left = 0;
    for space in [Space::Media, Space::MediaOfService, Space::MediaContent] {
        left += house.rows(Some(space)).await.len();
    }
    left
}

#[tokio::test]
async fn a_message_carries_files_that_no_other_carries() {
    let house = House::new().await;
    let (one, two, talk) = (kept(&house, 1).await, kept(&house, 2).await, house.talk(1, &[1]).await);
    let message = carry(&house, &talk, &[&two.sid, &one.sid]).await.unwrap();
    assert_eq!(message.media, [two.named(), one.named()]);
    // As it is read back, too; and whoever cannot be shown the files is told of them.
    let stored = &house.messages(&talk).await[0].1;
    assert_eq!(
        (&stored.media, stored.relayed_text().as_str()),
        (&message.media, "[image: cat.png]\n[image: cat.png]")
    );
    let record = house.relay.media(&house.account, &house.service, one.sid.as_str()).await.unwrap();
    assert_eq!((record.message, record.conversation), (Some(message.sid), Some(talk.clone())));
    assert!(matches!(carry(&house, &talk, &[&one.sid]).await, Err(RelayError::MediaTaken)));
    let fresh = kept(&house, 3).await;
    assert!(matches!(carry(&house, &talk, &[&fresh.sid, &two.sid]).await, Err(RelayError::MediaTaken)));
    // The refusal took nothing along.
    carry(&house, &talk, &[&fresh.sid]).await.unwrap();
}

#[tokio::test]
async fn files_of_other_services_are_not_there() {
    let house = House::new().await;
    let talk = house.conversation().await;
    let other = house.relay.create_service(&house.account, "other".to_owned()).await.unwrap().sid;
    let theirs = house.relay.keep_media(&house.account, &other, file(1)).await.unwrap();
    assert!(matches!(carry(&house, &talk, &[&theirs.sid]).await, Err(RelayError::MediaNotFound)));
    let asked = house.relay.media(&house.account, &house.service, theirs.sid.as_str()).await;
    assert!(matches!(asked, Err(RelayError::MediaNotFound)));
    let gone = house.relay.delete_media(&house.account, &house.service, theirs.sid.as_str()).await;
    assert!(matches!(gone, Err(RelayError::MediaNotFound)));
    let nobodys = ServiceSid::parse("IS00000000000000000000000000000009").unwrap();
    let kept = house.relay.keep_media(&house.account, &nobodys, file(1)).await;
    assert!(matches!(kept, Err(RelayError::ServiceNotFound)));
}

#[tokio::test]
async fn two_messages_at_once_do_not_share_a_file() {
    for _ in 0..20 {
        let house = House::new().await;
        let (one, here, there) =
            (kept(&house, 1).await, house.conversation().await, house.conversation().await);
        let (house, sids) = (&house, [&one.sid]);
        let carry = |talk| carry(house, talk, &sids);
        let (a, b) = futures_util::future::join(carry(&here), carry(&there)).await;
        assert_eq!([a.is_ok(), b.is_ok()].iter().filter(|ok| **ok).count(), 1);
        let refused = if a.is_err() { a } else { b };
        assert!(matches!(refused, Err(RelayError::MediaTaken)));
    }
}

#[tokio::test]
async fn contents_are_needed_as_long_as_anybody_names_them() {
    let house = House::new().await;
    let (one, two) = (kept(&house, 1).await, kept(&house, 1).await);
    let content = one.content;
    let talk = house.conversation().await;
    let message = carry(&house, &talk, &[&one.sid]).await.unwrap();
    house.relay.delete_media(&house.account, &house.service, two.sid.as_str()).await.unwrap();
    assert!(house.relay.content_needed(&content).await.unwrap());
    let (account, service, name) = (&house.account, &house.service, talk.as_str());
    house
        .relay
        .delete_message(account, service, name, message.sid.as_str(), Cause::api(false))
        .await
        .unwrap();
    assert!(!house.relay.content_needed(&content).await.unwrap());
    assert_eq!(left(&house).await, 0);
}

#[tokio::test]
async fn a_removed_conversation_and_a_removed_service_take_their_files_along() {
    let house = House::new().await;
    let (talk, account) = (house.conversation().await, house.account.clone());
    for content in 0..120 {
        let one = kept(&house, content).await;
        if content % 2 == 0 {
            carry(&house, &talk, &[&one.sid]).await.unwrap();
        }
    }
    house
        .relay
        .delete_conversation(&account, &house.service, talk.as_str(), Cause::api(false))
        .await
        .unwrap();
    house.clean().await;
    assert_eq!(left(&house).await, 3 * 60);
    let other = house.relay.create_service(&account, "other".to_owned()).await.unwrap().sid;
    for content in 0..120 {
        house.relay.keep_media(&account, &other, file(content)).await.unwrap();
    }
    house.relay.delete_service(&account, other.as_str()).await.unwrap();
    house.clean().await;
    assert_eq!(left(&house).await, 3 * 60);
}
