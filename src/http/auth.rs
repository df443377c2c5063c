//! Who is calling: an account by its SID and token, or by one of its API keys.

use std::sync::{Arc, PoisonError, RwLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use trunkline_adapter::Secrets;

use super::error::ApiError;
use crate::model::AccountSid;

/// An account that may call the REST API.
#[derive(Clone, Debug)]
pub struct Account {
    pub sid: AccountSid,
    /// All of them verify.
    pub auth_token: Secrets,
    /// API keys: SID and secret.
    pub keys: Vec<(String, Secrets)>,
}

/// The accounts of the configuration. They change with it.
#[derive(Debug, Default)]
pub struct Accounts(RwLock<Arc<Vec<Account>>>);

impl Accounts {
    pub fn new(accounts: Vec<Account>) -> Accounts {
        let all = Accounts::default();
        all.set(accounts);
        all
    }

    /// Takes new accounts; requests that come after this are checked against them.
    pub fn set(&self, accounts: Vec<Account>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(accounts);
    }

    /// Every account there is now.
    pub fn sids(&self) -> Vec<AccountSid> {
        let accounts = self.0.read().unwrap_or_else(PoisonError::into_inner);
        accounts.iter().map(|account| account.sid.clone()).collect()
    }

    /// The secrets of an account's API key.
    pub fn key(&self, account: &str, key: &str) -> Option<Secrets> {
        let accounts = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let account = accounts.iter().find(|known| known.sid.as_str() == account)?;
        account.keys.iter().find(|(sid, _)| sid == key).map(|(_, secrets)| secrets.clone())
    }

    /// The account whose credentials these are.
    ///
    /// # Errors
    /// 401, and never a word about what was wrong.
    pub fn authenticate(&self, headers: &HeaderMap) -> Result<AccountSid, ApiError> {
        let accounts = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let (user, password) = basic(headers).ok_or_else(ApiError::unauthorized)?;
        let found = accounts.iter().find(|account| {
            let own = account.sid.as_str() == user && account.auth_token.matches(&password);
            let key = account.keys.iter().any(|(sid, secret)| *sid == user && secret.matches(&password));
            own || key
        });
        found.map(|account| account.sid.clone()).ok_or_else(ApiError::unauthorized)
    }
}

fn basic(headers: &HeaderMap) -> Option<(String, Vec<u8>)> {
    let header = headers.get(AUTHORIZATION)?.as_bytes();
    let (scheme, encoded) = header.split_at_checked(6)?;
    if !scheme.eq_ignore_ascii_case(b"basic ") {
        return None;
    }
    let pair = STANDARD.decode(encoded.trim_ascii()).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let user = String::from_utf8(pair[..colon].to_vec()).ok()?;
    Some((user, pair[colon + 1..].to_vec()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use crate::model::Mint;
    use trunkline_adapter::Secret;

    fn header(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(AUTHORIZATION, value.parse().unwrap());
        headers
    }

    fn credentials(user: &str, password: &str) -> HeaderMap {
        header(&format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
    }

    #[test]
    fn tokens_keys_and_nothing_else() {
        let mint = Mint::seeded(3);
        let (one, two) = (AccountSid::new(&mint), AccountSid::new(&mint));
        let tokens = Secrets::new(vec![Secret::new("new"), Secret::new("old:er")]).unwrap();
        let accounts = Accounts::new(vec![
            Account { sid: one.clone(), auth_token: tokens, keys: vec![("SK1".into(), Secrets::one("s1"))] },
            Account {
                sid: two.clone(),
                auth_token: Secrets::one("two"),
                keys: vec![("SK2".into(), Secrets::one("s2"))],
            },
        ]);
        let who = |headers: &HeaderMap| accounts.authenticate(headers).ok();
        assert_eq!(who(&credentials(one.as_str(), "new")), Some(one.clone()));
        assert_eq!(who(&credentials(one.as_str(), "old:er")), Some(one.clone()));
        assert_eq!(who(&credentials("SK1", "s1")), Some(one.clone()));
        assert_eq!(who(&credentials("SK2", "s2")), Some(two.clone()));
        for wrong in [
            credentials(one.as_str(), "two"),
            credentials(two.as_str(), "s2"),
            credentials("SK2", "s1"),
            credentials("", ""),
            header("Basic"),
            header("Basic !!!"),
            header("Bearer x"),
            HeaderMap::new(),
        ] {
            assert_eq!(accounts.authenticate(&wrong).unwrap_err().code(), 20003);
        }
        accounts.set(Vec::new());
        assert_eq!(accounts.authenticate(&credentials("SK1", "s1")).unwrap_err(), ApiError::unauthorized());
    }
}
