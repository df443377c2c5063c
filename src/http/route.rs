//! The one table of routes.
//!
//! `/v1/Services/{IS}` is taken off the front first, so one row serves the default service and any other. A new
//! resource is a row here, a [`Resource`], and a file under `api/`.

use std::sync::LazyLock;

use http::Method;
use matchit::Router;
use percent_encoding::percent_decode_str;

/// What a path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// A provider's webhook.
    Webhook,
    Configuration,
    ConfigurationWebhooks,
    Services,
    Service,
    ServiceConfiguration,
    ServiceNotifications,
    ServiceWebhooks,
    Roles,
    Role,
    Users,
    User,
    UserConversations,
    UserConversation,
    ParticipantConversations,
    Addresses,
    Address,
    Credentials,
    Credential,
    PushBindings,
    PushBinding,
    Conversations,
    Conversation,
    ConversationWithParticipants,
    ConversationWebhooks,
    ConversationWebhook,
    Participants,
    Participant,
    Messages,
    Message,
    Receipts,
    Receipt,
    Media,
    MediaItem,
    MediaContent,
    MediaSet,
    /// A signed link to a file.
    MediaLink,
    /// Ours: the story of one message.
    Journal,
    /// Ours: a conversation whole, as JSON lines.
    Export,
}

/// Whether a row is reached with a service in front.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// Only without.
    Plain,
    /// Either way.
    Both,
    /// Only with.
    Inside,
}

struct Row {
    resource: Resource,
    pattern: &'static str,
    reach: Reach,
    methods: &'static str,
}

const READ: &str = "GET";
const CREATE: &str = "POST";
const UPDATE: &str = "GET, POST";
const LIST: &str = "GET, POST";
const ITEM: &str = "GET, POST, DELETE";

const fn row(resource: Resource, reach: Reach, pattern: &'static str, methods: &'static str) -> Row {
    Row { resource, pattern, reach, methods }
}

const TABLE: &[Row] = &[
    row(Resource::Webhook, Reach::Plain, "/webhooks/{adapter}", LIST),
    row(Resource::Configuration, Reach::Plain, "/v1/Configuration", UPDATE),
    row(Resource::ConfigurationWebhooks, Reach::Plain, "/v1/Configuration/Webhooks", UPDATE),
    row(Resource::Services, Reach::Plain, "/v1/Services", LIST),
    row(Resource::Service, Reach::Plain, "/v1/Services/{service}", "GET, DELETE"),
    row(Resource::ServiceConfiguration, Reach::Inside, "/v1/Services/{service}/Configuration", UPDATE),
    row(
        Resource::ServiceNotifications,
        Reach::Inside,
        "/v1/Services/{service}/Configuration/Notifications",
        UPDATE,
    ),
    row(Resource::ServiceWebhooks, Reach::Inside, "/v1/Services/{service}/Configuration/Webhooks", UPDATE),
    row(Resource::Media, Reach::Inside, "/v1/Services/{service}/Media", CREATE),
    row(Resource::MediaItem, Reach::Inside, "/v1/Services/{service}/Media/{media}", "GET, DELETE"),
    row(Resource::MediaContent, Reach::Inside, "/v1/Services/{service}/Media/{media}/Content", "GET, HEAD"),
    row(Resource::MediaSet, Reach::Inside, "/v1/Services/{service}/MediaSet", CREATE),
    row(Resource::MediaLink, Reach::Plain, "/media/{signed}", "GET, HEAD"),
    row(Resource::PushBindings, Reach::Inside, "/v1/Services/{service}/Bindings", READ),
    row(Resource::PushBinding, Reach::Inside, "/v1/Services/{service}/Bindings/{binding}", "GET, DELETE"),
    row(Resource::Addresses, Reach::Plain, "/v1/Configuration/Addresses", LIST),
    row(Resource::Address, Reach::Plain, "/v1/Configuration/Addresses/{address}", ITEM),
    row(Resource::Credentials, Reach::Plain, "/v1/Credentials", LIST),
    row(Resource::Credential, Reach::Plain, "/v1/Credentials/{credential}", ITEM),
    row(Resource::Roles, Reach::Both, "/v1/Roles", LIST),
    row(Resource::Role, Reach::Both, "/v1/Roles/{role}", ITEM),
    row(Resource::Users, Reach::Both, "/v1/Users", LIST),
    row(Resource::User, Reach::Both, "/v1/Users/{user}", ITEM),
    row(Resource::UserConversations, Reach::Both, "/v1/Users/{user}/Conversations", READ),
    row(Resource::UserConversation, Reach::Both, "/v1/Users/{user}/Conversations/{conversation}", ITEM),
    row(Resource::ParticipantConversations, Reach::Both, "/v1/ParticipantConversations", READ),
    row(Resource::Conversations, Reach::Both, "/v1/Conversations", LIST),
    row(Resource::Conversation, Reach::Both, "/v1/Conversations/{conversation}", ITEM),
    row(Resource::ConversationWithParticipants, Reach::Both, "/v1/ConversationWithParticipants", CREATE),
    row(Resource::ConversationWebhooks, Reach::Both, "/v1/Conversations/{conversation}/Webhooks", LIST),
    row(
        Resource::ConversationWebhook,
        Reach::Both,
        "/v1/Conversations/{conversation}/Webhooks/{webhook}",
        ITEM,
    ),
    row(Resource::Participants, Reach::Both, "/v1/Conversations/{conversation}/Participants", LIST),
    row(
        Resource::Participant,
        Reach::Both,
        "/v1/Conversations/{conversation}/Participants/{participant}",
        ITEM,
    ),
    row(Resource::Messages, Reach::Both, "/v1/Conversations/{conversation}/Messages", LIST),
    row(Resource::Message, Reach::Both, "/v1/Conversations/{conversation}/Messages/{message}", ITEM),
    row(
        Resource::Receipts,
        Reach::Both,
        "/v1/Conversations/{conversation}/Messages/{message}/Receipts",
        READ,
    ),
    row(
        Resource::Receipt,
        Reach::Both,
        "/v1/Conversations/{conversation}/Messages/{message}/Receipts/{receipt}",
        READ,
    ),
    row(Resource::Journal, Reach::Both, "/v1/Conversations/{conversation}/Messages/{message}/Journal", READ),
    row(Resource::Export, Reach::Both, "/v1/Conversations/{conversation}/Export", READ),
];

/// The label of paths that are nobody's.
pub const NOWHERE: &str = "none";

/// What is reached without a service in front.
static PLAIN: LazyLock<Router<&'static Row>> =
    LazyLock::new(|| router(TABLE.iter().filter(|row| row.reach != Reach::Inside)));
/// What is reached with one, which is taken off first.
static INSIDE: LazyLock<Router<&'static Row>> =
    LazyLock::new(|| router(TABLE.iter().filter(|row| row.reach != Reach::Plain)));

fn router(rows: impl Iterator<Item = &'static Row>) -> Router<&'static Row> {
    let mut router = Router::new();
    for row in rows {
        let pattern =
            row.pattern.replacen("/Services/{service}/", "/", usize::from(row.reach == Reach::Inside));
        #[expect(clippy::expect_used, reason = "the table is fixed, and every test passes through here")]
        router.insert(pattern, row).expect("the patterns of the table do not clash");
    }
    router
}

/// The label of the path that people connect to, wherever the configuration has put it.
pub const SOCKET: &str = "/v3/wsconnect";

/// Every value the label `route` can have.
pub fn labels() -> impl Iterator<Item = &'static str> {
    TABLE.iter().map(|row| row.pattern).chain([SOCKET, NOWHERE])
}

/// A path that is in the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    pub resource: Resource,
    /// The pattern: what metrics call it.
    pub label: &'static str,
    /// The methods it has, as `Allow` writes them.
    pub methods: &'static str,
    /// The service that stood in front.
    pub service: Option<String>,
    /// The values of the pattern's names, decoded, in order.
    pub names: Vec<String>,
}

impl Route {
    /// Looks a path up. One slash at the end is forgiven.
    pub fn find(path: &str) -> Option<Route> {
        let path = match path.strip_suffix('/') {
            Some("") | None => path,
            Some(rest) => rest,
        };
        let (service, path) = split_service(path);
        let router = if service.is_some() { &INSIDE } else { &PLAIN };
        let found = router.at(&path).ok()?;
        let row: &'static Row = found.value;
        let names = found.params.iter().map(|(_, value)| decode(value)).collect::<Option<Vec<String>>>()?;
        let service = match service {
            Some(service) => Some(decode(service)?),
            None => None,
        };
        Some(Route { resource: row.resource, label: row.pattern, methods: row.methods, service, names })
    }

    /// Whether it is about files by name.
    pub fn is_media(&self) -> bool {
        use Resource::{Media, MediaContent, MediaItem, MediaSet};
        matches!(self.resource, Media | MediaItem | MediaContent | MediaSet)
    }

    /// Whether it has this method.
    pub fn allows(&self, method: &Method) -> bool {
        self.methods.split(", ").any(|allowed| allowed == method.as_str())
    }

    /// The value of the pattern's name at this place.
    pub fn name(&self, place: usize) -> &str {
        self.names.get(place).map(String::as_str).unwrap_or_default()
    }
}

/// The path as error texts show it: below the version.
pub fn shown(path: &str) -> &str {
    path.strip_prefix("/v1").filter(|rest| rest.starts_with('/')).unwrap_or(path)
}

/// Takes `/Services/{IS}` out, unless nothing follows it: then the service itself is meant.
fn split_service(path: &str) -> (Option<&str>, std::borrow::Cow<'_, str>) {
    let parts = path.strip_prefix("/v1/Services/").and_then(|rest| rest.split_once('/'));
    match parts {
        Some((service, rest)) => (Some(service), format!("/v1/{rest}").into()),
        None => (None, path.into()),
    }
}

fn decode(segment: &str) -> Option<String> {
    percent_decode_str(segment).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn one_table_serves_both_shapes() {
        for (path, resource, service, names) in [
            ("/v1/Configuration", Resource::Configuration, None, vec![]),
            ("/v1/Services", Resource::Services, None, vec![]),
            ("/v1/Services/IS1/Configuration", Resource::ServiceConfiguration, Some("IS1"), vec![]),
            ("/v1/Services/IS1/Bindings/BS1", Resource::PushBinding, Some("IS1"), vec!["BS1"]),
            ("/v1/Services/IS1/Roles/RL1", Resource::Role, Some("IS1"), vec!["RL1"]),
            ("/v1/Configuration/Addresses/%2B15550001111", Resource::Address, None, vec!["+15550001111"]),
            ("/v1/Users/a%40b.c/Conversations/x", Resource::UserConversation, None, vec!["a@b.c", "x"]),
            ("/v1/Services/IS1/", Resource::Service, None, vec!["IS1"]),
            ("/v1/Conversations/", Resource::Conversations, None, vec![]),
            (
                "/v1/Services/IS1/ConversationWithParticipants",
                Resource::ConversationWithParticipants,
                Some("IS1"),
                vec![],
            ),
            ("/v1/Services/IS1/Conversations", Resource::Conversations, Some("IS1"), vec![]),
            ("/v1/Conversations/my%20name%2F1", Resource::Conversation, None, vec!["my name/1"]),
            (
                "/v1/Services/IS1/Conversations/CH1/Participants/a%40b.c",
                Resource::Participant,
                Some("IS1"),
                vec!["CH1", "a@b.c"],
            ),
            ("/v1/Conversations/CH1/Messages/IM1/Receipts", Resource::Receipts, None, vec!["CH1", "IM1"]),
            (
                "/v1/Conversations/CH1/Messages/IM1/Receipts/DY1",
                Resource::Receipt,
                None,
                vec!["CH1", "IM1", "DY1"],
            ),
            ("/webhooks/us", Resource::Webhook, None, vec!["us"]),
        ] {
            let route = Route::find(path).unwrap_or_else(|| panic!("{path}"));
            assert_eq!((route.resource, route.service.as_deref()), (resource, service), "{path}");
            assert_eq!(route.names, names, "{path}");
        }
    }

    #[test]
    fn paths_that_are_nowhere() {
        for path in [
            "",
            "/",
            "/v1",
            "/v2/Conversations",
            "/v1/conversations",
            "/v1/Conversations//Messages",
            "/v1/Conversations/%FF",
            "/v1/Services/IS1/Credentials",
            "/v1/Services/IS1/Configuration/Addresses",
            "/v1/Bindings",
            "/v1/Configuration/Notifications",
            "/v1/Services/IS1/Services/IS2",
            "/v1/Services/IS1/Services/IS2/Conversations",
            "/v1/Conversations/CH1/Messages/IM1/Receipts/DY1/x",
            "/webhooks",
            "/webhooks/a/b",
        ] {
            assert_eq!(Route::find(path), None, "{path}");
        }
    }

    #[test]
    fn methods_and_labels() {
        let list = Route::find("/v1/Services/IS1/Conversations").unwrap();
        assert!(list.allows(&Method::GET) && list.allows(&Method::POST));
        assert!(!list.allows(&Method::DELETE) && !list.allows(&Method::HEAD));
        assert_eq!(list.label, "/v1/Conversations");
        assert!(labels().any(|label| label == list.label));
        assert_eq!(shown("/v1/Conversations/CH1"), "/Conversations/CH1");
        assert_eq!(shown("/v1x"), "/v1x");
    }
}
