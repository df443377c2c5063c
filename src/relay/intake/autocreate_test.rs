#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use futures_util::future::join_all;
use trunkline_adapter::Person;

use crate::announce::Cause;
use crate::ledger::key::Space;
use crate::model::{AddressKind, AutoCreationKind, Conversation, HookTarget, ServiceSid, State};
use crate::relay::command::{AddressChange, Change, ConversationFilter, NewAddress};
use crate::relay::kit::{House, address, ours, phone, said, wrote};
use crate::relay::{MessagingService, RelayError, UnboundInbound};
use std::sync::Arc;

const SERVICE: &str = "MG00000000000000000000000000000001";

impl House {
    async fn configure(&self, text: &str, change: AddressChange) {
        let (kind, address) = (AddressKind::parse(address(text).channel().name()).unwrap(), text.to_owned());
        let new = NewAddress { kind, address, country: None, change };
        self.relay.create_address(&self.account, new).await.unwrap();
    }

    fn messaging(&self, proxies: &[u32], inbound: UnboundInbound) {
        let proxies = proxies.iter().map(|proxy| ours(*proxy)).collect();
        let service = MessagingService { sid: SERVICE.to_owned(), proxies, inbound };
        self.relay.messaging_services().replace(self.account.clone(), vec![service]);
    }

    async fn all_of(&self, service: &ServiceSid) -> Vec<Arc<Conversation>> {
        let filter = ConversationFilter::default();
        self.relay.conversations(&self.account, service, &filter, None, 100).await.unwrap()
    }

    async fn all(&self) -> Vec<Arc<Conversation>> {
        self.all_of(&self.service).await
    }
}

fn enabled(kind: AutoCreationKind) -> AddressChange {
    AddressChange { enabled: Some(true), kind: Some(kind), ..AddressChange::default() }
}

#[tokio::test]
async fn a_message_makes_its_conversation_on_every_channel_with_the_webhook_there_before_it() {
    let house = House::new().await;
    let shop = house.relay.create_service(&house.account, "Shop".to_owned()).await.unwrap().sid;
    let hook = AddressChange {
        service: Change::Set(shop.clone()),
        webhook_url: Change::Set("https://a.example".to_owned()),
        ..enabled(AutoCreationKind::Webhook)
    };
    let flow = format!("FW{:032}", 1);
    let studio =
        AddressChange { studio_flow_sid: Change::Set(flow.clone()), ..enabled(AutoCreationKind::Studio) };
    for (proxy, person, change) in [
        (ours(1), phone(1), hook),
        (address("whatsapp:+12025550000"), address("whatsapp:+13035550001"), studio),
        (address("messenger:1000"), address("messenger:77"), enabled(AutoCreationKind::Default)),
    ] {
        house.configure(proxy.as_str(), change).await;
        house.take(vec![wrote("first", Person::new(person.clone()), proxy.clone(), "hello")]).await;
        let service = if proxy == ours(1) { &shop } else { &house.service };
        let made = house.all_of(service).await[0].clone();
        assert_eq!((made.head.state, &made.head.service), (State::Active, service));
        let record = &made.record;
        assert_eq!((record.friendly_name.as_deref(), &record.unique_name), (Some(person.as_str()), &None));
        assert_eq!((record.attributes.as_str(), &record.messaging_service_sid), ("{}", &None));
        let member = &made.members[0].record;
        let binding = member.binding.as_ref().unwrap();
        assert_eq!((&binding.address, &binding.proxy, &member.identity), (&person, &proxy, &None));
        assert!(member.role_sid.is_some() && member.attributes == "{}");
        let messages = house.messages(made.sid()).await;
        let (index, message) = &messages[0];
        assert_eq!((messages.len(), *index, message.author.as_str()), (1, 0, person.as_str()));
        assert_eq!(message.participant.as_ref(), Some(&member.sid));
        match record.webhooks.as_slice() {
            [hook] if hook.target == HookTarget::Webhook => {
                assert_eq!((hook.url.as_deref(), hook.filters.len()), (Some("https://a.example"), 10));
                assert_eq!(proxy, ours(1));
            }
            [hook] => assert_eq!((hook.target, hook.flow_sid.as_ref()), (HookTarget::Studio, Some(&flow))),
            hooks => assert!(hooks.is_empty() && proxy == address("messenger:1000")),
        }
        // A second message finds it; the first one again changes nothing.
        house.take(vec![wrote("second", Person::new(person.clone()), proxy.clone(), "more")]).await;
        house.take(vec![wrote("first", Person::new(person), proxy, "hello")]).await;
        assert_eq!(house.bodies(made.sid()).await, ["hello", "more"]);
    }
    assert_eq!((house.all().await.len(), house.all_of(&shop).await.len()), (2, 1));
}

#[tokio::test]
async fn of_many_first_messages_at_once_one_makes_the_conversation_and_all_are_in_it() {
    let house = House::new().await;
    house.configure(ours(1).as_str(), enabled(AutoCreationKind::Default)).await;
    let ids: Vec<String> = (0..20).map(|number| format!("id {number}")).collect();
    join_all(ids.iter().map(|id| house.take(vec![said(id, 1, 1, id)]))).await;
    // And many in one webhook, of somebody else.
    house.take(ids.iter().map(|id| said(&format!("other {id}"), 2, 1, id)).collect()).await;
    let all = house.all().await;
    assert_eq!(all.len(), 2);
    for made in &all {
        let mut bodies = house.bodies(made.sid()).await;
        bodies.sort();
        let mut expected = ids.clone();
        expected.sort();
        assert_eq!(bodies, expected);
    }
}

#[tokio::test]
async fn after_a_closed_one_there_is_a_new_one_and_repeats_make_none() {
    let house = House::new().await;
    house.configure(ours(1).as_str(), enabled(AutoCreationKind::Default)).await;
    house.take(vec![said("one", 1, 1, "one")]).await;
    let first = house.all().await[0].clone();
    let close =
        crate::relay::command::ConversationChange { state: Some(State::Closed), ..Default::default() };
    let name = first.sid().as_str();
    house
        .relay
        .update_conversation(&house.account, &house.service, name, close, Cause::api(true))
        .await
        .unwrap();
    house.take(vec![said("one", 1, 1, "one")]).await;
    assert_eq!(house.all().await.len(), 1, "a repeat");
    house.take(vec![said("two", 1, 1, "two")]).await;
    let second = house.all().await[0].clone();
    assert_eq!((house.all().await.len(), house.bodies(second.sid()).await), (2, vec!["two".to_owned()]));
    for gone in [first, second] {
        let name = gone.sid().as_str();
        house
            .relay
            .delete_conversation(&house.account, &house.service, name, Cause::api(true))
            .await
            .unwrap();
    }
    house.take(vec![said("two", 1, 1, "two"), said("one", 1, 1, "one")]).await;
    assert!(house.all().await.is_empty(), "repeats of what is gone");
}

#[tokio::test]
async fn an_address_configuration_comes_before_the_messaging_service() {
    let house = House::new().await;
    house.messaging(&[1, 2], UnboundInbound::Autocreate(None));
    house.take(vec![said("one", 1, 1, "one")]).await;
    let made = house.all().await[0].clone();
    assert_eq!(made.record.messaging_service_sid.as_deref(), Some(SERVICE));
    assert!(made.record.webhooks.is_empty());
    house.configure(ours(2).as_str(), AddressChange::default()).await;
    house.take(vec![said("two", 2, 2, "two")]).await;
    assert_eq!(house.all().await.len(), 1, "it is configured, and not to make any");
    let change = AddressChange { enabled: Some(true), ..AddressChange::default() };
    house.relay.update_address(&house.account, ours(2).as_str(), change).await.unwrap();
    house.take(vec![said("three", 2, 2, "three")]).await;
    assert_eq!(house.all().await[0].record.messaging_service_sid.as_deref(), Some(SERVICE));
    house.messaging(&[1], UnboundInbound::Drop);
    house.take(vec![said("four", 4, 1, "four")]).await;
    assert_eq!(house.all().await.len(), 2, "a reload counts at once");
    let named = crate::relay::command::NewConversation {
        messaging_service_sid: Some("MG00000000000000000000000000000009".to_owned()),
        ..Default::default()
    };
    let refused =
        house.relay.create_conversation(&house.account, &house.service, named, Cause::api(true)).await;
    assert!(matches!(refused, Err(RelayError::MessagingServiceNotFound)));
}

#[tokio::test]
async fn nothing_is_made_of_what_nobody_could_answer() {
    let house = House::new().await;
    let gone = ServiceSid::parse("IS00000000000000000000000000000009").unwrap();
    house.messaging(&[1], UnboundInbound::Autocreate(Some(gone)));
    house.take(vec![said("one", 1, 1, "no such service")]).await;
    house.messaging(&[1], UnboundInbound::Autocreate(None));
    house.take(vec![wrote("two", Person::new(address("BANK")), ours(1), "your code")]).await;
    house.take(vec![wrote("three", Person::new(ours(2)), ours(1), "one of ours")]).await;
    house.take(vec![wrote("four", Person::new(phone(1)), address("+12025559999"), "not ours")]).await;
    assert!(house.all().await.is_empty() && house.rows(Some(Space::ProviderId)).await.is_empty());
    // An opt-out is heard with the message that makes the conversation, and the message is kept.
    house.take(vec![said("five", 3, 1, "STOP")]).await;
    assert!(house.opted_out(&ours(1), &phone(3)).await);
    assert_eq!(house.bodies(house.all().await[0].sid()).await, ["STOP"]);
}

#[tokio::test]
async fn one_configuration_for_an_address_however_it_is_written() {
    let house = House::new().await;
    house.configure("+12025550001", AddressChange::default()).await;
    let again = NewAddress {
        kind: AddressKind::Sms,
        address: "+12025550001".to_owned(),
        country: None,
        change: AddressChange::default(),
    };
    let taken = house.relay.create_address(&house.account, again.clone()).await;
    assert!(matches!(taken, Err(RelayError::AddressConfigured)));
    let found = house.relay.address(&house.account, "+1 (202) 555-0001").await.unwrap();
    assert_eq!(house.relay.address(&house.account, found.sid.as_str()).await.unwrap(), found);
    house.relay.delete_address(&house.account, "+12025550001").await.unwrap();
    for name in ["+12025550001", found.sid.as_str()] {
        let gone = house.relay.address(&house.account, name).await;
        assert!(matches!(gone, Err(RelayError::AddressNotFound)));
    }
    for space in [Space::AddressConfiguration, Space::ConfiguredAddress] {
        assert!(house.rows(Some(space)).await.is_empty());
    }
    house.relay.create_address(&house.account, again).await.unwrap();
}
