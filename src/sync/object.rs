//! The objects that clients watch, and their names. A name is made of the SID or the identity it stands for, so there is
//! no table of names; it gives no right to anything.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::model::{AccountSid, ConversationSid, ServiceSid};

/// Whose objects: names hold within a service.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Realm {
    pub account: AccountSid,
    pub service: ServiceSid,
}

/// Something to watch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Object {
    /// A conversation's names, attributes and state: a document.
    Document(ConversationSid),
    /// Its messages by index: a list.
    Messages(ConversationSid),
    /// Its participants by SID: a map.
    Roster(ConversationSid),
    /// What is known of a user: a map.
    Profile(String),
    /// A user's conversations by SID: a map.
    Memberships(String),
}

/// The shapes of objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Document,
    List,
    Map,
}

impl Kind {
    /// The word in subscriptions and events.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Document => "document",
            Kind::List => "list",
            Kind::Map => "map",
        }
    }

    /// The word in paths.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::Document => "Documents",
            Kind::List => "Lists",
            Kind::Map => "Maps",
        }
    }
}

/// Letters behind the prefix that tell a user's maps from a roster's: no SID goes on with them.
const PROFILE: char = 'u';
const MEMBERSHIPS: char = 'm';

impl Object {
    pub fn kind(&self) -> Kind {
        match self {
            Object::Document(_) => Kind::Document,
            Object::Messages(_) => Kind::List,
            Object::Roster(_) | Object::Profile(_) | Object::Memberships(_) => Kind::Map,
        }
    }

    /// Its name, which is its SID too.
    pub fn name(&self) -> String {
        let of_user =
            |letter: char, identity: &str| format!("MP{letter}{}", URL_SAFE_NO_PAD.encode(identity));
        let of_conversation = |prefix: &str, sid: &ConversationSid| format!("{prefix}{}", &sid.as_str()[2..]);
        match self {
            Object::Document(sid) => of_conversation("ET", sid),
            Object::Messages(sid) => of_conversation("ES", sid),
            Object::Roster(sid) => of_conversation("MP", sid),
            Object::Profile(identity) => of_user(PROFILE, identity),
            Object::Memberships(identity) => of_user(MEMBERSHIPS, identity),
        }
    }

    /// The object of a name.
    pub fn parse(name: &str) -> Option<Object> {
        let (prefix, rest) = name.split_at_checked(2)?;
        let conversation = || ConversationSid::parse(&format!("CH{rest}"));
        let user = |encoded: &str| {
            let identity = String::from_utf8(URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()?;
            Some(identity).filter(|identity| !identity.is_empty())
        };
        match prefix {
            "ET" => conversation().map(Object::Document),
            "ES" => conversation().map(Object::Messages),
            "MP" => match rest.strip_prefix(PROFILE) {
                Some(encoded) => user(encoded).map(Object::Profile),
                None => match rest.strip_prefix(MEMBERSHIPS) {
                    Some(encoded) => user(encoded).map(Object::Memberships),
                    None => conversation().map(Object::Roster),
                },
            },
            _ => None,
        }
    }

    /// The conversation it belongs to.
    pub fn conversation(&self) -> Option<&ConversationSid> {
        match self {
            Object::Document(sid) | Object::Messages(sid) | Object::Roster(sid) => Some(sid),
            Object::Profile(_) | Object::Memberships(_) => None,
        }
    }
}

/// What names an item in its object.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ItemKey {
    /// A document is its own and only item.
    Whole,
    Index(u64),
    Key(String),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;
    use crate::model::Mint;

    #[test]
    fn names_lead_back_and_differ() {
        let sid = ConversationSid::new(&Mint::seeded(1));
        let all = [
            Object::Document(sid.clone()),
            Object::Messages(sid.clone()),
            Object::Roster(sid),
            Object::Profile("zoë @/?&=+% 😀".to_owned()),
            Object::Memberships("zoë @/?&=+% 😀".to_owned()),
        ];
        for object in &all {
            let name = object.name();
            assert_eq!(Object::parse(&name).as_ref(), Some(object), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{name}");
        }
        let mut names: Vec<_> = all.iter().map(Object::name).collect();
        names.dedup();
        assert_eq!(names.len(), all.len());
    }

    #[test]
    fn what_is_no_name() {
        for name in ["", "E", "ET", "ETx", "XX00000000000000000000000000000001", "MPu", "MPm", "MPu!!", "é€"]
        {
            assert_eq!(Object::parse(name), None, "{name}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in ".{0,60}") {
            let _ = Object::parse(&text);
        }

        #[test]
        fn every_identity_has_its_own(identity in ".{1,80}", other in ".{1,80}") {
            let name = Object::Profile(identity.clone()).name();
            prop_assert_eq!(Object::parse(&name), Some(Object::Profile(identity.clone())));
            prop_assert_eq!(identity == other, name == Object::Profile(other).name());
        }
    }
}
