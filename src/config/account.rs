//! `[[account]]`: who may use the REST API.

use std::collections::HashSet;

use trunkline_adapter::{Secrets, Section};

/// An account.
#[derive(Clone, Debug)]
pub struct Account {
    /// `AC` and 32 hexadecimal digits, as written.
    pub sid: String,
    /// The password of the account itself; signs what we send to the account's webhooks.
    pub auth_token: Secrets,
    /// Further credentials.
    pub api_keys: Vec<ApiKey>,
}

/// An API key of an account.
#[derive(Clone, Debug)]
pub struct ApiKey {
    /// `SK` and 32 hexadecimal digits, as written.
    pub sid: String,
    /// Its password.
    pub secret: Secrets,
}

/// Reads `[[account]]`.
pub(super) fn accounts(root: &mut Section) -> Vec<Account> {
    let mut taken = HashSet::new();
    let mut accounts = Vec::new();
    if !root.has("account") {
        let hint = "add [[account]] with sid and auth_token: the credentials of your REST clients".to_owned();
        root.problem("account", "at least one account is needed", Some(hint));
    }
    for mut section in root.tables("account") {
        accounts.extend(account(&mut section, &mut taken));
        root.absorb(section);
    }
    accounts
}

/// Reads one `[[account]]`.
pub(super) fn account(section: &mut Section, taken: &mut HashSet<String>) -> Option<Account> {
    let sid = sid(section, "AC", taken);
    let auth_token = section.required_secrets("auth_token");
    let api_keys = api_keys(section, taken);
    Some(Account { sid: sid?, auth_token: auth_token?, api_keys })
}

fn api_keys(account: &mut Section, taken: &mut HashSet<String>) -> Vec<ApiKey> {
    let mut keys = Vec::new();
    for mut section in account.tables("api_key") {
        if let Some(key) = api_key(&mut section, taken) {
            keys.push(key);
        }
        account.absorb(section);
    }
    keys
}

/// Reads one `[[account.api_key]]`.
pub(super) fn api_key(section: &mut Section, taken: &mut HashSet<String>) -> Option<ApiKey> {
    let sid = sid(section, "SK", taken);
    let secret = section.required_secrets("secret");
    Some(ApiKey { sid: sid?, secret: secret? })
}

pub(super) fn sid(section: &mut Section, prefix: &str, taken: &mut HashSet<String>) -> Option<String> {
    let text = section.required("sid")?;
    let hex = text
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.len() == 32 && rest.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !hex {
        let hint = format!("for example {prefix}{:032}", 1);
        section.problem("sid", format!("must be {prefix} and 32 hexadecimal digits"), Some(hint));
        return None;
    }
    if !taken.insert(text.to_ascii_lowercase()) {
        section.problem("sid", format!("{text} is there twice"), None);
        return None;
    }
    Some(text)
}
