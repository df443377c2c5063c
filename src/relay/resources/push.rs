//! What pushes need: an account's credentials, and the devices that clients registered.

use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::tables::{self, List};
use crate::ledger::typed::{self, Stored};
use crate::model::push::PushKind;
use crate::model::{
    AccountSid, CredentialRecord, CredentialSid, Json, PushBindingRecord, PushBindingSid, ServiceSid,
};
use crate::relay::command::{CredentialChange, NewPushBinding};
use crate::relay::{ATTEMPTS, Relay, RelayError};

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

    /// Registers a device; one that is registered already keeps its place and takes what is new.
    pub async fn register_push(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        new: NewPushBinding,
    ) -> Result<PushBindingRecord, RelayError> {
        let credential = new.credential.as_deref().and_then(CredentialSid::parse);
        let service_key = tables::service(account.as_str(), service.as_str());
        for _ in 0..ATTEMPTS {
            let row = self.ledger.snapshot().get(&service_key).await?.ok_or(RelayError::ServiceNotFound)?;
            let known = self.devices(account, service, &new.identity, new.kind, &new.endpoint).await?;
            let now = self.clock.now();
            let mut batch = Batch { intake: true, ..Batch::default() };
            // A service that is being removed gets nothing new, or it would outlive it.
            batch.at(service_key.clone(), row.changed);
            let mut record = known.into_iter().next().unwrap_or_else(|| PushBindingRecord {
                sid: PushBindingSid::new(&self.mint),
                identity: new.identity.clone(),
                kind: new.kind,
                endpoint: new.endpoint.clone(),
                credential: None,
                message_types: Vec::new(),
                birth: self.ledger.birth(),
                created: now,
                updated: now,
                rest: serde_json::Map::new(),
            });
            record.credential.clone_from(&credential);
            record.message_types.clone_from(&new.message_types);
            record.updated = now;
            let (within, of) = (account.as_str(), service.as_str());
            batch.put(tables::push_binding(within, of, record.sid.as_str()), record.encode());
            let place = tables::listed(within, of, List::PushBindings, record.birth);
            batch.put(place, record.sid.as_str().to_owned());
            match self.ledger.commit(batch).await {
                Ok(_) => {
                    self.devices_changed(account, service, &record.identity);
                    return Ok(record);
                }
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    fn devices_changed(&self, account: &AccountSid, service: &ServiceSid, identity: &str) {
        if let Some(known) = self.online.get() {
            known.devices_changed(account, service, identity);
        }
    }

    /// Forgets a device of somebody by its name.
    pub async fn forget_push(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        identity: &str,
        kind: PushKind,
        endpoint: &str,
    ) -> Result<(), RelayError> {
        for device in self.devices(account, service, identity, kind, endpoint).await? {
            self.delete_push_binding(account, service, device.sid.as_str()).await?;
        }
        Ok(())
    }

    async fn devices(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        identity: &str,
        kind: PushKind,
        endpoint: &str,
    ) -> Result<Vec<PushBindingRecord>, RelayError> {
        let same = |device: &PushBindingRecord| {
            device.identity == identity && device.kind == kind && device.endpoint == endpoint
        };
        self.push_bindings(account, service, same, None, 100).await
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
        self.devices_changed(account, service, &record.identity);
        Ok(())
    }
}
