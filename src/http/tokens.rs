//! Whose access token it is: the keys of the configuration and the services of the store.

use std::sync::Arc;

use futures_util::FutureExt;
use trunkline_adapter::{BoxFuture, Caller, Clock, Denied};

use super::auth::Accounts;
use super::token::{self, Unverified};
use crate::model::AccountSid;
use crate::relay::{Relay, RelayError};

/// Verifies access tokens.
pub struct Tokens {
    accounts: Arc<Accounts>,
    relay: Arc<Relay>,
    clock: Clock,
}

impl Tokens {
    pub fn new(accounts: Arc<Accounts>, relay: Arc<Relay>, clock: Clock) -> Tokens {
        Tokens { accounts, relay, clock }
    }

    async fn caller(&self, text: &str) -> Result<Caller, Denied> {
        let token = Unverified::read(text)?;
        let (account, key) = token.issuer()?;
        let secrets = self.accounts.key(account, key).ok_or_else(token::unknown_issuer)?;
        let (account, key) = (account.to_owned(), key.to_owned());
        let proof = token::proof(token.signer(secrets.all())?);
        let said = token.verified(self.clock.now())?;
        let owner = AccountSid::parse(&account).ok_or_else(token::unknown_issuer)?;
        let service = match said.service.as_deref() {
            Some(service) => self.relay.service(&owner, service).await,
            None => self.relay.default_service(&owner).await,
        };
        let service = service.map_err(|error| match error {
            RelayError::ServiceNotFound => {
                Denied { status: 403, code: 50050, text: "Service instance not found".to_owned() }
            }
            other => {
                tracing::warn!(error = %other, "An access token's service cannot be looked up");
                Denied { status: 503, code: 20503, text: "Service unavailable".to_owned() }
            }
        })?;
        Ok(Caller {
            account,
            service: service.sid.as_str().to_owned(),
            identity: said.identity,
            key,
            proof,
            expires: said.expires,
            push_credential: said.push_credential,
        })
    }
}

impl trunkline_adapter::Tokens for Tokens {
    fn verify<'a>(&'a self, token: &'a str) -> BoxFuture<'a, Result<Caller, Denied>> {
        self.caller(token).boxed()
    }

    fn stands(&self, caller: &Caller) -> bool {
        let secrets = self.accounts.key(&caller.account, &caller.key);
        secrets.is_some_and(|secrets| secrets.all().iter().any(|secret| token::proof(secret) == caller.proof))
    }
}
