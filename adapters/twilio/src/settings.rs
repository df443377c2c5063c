//! What the configuration says: `[adapter.settings]`.

use trunkline_adapter::{Secrets, Section};

/// The account at Twilio, as configured.
#[derive(Clone, Debug)]
pub(crate) struct Account {
    /// Not very secret, but operators may keep it with the token. The first is the one we send as.
    pub sid: Secrets,
    pub tokens: Secrets,
    pub base_url: String,
}

impl Account {
    /// Checks what is written; every problem is noted in the section.
    pub(crate) fn read(settings: &mut Section) -> Option<Account> {
        let sid = settings.required_secrets("account_sid");
        if let Some(kind) = sid.as_ref().and_then(|sid| mistaken(sid.first().expose())) {
            let hint = Some("the account's own sid begins with AC".to_owned());
            settings.problem("account_sid", format!("is the sid of {kind}, not of an account"), hint);
        }
        let tokens = settings.required_secrets("auth_token");
        let base_url = settings.base_url("base_url", "https://api.twilio.com");
        Some(Account { sid: sid?, tokens: tokens?, base_url })
    }
}

/// What else a sid is, when it is visibly not an account's: these stand side by side in Twilio's console.
fn mistaken(sid: &str) -> Option<&'static str> {
    let (prefix, rest) = sid.split_at_checked(2)?;
    if rest.len() != 32 || !rest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    match prefix {
        "SK" => Some("an API key"),
        "MG" => Some("a messaging service"),
        "PN" => Some("a phone number"),
        "IS" => Some("a conversation service"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    #[test]
    fn every_missing_key_is_named_at_once() {
        let mut section = Section::of(&[("auth_tokn", "t")]);
        assert!(Account::read(&mut section).is_none());
        let (problems, _) = section.finish();
        let messages: Vec<_> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, ["account_sid is missing", "auth_token is missing", "unknown key"]);
    }

    #[test]
    fn an_api_key_in_the_place_of_the_account_is_told_apart() {
        let key = format!("SK{}", "0".repeat(32));
        let mut section = Section::of(&[("account_sid", &key), ("auth_token", "t")]);
        Account::read(&mut section);
        let (problems, _) = section.finish();
        assert_eq!(problems.len(), 1);
        assert!(problems[0].message.contains("an API key"));
    }

    #[test]
    fn the_base_url_has_a_default_and_can_be_moved() {
        let pairs = [("account_sid", "AC1"), ("auth_token", "t")];
        let account = Account::read(&mut Section::of(&pairs)).unwrap();
        assert_eq!(account.base_url, "https://api.twilio.com");
        let moved = [pairs[0], pairs[1], ("base_url", "http://127.0.0.1:9/twilio/")];
        let account = Account::read(&mut Section::of(&moved)).unwrap();
        assert_eq!(account.base_url, "http://127.0.0.1:9/twilio");
    }
}
