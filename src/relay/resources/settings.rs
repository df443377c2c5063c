//! What services and accounts have set for themselves. A service's settings come with its default roles: a service that
//! was made by a release without roles gets both when they are first asked for.

use crate::ledger::engine::{Batch, CommitError, Snapshot};
use crate::ledger::typed::Stored;
use crate::ledger::{rider, tables, typed};
use crate::model::{
    AccountSettings, AccountSid, Json, RoleKind, RoleRecord, RoleSid, ServiceSettings, ServiceSid,
};
use crate::relay::command::{AccountChange, ServiceChange};
use crate::relay::decide;
use crate::relay::error::RoleUse;
use crate::relay::{ATTEMPTS, Relay, RelayError};

impl Relay {
    /// A service's settings.
    pub async fn service_settings(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
    ) -> Result<ServiceSettings, RelayError> {
        Ok(self.stored_settings(account, service).await?.record)
    }

    pub(in crate::relay) async fn stored_settings(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
    ) -> Result<Stored<ServiceSettings>, RelayError> {
        let key = tables::service_settings(account.as_str(), service.as_str());
        for attempt in 0..ATTEMPTS {
            let snapshot = self.ledger.snapshot();
            if let Some(settings) = typed::json::<ServiceSettings>(&*snapshot, &key).await? {
                return Ok(settings);
            }
            let service_key = tables::service(account.as_str(), service.as_str());
            let row = snapshot.get(&service_key).await?.ok_or(RelayError::ServiceNotFound)?;
            let context = self.context(account, attempt > 0);
            let mut batch = Batch::default();
            batch.at(service_key, row.changed);
            batch.absent(key.clone());
            decide::users::furnish(&context, service, &mut batch);
            match rider::aside(self.ledger.commit(batch)).await {
                Ok(_) | Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// Changes a service's settings. Default roles must be there, and of the right kind.
    pub async fn update_service_settings(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        change: ServiceChange,
    ) -> Result<ServiceSettings, RelayError> {
        let key = tables::service_settings(account.as_str(), service.as_str());
        for _ in 0..ATTEMPTS {
            let Stored { record: mut settings, changed, .. } = self.stored_settings(account, service).await?;
            let mut batch = Batch::default();
            batch.at(key.clone(), changed);
            let snapshot = self.ledger.snapshot();
            for (sid, place, purpose) in [
                (&change.creator_role, &mut settings.creator_role, RoleUse::Creator),
                (&change.conversation_role, &mut settings.conversation_role, RoleUse::Conversation),
                (&change.service_role, &mut settings.service_role, RoleUse::Service),
            ] {
                let Some(sid) = sid else { continue };
                *place = rely_on_role(&*snapshot, account, service, sid, purpose, &mut batch).await?;
            }
            settings.reachability = change.reachability.unwrap_or(settings.reachability);
            change.notifications.apply(&mut settings.notifications);
            batch.put(key.clone(), settings.encode());
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(settings),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// What an account has set for itself.
    pub async fn account_settings(&self, account: &AccountSid) -> Result<AccountSettings, RelayError> {
        Ok(self.stored_account_settings(account).await?.record)
    }

    pub(in crate::relay) async fn stored_account_settings(
        &self,
        account: &AccountSid,
    ) -> Result<Stored<AccountSettings>, RelayError> {
        self.default_service(account).await?;
        let key = tables::account_settings(account.as_str());
        let settings = typed::json(&*self.ledger.snapshot(), &key).await?;
        settings.ok_or(RelayError::ServiceNotFound)
    }

    /// Changes what an account has set for itself; holds for what is created afterwards.
    pub async fn update_account_settings(
        &self,
        account: &AccountSid,
        change: AccountChange,
    ) -> Result<AccountSettings, RelayError> {
        self.require_messaging_service(account, change.messaging_service.set().map(String::as_str))?;
        let key = tables::account_settings(account.as_str());
        for _ in 0..ATTEMPTS {
            let Stored { record: mut settings, changed, .. } = self.stored_account_settings(account).await?;
            let mut batch = Batch::default();
            batch.at(key.clone(), changed);
            if let Some(sid) = &change.default_service {
                let service_key = tables::service(account.as_str(), sid.as_str());
                let row = self.ledger.snapshot().get(&service_key).await?;
                // The default service must never be one that is being removed.
                batch.at(service_key, row.ok_or(RelayError::ServiceNotFound)?.changed);
                settings.default_service = sid.clone();
            }
            let AccountChange { messaging_service, inactive_timer, closed_timer, .. } = change.clone();
            settings.default_messaging_service =
                messaging_service.apply(settings.default_messaging_service.take());
            settings.default_inactive_timer = inactive_timer.apply(settings.default_inactive_timer.take());
            settings.default_closed_timer = closed_timer.apply(settings.default_closed_timer.take());
            batch.put(key.clone(), settings.encode());
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(settings),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }
}

/// The role a request names, if it is there and can be used so; the batch holds only as long as it is.
pub(in crate::relay) async fn rely_on_role(
    snapshot: &dyn Snapshot,
    account: &AccountSid,
    service: &ServiceSid,
    sid: &str,
    purpose: RoleUse,
    batch: &mut Batch,
) -> Result<RoleSid, RelayError> {
    let sid = RoleSid::parse(sid).ok_or(RelayError::NoSuchRole(purpose))?;
    let key = tables::role(account.as_str(), service.as_str(), sid.as_str());
    let wanted = if purpose == RoleUse::Service { RoleKind::Service } else { RoleKind::Conversation };
    let found = typed::json::<RoleRecord>(snapshot, &key).await?;
    let found = found.filter(|role| role.record.kind == wanted).ok_or(RelayError::NoSuchRole(purpose))?;
    batch.at(key, found.changed);
    Ok(found.record.sid)
}
