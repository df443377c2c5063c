//! What pushes need: an account's credentials, and the devices that clients registered.

use super::command::CredentialChange;
use super::{ATTEMPTS, Relay, RelayError};
use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::tables::{self, List};
use crate::ledger::typed::{self, Stored};
use crate::model::push::PushKind;
use crate::model::{
    AccountSid, CredentialRecord, CredentialSid, Json, PushBindingRecord, PushBindingSid, ServiceSid,
};

impl Relay {
    pub async fn create_credential(
        &self,
        account: &AccountSid,
        kind: PushKind,
        change: CredentialChange,
    ) -> Result<CredentialRecord, RelayError> {
        let now = self.clock.now();
        let mut record = CredentialRecord {
            sid: CredentialSid::new(&self.mint),
            friendly_name: None,
            kind,
            sandbox: false,
            certificate: None,
            private_key: None,
            api_key: None,
            secret: None,
            birth: self.ledger.birth(),
            created: now,
            updated: now,
            rest: serde_json::Map::new(),
        };
        change.apply(&mut record);
        let mut batch = Batch { intake: true, ..Batch::default() };
        batch.put(tables::credential(account.as_str(), record.sid.as_str()), record.encode());
        let place = tables::listed(account.as_str(), "", List::Credentials, record.birth);
        batch.put(place, record.sid.as_str().to_owned());
        self.ledger.commit(batch).await?;
        Ok(record)
    }

    pub async fn credential(&self, account: &AccountSid, sid: &str) -> Result<CredentialRecord, RelayError> {
        Ok(self.stored_credential(account, sid).await?.record)
    }

    async fn stored_credential(
        &self,
        account: &AccountSid,
        sid: &str,
    ) -> Result<Stored<CredentialRecord>, RelayError> {
        let sid = CredentialSid::parse(sid).ok_or(RelayError::CredentialNotFound)?;
        let key = tables::credential(account.as_str(), sid.as_str());
        typed::json(&*self.ledger.snapshot(), &key).await?.ok_or(RelayError::CredentialNotFound)
    }

    /// Credentials in the order they were made, from behind a birth.
    pub async fn credentials(
        &self,
        account: &AccountSid,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<CredentialRecord>, RelayError> {
        let account = account.as_str();
        let key = |sid: &str| tables::credential(account, sid);
        self.listed(account, "", List::Credentials, key, after, limit, |_: &CredentialRecord| true).await
    }

    pub async fn update_credential(
        &self,
        account: &AccountSid,
        sid: &str,
        change: CredentialChange,
    ) -> Result<CredentialRecord, RelayError> {
        let key = tables::credential(account.as_str(), sid);
        for _ in 0..ATTEMPTS {
            let Stored { mut record, changed, .. } = self.stored_credential(account, sid).await?;
            change.clone().apply(&mut record);
            record.updated = self.clock.now();
            let mut batch = Batch::default();
            batch.at(key.clone(), changed);
            batch.put(key.clone(), record.encode());
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(record),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    pub async fn delete_credential(&self, account: &AccountSid, sid: &str) -> Result<(), RelayError> {
        let stored = self.stored_credential(account, sid).await?;
        let key = tables::credential(account.as_str(), sid);
        let mut batch = Batch::default();
        batch.delete(key);
        batch.delete(tables::listed(account.as_str(), "", List::Credentials, stored.record.birth));
        self.ledger.commit(batch).await?;
        Ok(())
    }

    pub async fn push_binding(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
    ) -> Result<PushBindingRecord, RelayError> {
        let sid = PushBindingSid::parse(sid).ok_or(RelayError::PushBindingNotFound)?;
        let key = tables::push_binding(account.as_str(), service.as_str(), sid.as_str());
        let row = typed::json::<PushBindingRecord>(&*self.ledger.snapshot(), &key).await?;
        row.map(|row| row.record).ok_or(RelayError::PushBindingNotFound)
    }

    /// Devices that match, in the order they were registered, from behind a birth.
    pub async fn push_bindings(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        matches: impl Fn(&PushBindingRecord) -> bool,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<PushBindingRecord>, RelayError> {
        let (account, service) = (account.as_str(), service.as_str());
        let key = |sid: &str| tables::push_binding(account, service, sid);
        self.listed(account, service, List::PushBindings, key, after, limit, matches).await
    }

    pub async fn delete_push_binding(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
    ) -> Result<(), RelayError> {
        let record = self.push_binding(account, service, sid).await?;
        let mut batch = Batch::default();
        batch.delete(tables::push_binding(account.as_str(), service.as_str(), sid));
        batch.delete(tables::listed(account.as_str(), service.as_str(), List::PushBindings, record.birth));
        self.ledger.commit(batch).await?;
        Ok(())
    }
}
