//! Every permission there is, alone, against every action there is.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::announce::Cause;
use crate::model::role::{CHANNEL_ADMIN, CHANNEL_USER, PERMISSIONS, SERVICE_ADMIN, SERVICE_USER, Standard};
use crate::model::{RoleKind, RoleRecord};
use crate::relay::command::{Change, NewRole, ParticipantChange, Who};
use crate::relay::kit::House;

const ACTIONS: &[Action] = &[
    Action::CreateConversation,
    Action::DeleteConversation,
    Action::RenameConversation,
    Action::EditConversationAttributes,
    Action::Peek,
    Action::TakePart,
    Action::EditNotificationLevel,
    Action::Join,
    Action::AddParticipant,
    Action::AddNonChatParticipant,
    Action::RemoveParticipant { own: false },
    Action::RemoveParticipant { own: true },
    Action::EditParticipantAttributes { own: false },
    Action::EditParticipantAttributes { own: true },
    Action::SendMessage,
    Action::SendMediaMessage,
    Action::EditMessage { own: false },
    Action::EditMessage { own: true },
    Action::EditMessageAttributes { own: false },
    Action::EditMessageAttributes { own: true },
    Action::DeleteMessage { own: false },
    Action::DeleteMessage { own: true },
    Action::EditUser { own: false },
    Action::EditUser { own: true },
];

/// What each permission lets its holder do, and nothing else.
const TABLE: &[(&str, &[Action])] = &[
    ("addNonChatParticipant", &[Action::AddNonChatParticipant]),
    ("addParticipant", &[Action::Join, Action::AddParticipant]),
    ("createConversation", &[Action::CreateConversation]),
    ("deleteAnyMessage", &[Action::DeleteMessage { own: false }, Action::DeleteMessage { own: true }]),
    ("deleteConversation", &[Action::DeleteConversation]),
    ("deleteOwnMessage", &[Action::DeleteMessage { own: true }]),
    ("editAnyMessage", &[Action::EditMessage { own: false }, Action::EditMessage { own: true }]),
    (
        "editAnyMessageAttributes",
        &[Action::EditMessageAttributes { own: false }, Action::EditMessageAttributes { own: true }],
    ),
    (
        "editAnyParticipantAttributes",
        &[Action::EditParticipantAttributes { own: false }, Action::EditParticipantAttributes { own: true }],
    ),
    ("editAnyUserInfo", &[Action::EditUser { own: false }, Action::EditUser { own: true }]),
    ("editConversationAttributes", &[Action::EditConversationAttributes]),
    ("editConversationName", &[Action::RenameConversation]),
    ("editNotificationLevel", &[Action::EditNotificationLevel]),
    ("editOwnMessage", &[Action::EditMessage { own: true }]),
    ("editOwnMessageAttributes", &[Action::EditMessageAttributes { own: true }]),
    ("editOwnParticipantAttributes", &[Action::EditParticipantAttributes { own: true }]),
    ("editOwnUserInfo", &[Action::EditUser { own: true }]),
    ("joinConversation", &[Action::Peek, Action::Join]),
    ("leaveConversation", &[Action::RemoveParticipant { own: true }]),
    (
        "removeParticipant",
        &[Action::RemoveParticipant { own: false }, Action::RemoveParticipant { own: true }],
    ),
    ("sendMediaMessage", &[Action::SendMediaMessage]),
    ("sendMessage", &[Action::SendMessage]),
];

fn words(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn allowed(granted: &Granted) -> Vec<Action> {
    ACTIONS.iter().copied().filter(|action| granted.check(*action).is_ok()).collect()
}

#[test]
fn the_table_names_every_permission() {
    let named: Vec<&str> = TABLE.iter().map(|(name, _)| *name).collect();
    let all: Vec<&str> = PERMISSIONS.iter().map(|(name, _)| *name).collect();
    assert_eq!(named, all);
}

#[test]
fn in_a_service_role_a_permission_holds_in_every_conversation() {
    for (name, grants) in TABLE.iter().filter(|(name, _)| RoleKind::Service.permits(name)) {
        let mut granted = Granted { service: words(&[name]), conversation: None };
        assert_eq!(allowed(&granted), *grants, "{name} of somebody who is not in the conversation");
        granted.conversation = Some(Vec::new());
        let here = [Action::Peek, Action::TakePart];
        let expected: Vec<Action> = ACTIONS
            .iter()
            .copied()
            .filter(|action| grants.contains(action) || here.contains(action))
            .collect();
        assert_eq!(allowed(&granted), expected, "{name} of a participant");
    }
}

#[test]
fn in_a_conversation_role_a_permission_holds_there() {
    for (name, grants) in TABLE.iter().filter(|(name, _)| RoleKind::Conversation.permits(name)) {
        let granted = Granted { service: Vec::new(), conversation: Some(words(&[name])) };
        let here = [Action::Peek, Action::TakePart];
        let expected: Vec<Action> = ACTIONS
            .iter()
            .copied()
            .filter(|action| grants.contains(action) || here.contains(action))
            .collect();
        assert_eq!(allowed(&granted), expected, "{name}");
    }
}

#[test]
fn who_is_refused_learns_why() {
    let stranger = Granted::default();
    let participant = Granted { service: Vec::new(), conversation: Some(Vec::new()) };
    for action in ACTIONS.iter().copied() {
        let outside = [
            Action::CreateConversation,
            Action::Peek,
            Action::Join,
            Action::EditUser { own: false },
            Action::EditUser { own: true },
        ];
        let refused = stranger.check(action).expect_err("nothing is granted");
        match outside.contains(&action) {
            true => assert!(matches!(refused, RelayError::NotPermitted), "{action:?}"),
            false => assert!(matches!(refused, RelayError::NotParticipant), "{action:?}"),
        }
        match participant.check(action) {
            Ok(()) => assert!(matches!(action, Action::Peek | Action::TakePart), "{action:?}"),
            Err(refused) => assert!(matches!(refused, RelayError::NotPermitted), "{action:?}"),
        }
    }
}

#[test]
fn the_default_roles_are_of_use() {
    let of = |service: Standard, conversation: Option<Standard>| Granted {
        service: words(service.permissions),
        conversation: conversation.map(|role| words(role.permissions)),
    };
    let newcomer = of(SERVICE_USER, None);
    for action in [Action::CreateConversation, Action::Join, Action::Peek, Action::EditUser { own: true }] {
        assert!(newcomer.check(action).is_ok(), "{action:?}");
    }
    assert!(matches!(newcomer.check(Action::TakePart), Err(RelayError::NotParticipant)));
    assert!(matches!(newcomer.check(Action::SendMessage), Err(RelayError::NotParticipant)));
    let participant = of(SERVICE_USER, Some(CHANNEL_USER));
    for action in [
        Action::SendMessage,
        Action::SendMediaMessage,
        Action::EditMessage { own: true },
        Action::DeleteMessage { own: true },
        Action::RemoveParticipant { own: true },
        Action::EditNotificationLevel,
    ] {
        assert!(participant.check(action).is_ok(), "{action:?}");
    }
    for action in [
        Action::EditMessage { own: false },
        Action::DeleteMessage { own: false },
        Action::RemoveParticipant { own: false },
        Action::AddParticipant,
        Action::RenameConversation,
        Action::DeleteConversation,
    ] {
        assert!(matches!(participant.check(action), Err(RelayError::NotPermitted)), "{action:?}");
    }
    let creator = of(SERVICE_USER, Some(CHANNEL_ADMIN));
    assert!(creator.check(Action::AddParticipant).is_ok());
    assert!(creator.check(Action::DeleteMessage { own: true }).is_ok(), "any message is also one's own");
    let admin = of(SERVICE_ADMIN, None);
    assert!(admin.check(Action::DeleteMessage { own: false }).is_ok(), "without being there");
    assert!(matches!(admin.check(Action::SendMessage), Err(RelayError::NotParticipant)));
    for role in [&newcomer, &participant, &creator, &admin] {
        assert!(role.check(Action::AddNonChatParticipant).is_err(), "it costs money");
    }
}

#[tokio::test]
async fn what_is_granted_follows_the_roles_as_they_are_now() {
    let house = House::new().await;
    let (account, service, relay) = (&house.account, &house.service, &house.relay);
    let room = house.conversation().await;
    // Nobody's user yet: what a newcomer would have.
    let granted = relay.granted(account, service, "ana", Some(&*house.state(&room).await)).await.unwrap();
    assert_eq!(granted, Granted { service: words(SERVICE_USER.permissions), conversation: None });
    house.join(&room, Who::Identity("ana".to_owned())).await.unwrap();
    let granted = relay.granted(account, service, "ana", Some(&*house.state(&room).await)).await.unwrap();
    assert_eq!(granted.conversation, Some(words(CHANNEL_USER.permissions)));
    assert_eq!(relay.granted(account, service, "ana", None).await.unwrap().conversation, None);

    let mute = NewRole {
        friendly_name: "listener".to_owned(),
        kind: RoleKind::Conversation,
        permissions: words(&["leaveConversation"]),
    };
    let mute = relay.create_role(account, service, mute).await.unwrap();
    let change = ParticipantChange {
        role_sid: Change::Set(mute.sid.as_str().to_owned()),
        ..ParticipantChange::default()
    };
    let cause = Cause::api(false);
    relay.update_participant(account, service, room.as_str(), "ana", change, cause).await.unwrap();
    let here = house.state(&room).await;
    let granted = relay.granted(account, service, "ana", Some(&*here)).await.unwrap();
    assert_eq!(granted.conversation, Some(words(&["leaveConversation"])));
    // Changed, it binds at once; removed, it grants nothing more.
    let wider = |_: &RoleRecord| Some(words(&["sendMessage"]));
    relay.update_role(account, service, mute.sid.as_str(), wider).await.unwrap();
    let granted = relay.granted(account, service, "ana", Some(&*here)).await.unwrap();
    assert_eq!(granted.conversation, Some(words(&["sendMessage"])));
    relay.delete_role(account, service, mute.sid.as_str()).await.unwrap();
    let granted = relay.granted(account, service, "ana", Some(&*here)).await.unwrap();
    assert_eq!(granted.conversation, Some(Vec::new()));
}
