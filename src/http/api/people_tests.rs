//! Walks through roles, users and memberships on a real relay over the in-memory engine.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use serde_json::{Value, json};

use super::walk::{House, house, path, text};

async fn refused(house: &House, method: &str, target: &str, form: &[(&str, &str)]) -> (u16, u64) {
    let (status, body) = house.ask(method, target, form).await;
    (status, body["code"].as_u64().unwrap_or_else(|| panic!("{method} {target}: {body}")))
}

async fn names(house: &House, target: &str, key: &str, field: &str) -> Vec<String> {
    let (mut target, mut all) = (target.to_owned(), Vec::new());
    loop {
        let page = house.ask("GET", &target, &[]).await.1;
        all.extend(page[key].as_array().unwrap().iter().map(|record| text(record, field).to_owned()));
        match page["meta"]["next_page_url"].as_str() {
            Some(next) => target = path(next).to_owned(),
            None => return all,
        }
    }
}

#[tokio::test]
async fn a_service_is_born_with_its_roles_and_keeps_its_defaults() {
    let house = house();
    let service = house.made("/v1/Services", &[("FriendlyName", "Shop")]).await;
    let root = path(text(&service, "url"));
    for root in ["/v1", root] {
        let roles = format!("{root}/Roles");
        let born = names(&house, &format!("{roles}?PageSize=3"), "roles", "friendly_name").await;
        assert_eq!(born, ["channel admin", "channel user", "service admin", "service user"]);
        let guest = [
            ("FriendlyName", "guest"),
            ("Type", "conversation"),
            ("Permission", "sendMessage"),
            ("Permission", "leaveConversation"),
        ];
        let guest = house.made(&roles, &guest).await;
        assert_eq!(guest["permissions"], json!(["sendMessage", "leaveConversation"]));
        let own = path(text(&guest, "url"));
        let replaced = house.ask("POST", own, &[("Permission", "editOwnMessage")]).await.1;
        assert_eq!(replaced["permissions"], json!(["editOwnMessage"]));
        assert_eq!(house.ask("GET", own, &[]).await, (200, replaced));
        assert_eq!(refused(&house, "POST", own, &[("Permission", "joinConversation")]).await, (400, 50104));
        assert_eq!(refused(&house, "POST", own, &[("FriendlyName", "x")]).await, (400, 20161));
        assert_eq!(house.ask("DELETE", own, &[]).await.0, 204);
        assert_eq!(refused(&house, "DELETE", own, &[]).await, (404, 20404));
    }

    let configuration = format!("{root}/Configuration");
    let before = house.ask("GET", &configuration, &[]).await.1;
    let default = text(&before, "default_conversation_role_sid");
    let default = format!("{root}/Roles/{default}");
    assert_eq!(refused(&house, "DELETE", &default, &[]).await, (409, 20409));
    let admin = text(&before, "default_conversation_creator_role_sid");
    for (name, sid, code) in [
        ("DefaultChatServiceRoleSid", admin, 50102),
        ("DefaultConversationRoleSid", "", 50109),
        ("DefaultConversationCreatorRoleSid", text(&before, "default_chat_service_role_sid"), 50106),
    ] {
        assert_eq!(refused(&house, "POST", &configuration, &[(name, sid)]).await, (404, code), "{name}");
    }
    let change = [("DefaultConversationRoleSid", admin), ("ReachabilityEnabled", "True")];
    let after = house.ask("POST", &configuration, &change).await.1;
    assert_eq!(
        (&after["default_conversation_role_sid"], &after["reachability_enabled"]),
        (&json!(admin), &json!(true))
    );
    assert_eq!(house.ask("GET", &configuration, &[]).await.1, after);
    assert_eq!(house.ask("DELETE", &default, &[]).await.0, 204, "it is no default any more");
    // Newcomers get the new default.
    let conversation = house.made(&format!("{root}/Conversations"), &[]).await;
    let participants = path(text(&conversation["links"], "participants"));
    assert_eq!(house.made(participants, &[("Identity", "ana")]).await["role_sid"], admin);
    let other = format!("{}/Roles/{admin}", "/v1");
    assert_eq!(refused(&house, "GET", &other, &[]).await, (404, 20404), "another service's");
    assert_eq!(
        refused(
            &house,
            "POST",
            participants,
            &[("Identity", "bo"), ("RoleSid", "RL00000000000000000000000000000001")]
        )
        .await,
        (404, 50109)
    );
}

#[tokio::test]
async fn users_by_sid_and_identity() {
    let house = house();
    let made = house.made("/v1/Users", &[("Identity", "alice@example.com"), ("FriendlyName", "Alice")]).await;
    let own = path(text(&made, "url"));
    assert_eq!(house.ask("GET", own, &[]).await, (200, made.clone()));
    assert_eq!(house.ask("GET", "/v1/Users/alice%40example.com", &[]).await.1, made);
    assert_eq!((&made["is_online"], &made["attributes"]), (&Value::Null, &json!("{}")));
    assert_eq!(
        refused(&house, "POST", "/v1/Users", &[("Identity", "alice@example.com")]).await,
        (409, 50201)
    );
    let changed = house
        .ask("POST", "/v1/Users/alice%40example.com", &[("FriendlyName", ""), ("Attributes", "{\"a\":1}")])
        .await
        .1;
    assert_eq!((&changed["friendly_name"], &changed["attributes"]), (&Value::Null, &json!("{\"a\":1}")));

    let service = house.made("/v1/Services", &[("FriendlyName", "Shop")]).await;
    let there = path(text(&service["links"], "users"));
    assert_eq!(refused(&house, "GET", &format!("{there}/alice%40example.com"), &[]).await, (404, 20404));
    let configuration = house.ask("GET", path(text(&service["links"], "configuration")), &[]).await.1;
    let role = text(&configuration, "default_chat_service_role_sid");
    assert_eq!(refused(&house, "POST", own, &[("RoleSid", role)]).await, (404, 50102), "of another service");
    for number in 0..7 {
        house.made(there, &[("Identity", &format!("u{number}")), ("RoleSid", role)]).await;
    }
    let all = names(&house, &format!("{there}?PageSize=3"), "users", "identity").await;
    assert_eq!(all, ["u0", "u1", "u2", "u3", "u4", "u5", "u6"]);
    assert_eq!(house.ask("DELETE", own, &[]).await.0, 204);
    assert_eq!(refused(&house, "GET", own, &[]).await, (404, 20404));
    let again = house.made("/v1/Users", &[("Identity", "alice@example.com")]).await;
    assert_ne!(again["sid"], made["sid"]);
}

#[tokio::test]
async fn a_user_is_born_with_the_first_participant_of_the_identity() {
    let house = house();
    let one = house.made("/v1/Conversations", &[("FriendlyName", "One")]).await;
    let two = house.made("/v1/Conversations", &[("UniqueName", "two")]).await;
    for conversation in [&one, &two] {
        house.made(path(text(&conversation["links"], "participants")), &[("Identity", "ana")]).await;
    }
    assert_eq!(names(&house, "/v1/Users", "users", "identity").await, ["ana"]);
    let user = house.ask("GET", "/v1/Users/ana", &[]).await.1;
    let list = path(text(&user["links"], "user_conversations"));
    let mut sids = vec![text(&one, "sid").to_owned(), text(&two, "sid").to_owned()];
    sids.sort();
    assert_eq!(names(&house, &format!("{list}?PageSize=1"), "conversations", "conversation_sid").await, sids);
    assert_eq!(refused(&house, "GET", "/v1/Users/nobody/Conversations", &[]).await, (404, 50200));

    let own = "/v1/Users/ana/Conversations/two";
    let shown = house.ask("GET", own, &[]).await.1;
    assert_eq!((&shown["user_sid"], &shown["unread_messages_count"]), (&user["sid"], &Value::Null));
    assert_eq!(house.ask("GET", path(text(&shown["links"], "participant")), &[]).await.1["identity"], "ana");
    let messages = path(text(&two["links"], "messages"));
    for _ in 0..5 {
        house.made(messages, &[("Body", "x")]).await;
    }
    let read =
        house.ask("POST", own, &[("LastReadMessageIndex", "1"), ("NotificationLevel", "muted")]).await.1;
    assert_eq!(
        (&read["last_read_message_index"], &read["unread_messages_count"], &read["notification_level"]),
        (&json!(1), &json!(3), &json!("muted"))
    );
    // What is removed is not unread, whether it lies behind the horizon or before.
    for index in [0, 3] {
        let page = house.ask("GET", messages, &[]).await.1;
        let found = page["messages"]
            .as_array()
            .unwrap()
            .iter()
            .find(|message| message["index"] == index)
            .unwrap()
            .clone();
        assert_eq!(house.ask("DELETE", path(text(&found, "url")), &[]).await.0, 204);
    }
    assert_eq!(house.ask("GET", own, &[]).await.1["unread_messages_count"], 2);
    let far = house.ask("POST", own, &[("LastReadMessageIndex", "90")]).await.1;
    assert_eq!(far["unread_messages_count"], 0);
    let none = house.ask("POST", own, &[("LastReadMessageIndex", "null")]).await.1;
    assert_eq!(none["unread_messages_count"], Value::Null);

    house.ask("POST", path(text(&two, "url")), &[("State", "closed")]).await;
    let closed = house.ask("POST", own, &[("NotificationLevel", "default")]).await;
    assert_eq!((closed.0, &closed.1["conversation_state"]), (200, &json!("closed")));
    assert_eq!(refused(&house, "DELETE", own, &[]).await, (409, 50377));
    let first = format!("{list}/{}", text(&one, "sid"));
    assert_eq!(house.ask("DELETE", &first, &[]).await.0, 204);
    assert_eq!(refused(&house, "GET", &first, &[]).await, (404, 20404));
    assert_eq!(names(&house, list, "conversations", "conversation_sid").await, [text(&two, "sid")]);
}

#[tokio::test]
async fn people_are_found_by_identity_and_by_address() {
    let house = house();
    let (mut of_ana, mut of_phone) = (Vec::new(), Vec::new());
    for number in 0..9 {
        let made = house.made("/v1/Conversations", &[]).await;
        let participants = path(text(&made["links"], "participants")).to_owned();
        house.made(&participants, &[("Identity", "ana")]).await;
        let pair =
            [("MessagingBinding.Address", "+15557654321"), ("MessagingBinding.ProxyAddress", "+15550001111")];
        house.made(&participants, &pair).await;
        of_ana.push(text(&made, "sid").to_owned());
        of_phone.push(text(&made, "sid").to_owned());
        if number == 4 {
            house.ask("DELETE", path(text(&made, "url")), &[]).await;
            of_ana.pop();
            of_phone.pop();
        } else {
            // The pair is free again; a closed conversation is still found.
            house.ask("POST", path(text(&made, "url")), &[("State", "closed")]).await;
        }
    }
    of_ana.sort();
    of_phone.sort();
    let sids = |query: &'static str| names(&house, query, "conversations", "conversation_sid");
    assert_eq!(sids("/v1/ParticipantConversations?Identity=ana&PageSize=2").await, of_ana);
    assert_eq!(sids("/v1/ParticipantConversations?Address=%2B15557654321&PageSize=3").await, of_phone);
    assert_eq!(
        sids("/v1/ParticipantConversations?Address=%2B15557654321&ProxyAddress=%2B15550001111").await,
        of_phone
    );
    let other = "/v1/ParticipantConversations?Address=%2B15557654321&ProxyAddress=whatsapp:%2B15550002222";
    assert!(sids(other).await.is_empty());
    assert!(sids("/v1/ParticipantConversations?Identity=an").await.is_empty(), "all of the name counts");
    let page =
        house.ask("GET", "/v1/ParticipantConversations?Address=%2B15557654321&PageSize=1", &[]).await.1;
    assert_eq!(
        page["conversations"][0]["participant_messaging_binding"],
        json!({
            "type": "sms", "address": "+15557654321", "proxy_address": "+15550001111",
            "projected_address": null, "level": null, "name": null,
        })
    );
    let user = house.ask("GET", "/v1/Users/ana", &[]).await.1;
    let page = house.ask("GET", "/v1/ParticipantConversations?Identity=ana", &[]).await.1;
    assert_eq!(page["conversations"][0]["participant_user_sid"], user["sid"]);
    let service = house.made("/v1/Services", &[("FriendlyName", "Shop")]).await;
    let there = format!("{}?Identity=ana", path(text(&service["links"], "participant_conversations")));
    assert_eq!(
        house.ask("GET", &there, &[]).await.1["conversations"],
        json!([]),
        "nothing of another service"
    );
}

#[tokio::test]
async fn what_an_account_sets_holds_for_what_comes_later() {
    let house = house();
    let service = house.made("/v1/Services", &[("FriendlyName", "Shop")]).await;
    let sid = text(&service, "sid");
    let mg = format!("MG{}", "a".repeat(32));
    let change = [
        ("DefaultChatServiceSid", sid),
        ("DefaultMessagingServiceSid", mg.as_str()),
        ("DefaultInactiveTimer", "PT2M"),
        ("DefaultClosedTimer", "P1D"),
    ];
    let before = house.ask("GET", "/v1/Configuration", &[]).await.1;
    let after = house.ask("POST", "/v1/Configuration", &change).await.1;
    assert_eq!(house.ask("GET", "/v1/Configuration", &[]).await.1, after);
    assert_eq!(
        [
            &after["default_chat_service_sid"],
            &after["default_inactive_timer"],
            &after["default_closed_timer"]
        ],
        [&json!(sid), &json!("PT2M"), &json!("P1D")]
    );
    let made = house.made("/v1/Conversations", &[]).await;
    assert_eq!((&made["chat_service_sid"], &made["messaging_service_sid"]), (&json!(sid), &json!(mg)));
    assert_eq!(refused(&house, "DELETE", path(text(&service, "url")), &[]).await, (409, 20409));
    let first = format!("/v1/Services/{}", text(&before, "default_chat_service_sid"));
    assert_eq!(house.ask("DELETE", &first, &[]).await.0, 204, "it is the default no longer");
    let gone = [("DefaultChatServiceSid", text(&before, "default_chat_service_sid"))];
    assert_eq!(refused(&house, "POST", "/v1/Configuration", &gone).await, (404, 50050));
    let cleared = [("DefaultMessagingServiceSid", ""), ("DefaultInactiveTimer", "PT0S")];
    let cleared = house.ask("POST", "/v1/Configuration", &cleared).await.1;
    assert_eq!(
        (&cleared["default_messaging_service_sid"], &cleared["default_inactive_timer"]),
        (&Value::Null, &Value::Null)
    );
}

#[tokio::test]
async fn pushes_and_their_credentials() {
    let house = house();
    let service = house.made("/v1/Services", &[("FriendlyName", "Shop")]).await;
    let own = format!("{}/Configuration/Notifications", path(text(&service, "url")));
    let before = house.ask("GET", &own, &[]).await.1;
    assert_eq!((&before["log_enabled"], &before["new_message"]["enabled"]), (&json!(false), &json!(false)));
    let change = [
        ("LogEnabled", "true"),
        ("NewMessage.Enabled", "true"),
        ("NewMessage.Template", "${PARTICIPANT}: ${MESSAGE}"),
        ("NewMessage.Sound", "ring"),
        ("NewMessage.BadgeCountEnabled", "true"),
        ("NewMessage.WithMedia.Enabled", "true"),
        ("NewMessage.WithMedia.Template", "${MEDIA}"),
        ("AddedToConversation.Enabled", "true"),
        ("AddedToConversation.Template", "hi"),
        ("AddedToConversation.Sound", "bell"),
        ("RemovedFromConversation.Enabled", "true"),
        ("RemovedFromConversation.Template", "bye"),
        ("RemovedFromConversation.Sound", "horn"),
    ];
    let after = house.ask("POST", &own, &change).await.1;
    assert_eq!(
        after["new_message"],
        json!({
            "enabled": true, "template": "${PARTICIPANT}: ${MESSAGE}", "sound": "ring", "badge_count_enabled": true,
            "with_media": { "enabled": true, "template": "${MEDIA}" },
        })
    );
    assert_eq!(
        after["removed_from_conversation"],
        json!({ "enabled": true, "template": "bye", "sound": "horn" })
    );
    let one = house.ask("POST", &own, &[("NewMessage.Sound", "")]).await.1;
    assert_eq!(
        (&one["new_message"]["sound"], &one["added_to_conversation"]),
        (&Value::Null, &after["added_to_conversation"])
    );
    assert_eq!(house.ask("GET", &own, &[]).await.1, one);
    assert_eq!(refused(&house, "POST", &own, &[("LogEnabled", "maybe")]).await, (400, 20001));

    let secret = [
        ("Type", "APN"),
        ("Certificate", "hush1"),
        ("PrivateKey", "hush2"),
        ("ApiKey", "hush3"),
        ("Secret", "hush4"),
        ("Sandbox", "true"),
    ];
    let made = house.made("/v1/Credentials", &secret).await;
    assert_eq!((&made["type"], &made["sandbox"]), (&json!("apn"), &json!("True")));
    let credential = path(text(&made, "url"));
    let changed = house
        .ask("POST", credential, &[("Type", "fcm"), ("FriendlyName", "Phones"), ("Sandbox", "false")])
        .await
        .1;
    assert_eq!(
        (&changed["type"], &changed["friendly_name"], &changed["sandbox"]),
        (&json!("fcm"), &json!("Phones"), &json!("False"))
    );
    let list = house.ask("GET", "/v1/Credentials", &[]).await.1;
    assert_eq!(list["credentials"], json!([changed]));
    assert!([&made, &changed, &list].iter().all(|shown| !shown.to_string().contains("hush")));
    for (form, code) in
        [(vec![], 20001), (vec![("Type", "pigeon")], 20001), (vec![("Type", "twilsock")], 20001)]
    {
        assert_eq!(refused(&house, "POST", "/v1/Credentials", &form).await, (400, code));
    }
    assert_eq!(house.ask("DELETE", credential, &[]).await.0, 204);
    assert_eq!(refused(&house, "GET", credential, &[]).await, (404, 20404));
}
