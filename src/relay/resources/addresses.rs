//! Configurations of our addresses: what becomes of messages that belong to no conversation.

use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::key::Space;
use crate::ledger::tables::{self, List};
use crate::ledger::typed::{self, Stored};
use crate::model::address_configuration::canonical;
use crate::model::{
    AccountSid, AddressConfiguration, AddressConfigurationSid, AddressKind, Json, ServiceSid,
};
use crate::relay::command::{AddressChange, NewAddress};
use crate::relay::{ATTEMPTS, Relay, RelayError};

impl Relay {
    pub async fn create_address(
        &self,
        account: &AccountSid,
        new: NewAddress,
    ) -> Result<AddressConfiguration, RelayError> {
        self.require_service(account, new.change.service.set()).await?;
        let now = self.clock.now();
        let mut record = AddressConfiguration {
            sid: AddressConfigurationSid::new(&self.mint),
            kind: new.kind,
            address: new.address,
            friendly_name: None,
            address_country: new.country,
            auto_creation: crate::model::AutoCreation::default(),
            birth: self.ledger.birth(),
            created: now,
            updated: now,
            rest: serde_json::Map::new(),
        };
        new.change.apply(&mut record);
        let mut batch = Batch { intake: true, ..Batch::default() };
        let name = tables::configured_address(account.as_str(), &record.address);
        batch.absent(name.clone());
        batch.put(name, record.sid.as_str().to_owned());
        batch.put(tables::address_configuration(account.as_str(), record.sid.as_str()), record.encode());
        let place = tables::listed(account.as_str(), "", List::Addresses, record.birth);
        batch.put(place, record.sid.as_str().to_owned());
        match self.ledger.commit(batch).await {
            Ok(_) => Ok(record),
            Err(CommitError::Conflict(key)) if key.space() == Some(Space::ConfiguredAddress) => {
                Err(RelayError::AddressConfigured)
            }
            Err(other) => Err(other.into()),
        }
    }

    /// A configuration by its SID or its address.
    pub async fn address(
        &self,
        account: &AccountSid,
        name: &str,
    ) -> Result<AddressConfiguration, RelayError> {
        Ok(self.stored_address(account, name).await?.record)
    }

    async fn stored_address(
        &self,
        account: &AccountSid,
        name: &str,
    ) -> Result<Stored<AddressConfiguration>, RelayError> {
        let snapshot = self.ledger.snapshot();
        let sid = match AddressConfigurationSid::parse(name) {
            Some(sid) => sid.as_str().to_owned(),
            None => {
                let key = tables::configured_address(account.as_str(), &canonical(name));
                let row = snapshot.get(&key).await?.ok_or(RelayError::AddressNotFound)?;
                String::from_utf8_lossy(&row.payload).into_owned()
            }
        };
        let key = tables::address_configuration(account.as_str(), &sid);
        typed::json(&*snapshot, &key).await?.ok_or(RelayError::AddressNotFound)
    }

    /// Configurations in the order they were made, from behind a birth.
    pub async fn addresses(
        &self,
        account: &AccountSid,
        kind: Option<AddressKind>,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<AddressConfiguration>, RelayError> {
        let account = account.as_str();
        let key = |sid: &str| tables::address_configuration(account, sid);
        let matches = |record: &AddressConfiguration| kind.is_none_or(|kind| kind == record.kind);
        self.listed(account, "", List::Addresses, key, after, limit, matches).await
    }

    pub async fn update_address(
        &self,
        account: &AccountSid,
        name: &str,
        change: AddressChange,
    ) -> Result<AddressConfiguration, RelayError> {
        self.require_service(account, change.service.set()).await?;
        for _ in 0..ATTEMPTS {
            let Stored { mut record, changed, .. } = self.stored_address(account, name).await?;
            change.clone().apply(&mut record);
            record.updated = self.clock.now();
            let key = tables::address_configuration(account.as_str(), record.sid.as_str());
            let mut batch = Batch::default();
            batch.at(key.clone(), changed);
            batch.put(key, record.encode());
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(record),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    pub async fn delete_address(&self, account: &AccountSid, name: &str) -> Result<(), RelayError> {
        for _ in 0..ATTEMPTS {
            let Stored { record, changed, .. } = self.stored_address(account, name).await?;
            let key = tables::address_configuration(account.as_str(), record.sid.as_str());
            let mut batch = Batch::default();
            // Else a change of this moment would bring half of it back.
            batch.at(key.clone(), changed);
            batch.delete(key);
            batch.delete(tables::configured_address(account.as_str(), &record.address));
            batch.delete(tables::listed(account.as_str(), "", List::Addresses, record.birth));
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    async fn require_service(
        &self,
        account: &AccountSid,
        service: Option<&ServiceSid>,
    ) -> Result<(), RelayError> {
        match service {
            Some(service) => self.service(account, service.as_str()).await.map(|_| ()),
            None => Ok(()),
        }
    }
}
