//! Every list of the description, walked by its own URLs while what it lists comes and goes: nothing is there twice, and
//! nothing is missed that was there throughout.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;

use proptest::collection::vec;
use proptest::prelude::*;

use super::spec;
use super::walk::{House, house, path, text};

/// Whose address is looked for.
const PERSON: &str = "+15557654321";

/// A list: how it is asked for below its root, and the member that tells its records apart.
struct List {
    name: &'static str,
    path: &'static str,
    query: &'static str,
    key: &'static str,
}

const fn list(name: &'static str, path: &'static str, query: &'static str, key: &'static str) -> List {
    List { name, path, query, key }
}

/// By the name of the operation on a service's own path, or on the account's where there is no other.
const LISTS: &[List] = &[
    list("ListService", "", "", "sid"),
    list("ListCredential", "", "", "sid"),
    list("ListConfigurationAddress", "", "&Type=email", "sid"),
    list("ListServiceBinding", "/Bindings", "", "sid"),
    list("ListServiceConversation", "/Conversations", "", "sid"),
    list("ListServiceConversation", "/Conversations", "&State=active", "sid"),
    list("ListServiceConversationParticipant", "/Conversations/room/Participants", "", "sid"),
    list("ListServiceConversationMessage", "/Conversations/room/Messages", "", "sid"),
    list("ListServiceConversationMessage", "/Conversations/room/Messages", "&Order=desc", "sid"),
    list("ListServiceUser", "/Users", "", "sid"),
    list("ListServiceUserConversation", "/Users/alice/Conversations", "", "conversation_sid"),
    list(
        "ListServiceParticipantConversation",
        "/ParticipantConversations",
        "&Identity=alice",
        "conversation_sid",
    ),
    list(
        "ListServiceParticipantConversation",
        "/ParticipantConversations",
        "&Address=%2B15557654321",
        "conversation_sid",
    ),
    list("ListServiceRole", "/Roles", "", "sid"),
];

/// Lists whose records neither come nor go once the thing that they belong to is there, or of which there are five at most,
/// which is a page.
const FIXED: &[&str] = &["ListServiceConversationMessageReceipt", "ListServiceConversationScopedWebhook"];

/// One change between two pages: somebody new, or the end of one of those who are there.
#[derive(Clone, Debug)]
enum Change {
    Add,
    Remove(prop::sample::Index),
}

fn changes() -> impl Strategy<Value = Vec<Vec<Change>>> {
    let change = prop_oneof![Just(Change::Add), any::<prop::sample::Index>().prop_map(Change::Remove)];
    vec(vec(change, 0..4), 0..8)
}

/// A service with a room in it.
struct Place<'a> {
    house: &'a House,
    service: String,
    root: String,
    count: usize,
}

impl<'a> Place<'a> {
    async fn set(house: &'a House) -> Place<'a> {
        let service = text(&house.made("/v1/Services", &[("FriendlyName", "Shop")]).await, "sid").to_owned();
        let root = format!("/v1/Services/{service}");
        house.made(&format!("{root}/Conversations"), &[("UniqueName", "room")]).await;
        house.made(&format!("{root}/Users"), &[("Identity", "alice")]).await;
        Place { house, service, root, count: 0 }
    }

    fn target(&self, list: &List) -> String {
        match list.name {
            "ListService" => "/v1/Services".to_owned(),
            "ListCredential" => "/v1/Credentials".to_owned(),
            "ListConfigurationAddress" => "/v1/Configuration/Addresses".to_owned(),
            _ => format!("{}{}", self.root, list.path),
        }
    }

    /// Adds a record to a list; what tells it apart.
    async fn add(&mut self, list: &List) -> String {
        self.count += 1;
        let name = format!("name {}", self.count);
        let target = self.target(list);
        // One configuration for an address, in all services together.
        let address = format!("{}@{}.example", self.count, self.service);
        let form: Vec<(&str, &str)> = match list.name {
            "ListServiceBinding" => return spec::plant(self.house, &self.service).await,
            "ListServiceUserConversation" | "ListServiceParticipantConversation" => {
                return self.add_membership(list).await;
            }
            "ListConfigurationAddress" => vec![("Type", "email"), ("Address", &address)],
            "ListCredential" => vec![("Type", "fcm")],
            "ListServiceConversation" | "ListService" => vec![("FriendlyName", &name)],
            "ListServiceConversationMessage" => vec![("Body", &name)],
            "ListServiceRole" => {
                vec![("FriendlyName", "x"), ("Type", "service"), ("Permission", "joinConversation")]
            }
            _ => vec![("Identity", &name)],
        };
        text(&self.house.made(&target, &form).await, "sid").to_owned()
    }

    /// Another conversation with the one who is looked for.
    async fn add_membership(&self, list: &List) -> String {
        let room = self.house.made(&format!("{}/Conversations", self.root), &[]).await;
        let own = path(text(&room, "url"));
        let pair = [("MessagingBinding.Address", PERSON), ("MessagingBinding.ProxyAddress", "+15550001111")];
        let form = if list.query.starts_with("&Address") { &pair[..] } else { &[("Identity", "alice")] };
        self.house.made(&format!("{own}/Participants"), form).await;
        // A pair is in one open conversation; closed ones are listed too.
        assert_eq!(self.house.ask("POST", own, &[("State", "closed")]).await.0, 200);
        text(&room, "sid").to_owned()
    }

    async fn remove(&self, list: &List, name: &str) {
        let target = match list.name {
            "ListServiceUserConversation" | "ListServiceParticipantConversation" => {
                format!("{}/Conversations/{name}", self.root)
            }
            _ => format!("{}/{name}", self.target(list)),
        };
        assert_eq!(self.house.ask("DELETE", &target, &[]).await.0, 204, "{target}");
    }

    /// Walks a list to its end with changes between its pages, and holds what was seen against what was there.
    async fn walk(&mut self, list: &List, size: usize, before: usize, changes: &[Vec<Change>]) {
        let (mut there, mut target) = (Vec::new(), self.target(list));
        target.push_str(&format!("?PageSize={size}{}", list.query));
        for _ in 0..before {
            there.push(self.add(list).await);
        }
        let (mut throughout, mut gone): (BTreeSet<String>, _) =
            (there.iter().cloned().collect(), BTreeSet::new());
        let (mut seen, mut changes) = (BTreeSet::new(), changes.iter());
        loop {
            let (status, page) = self.house.ask("GET", &target, &[]).await;
            assert_eq!(status, 200, "{target}: {page}");
            let records = page[text(&page["meta"], "key")].as_array().unwrap();
            assert!(records.len() <= size, "{target}");
            for record in records {
                let name = text(record, list.key);
                assert!(seen.insert(name.to_owned()), "{}: {name} is there twice", list.name);
                assert!(!gone.contains(name), "{}: {name} is gone and is there", list.name);
            }
            for change in changes.next().into_iter().flatten() {
                match change {
                    Change::Add => there.push(self.add(list).await),
                    Change::Remove(_) if there.is_empty() => {}
                    Change::Remove(index) => {
                        let name = there.remove(index.index(there.len()));
                        self.remove(list, &name).await;
                        throughout.remove(&name);
                        gone.insert(name);
                    }
                }
            }
            match page["meta"]["next_page_url"].as_str() {
                Some(next) => target = path(next).to_owned(),
                None => break,
            }
        }
        let missed: Vec<&String> = throughout.difference(&seen).collect();
        assert!(missed.is_empty(), "{} misses {missed:?}", list.name);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn lists_are_exact_while_things_come_and_go(
        size in 1usize..5,
        before in 0usize..12,
        changes in changes(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let house = house();
            for list in LISTS {
                Place::set(&house).await.walk(list, size, before, &changes).await;
            }
        });
    }
}

#[test]
fn every_list_is_walked() {
    let walked: BTreeSet<&str> = LISTS.iter().map(|list| list.name).chain(FIXED.iter().copied()).collect();
    let described = spec::served_lists();
    let plain = |name: &str| walked.contains(name.replacen("List", "ListService", 1).as_str());
    let left: Vec<&String> =
        described.iter().filter(|name| !walked.contains(name.as_str()) && !plain(name)).collect();
    assert!(left.is_empty(), "nobody walks {left:?}");
    assert!(
        walked.iter().all(|name| described.contains(*name)),
        "every name in the table is one of the description"
    );
}
