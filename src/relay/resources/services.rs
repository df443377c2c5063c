//! Services of an account. The first one is made on demand and is the default.

use trunkline_adapter::Timestamp;

use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::key::{Range, Space};
use crate::ledger::{rider, tables, typed};
use crate::model::{AccountSettings, AccountSid, Json, ServiceRecord, ServiceSid};
use crate::relay::after::{After, Wake};
use crate::relay::decide::cleanup;
use crate::relay::{ATTEMPTS, Relay, RelayError, decide};
use crate::work::{self, Queue};

impl Relay {
    /// The account's default service; made when it is first asked for.
    pub async fn default_service(&self, account: &AccountSid) -> Result<ServiceRecord, RelayError> {
        for _ in 0..ATTEMPTS {
            let snapshot = self.ledger.snapshot();
            let settings_key = tables::account_settings(account.as_str());
            if let Some(settings) = typed::json::<AccountSettings>(&*snapshot, &settings_key).await? {
                return self.service(account, settings.record.default_service.as_str()).await;
            }
            let mut batch = Batch::default();
            let record = self.new_service(account, "Default Conversations Service".to_owned(), &mut batch);
            let settings = AccountSettings {
                default_service: record.sid.clone(),
                default_messaging_service: None,
                default_inactive_timer: None,
                default_closed_timer: None,
                rest: serde_json::Map::new(),
            };
            batch.absent(settings_key.clone());
            batch.put(settings_key, settings.encode());
            match rider::aside(self.ledger.commit(batch)).await {
                Ok(_) => return Ok(record),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// A service by SID.
    pub async fn service(&self, account: &AccountSid, sid: &str) -> Result<ServiceRecord, RelayError> {
        let key = tables::service(account.as_str(), sid);
        let row = typed::json::<ServiceRecord>(&*self.ledger.snapshot(), &key).await?;
        row.map(|row| row.record).ok_or(RelayError::ServiceNotFound)
    }

    /// All services, in the order they were made.
    pub async fn services(&self, account: &AccountSid) -> Result<Vec<ServiceRecord>, RelayError> {
        self.default_service(account).await?;
        let range = Range::prefix(&tables::services(account.as_str()));
        let page = typed::json_page::<ServiceRecord>(&*self.ledger.snapshot(), range, usize::MAX).await?;
        let mut services: Vec<ServiceRecord> = page.into_iter().map(|(_, stored)| stored.record).collect();
        services.sort_by_key(|service| service.birth);
        Ok(services)
    }

    pub async fn create_service(
        &self,
        account: &AccountSid,
        friendly_name: String,
    ) -> Result<ServiceRecord, RelayError> {
        // The default one comes first, so that no service becomes the default by being made early.
        self.default_service(account).await?;
        let mut batch = Batch { intake: true, ..Batch::default() };
        let record = self.new_service(account, friendly_name, &mut batch);
        self.ledger.commit(batch).await?;
        Ok(record)
    }

    /// Removes a service; what is in it follows, in pages.
    pub async fn delete_service(&self, account: &AccountSid, sid: &str) -> Result<(), RelayError> {
        let settings = self.stored_account_settings(account).await?;
        if settings.record.default_service.as_str() == sid {
            return Err(RelayError::DefaultService);
        }
        let key = tables::service(account.as_str(), sid);
        let row = typed::json::<ServiceRecord>(&*self.ledger.snapshot(), &key).await?;
        let row = row.ok_or(RelayError::ServiceNotFound)?;
        let mut batch = Batch::default();
        // It must not become the default one meanwhile.
        batch.at(tables::account_settings(account.as_str()), settings.changed);
        batch.at(key.clone(), row.changed);
        batch.delete(key);
        batch.delete(tables::hook(account.as_str(), sid));
        let payload = bytes::Bytes::copy_from_slice(sid.as_bytes());
        let (seq, now) = (self.ledger.birth(), self.clock.now());
        work::enqueue(&mut batch, account.as_str(), Queue::Cleanup, cleanup::LANE, sid, seq, now, payload);
        let after = After { wake: vec![Wake::cleanup(account, sid)], ..After::default() };
        match self.commits.commit(account, batch, after).await {
            Ok(()) => {
                if let Some(service) = ServiceSid::parse(sid) {
                    self.forget_hooks(account, &service).await;
                }
                Ok(())
            }
            Err(CommitError::Conflict(key)) if key.space() == Some(Space::Configuration) => {
                Err(RelayError::Contended)
            }
            // Somebody else removed it in this very moment.
            Err(CommitError::Conflict(_)) => Err(RelayError::ServiceNotFound),
            Err(other) => Err(other.into()),
        }
    }

    fn new_service(&self, account: &AccountSid, friendly_name: String, batch: &mut Batch) -> ServiceRecord {
        let now: Timestamp = self.clock.now();
        let record = ServiceRecord {
            sid: ServiceSid::new(&self.mint),
            friendly_name,
            birth: self.ledger.birth(),
            created: now,
            updated: now,
            rest: serde_json::Map::new(),
        };
        let key = tables::service(account.as_str(), record.sid.as_str());
        batch.absent(key.clone());
        batch.put(key, record.encode());
        decide::users::furnish(&self.context(account, false), &record.sid, batch);
        record
    }
}
