//! What accounts and services tell, and to whom: the rows, and the memory that follows them in the same turn.

use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::{tables, typed};
use crate::model::{AccountSid, HookSettings, Json, ServiceSid};
use crate::relay::command::HookChange;
use crate::relay::lasting::Lasting;
use crate::relay::{ATTEMPTS, Relay, RelayError};

impl Relay {
    /// The event webhooks of an account, or of one of its services.
    pub async fn hook_settings(
        &self,
        account: &AccountSid,
        service: Option<&ServiceSid>,
    ) -> Result<HookSettings, RelayError> {
        let key = tables::hook(account.as_str(), name(service));
        let row = typed::json::<HookSettings>(&*self.ledger.snapshot(), &key).await?;
        Ok(row.map_or_else(HookSettings::default, |row| row.record))
    }

    /// Changes them. What is decided after the answer knows them as they are now.
    pub async fn update_hook_settings(
        &self,
        account: &AccountSid,
        service: Option<&ServiceSid>,
        change: HookChange,
    ) -> Result<HookSettings, RelayError> {
        let (ledger, hooks) = (self.ledger.clone(), self.hooks.clone());
        let (account, service) = (account.clone(), service.cloned());
        // Whoever asked may hang up, and memory must follow the rows all the same.
        Lasting::new(async move {
            hooks.load(&ledger, &account).await?;
            let _turn = hooks.turn().await;
            let key = tables::hook(account.as_str(), name(service.as_ref()));
            for _ in 0..ATTEMPTS {
                let snapshot = ledger.snapshot();
                let mut batch = Batch::default();
                if let Some(service) = &service {
                    // One that is being removed gets no webhooks, or they would outlive it.
                    let service = tables::service(account.as_str(), service.as_str());
                    let row = snapshot.get(&service).await?.ok_or(RelayError::ServiceNotFound)?;
                    batch.at(service, row.changed);
                }
                let mut settings = match typed::json::<HookSettings>(&*snapshot, &key).await? {
                    Some(row) => {
                        batch.at(key.clone(), row.changed);
                        row.record
                    }
                    None => {
                        batch.absent(key.clone());
                        HookSettings::default()
                    }
                };
                change.clone().apply(&mut settings);
                batch.put(key.clone(), settings.encode());
                match ledger.commit(batch).await {
                    Ok(_) => {
                        hooks.set(&account, service.as_ref(), Some(settings.clone()));
                        return Ok(settings);
                    }
                    Err(CommitError::Conflict(_)) => {}
                    Err(other) => return Err(other.into()),
                }
            }
            Err(RelayError::Contended)
        })
        .await
    }

    /// Takes the webhooks of a removed service out of memory; their row went with the service's.
    pub(in crate::relay) async fn forget_hooks(&self, account: &AccountSid, service: &ServiceSid) {
        let _turn = self.hooks.turn().await;
        self.hooks.set(account, Some(service), None);
    }
}

fn name(service: Option<&ServiceSid>) -> &str {
    service.map_or("", |service| service.as_str())
}
