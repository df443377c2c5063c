//! Roles of a service: made, found, listed, changed, removed.

use crate::ledger::engine::{Batch, CommitError};
use crate::ledger::tables::{self, List};
use crate::ledger::typed::{self, Stored};
use crate::model::{AccountSid, Conversation, Json, RoleRecord, RoleSid, ServiceSid};
use crate::relay::command::NewRole;
use crate::relay::decide;
use crate::relay::permissions::Granted;
use crate::relay::{ATTEMPTS, Relay, RelayError};

impl Relay {
    pub async fn create_role(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        new: NewRole,
    ) -> Result<RoleRecord, RelayError> {
        // The default ones come first, also in the list.
        self.stored_settings(account, service).await?;
        let service_key = tables::service(account.as_str(), service.as_str());
        let row = self.ledger.snapshot().get(&service_key).await?.ok_or(RelayError::ServiceNotFound)?;
        let mut batch = Batch { intake: true, ..Batch::default() };
        // A service that is being removed gets nothing new, or it would outlive it.
        batch.at(service_key, row.changed);
        let NewRole { friendly_name, kind, permissions } = new;
        let context = self.context(account, false);
        let record = decide::users::role(&context, service, friendly_name, kind, permissions, &mut batch);
        match self.ledger.commit(batch).await {
            Ok(_) => Ok(record),
            Err(CommitError::Conflict(_)) => Err(RelayError::ServiceNotFound),
            Err(other) => Err(other.into()),
        }
    }

    pub async fn role(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
    ) -> Result<RoleRecord, RelayError> {
        self.stored_settings(account, service).await?;
        Ok(self.stored_role(account, service, sid).await?.record)
    }

    async fn stored_role(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
    ) -> Result<Stored<RoleRecord>, RelayError> {
        let sid = RoleSid::parse(sid).ok_or(RelayError::RoleNotFound)?;
        let key = tables::role(account.as_str(), service.as_str(), sid.as_str());
        typed::json(&*self.ledger.snapshot(), &key).await?.ok_or(RelayError::RoleNotFound)
    }

    /// What somebody's roles grant them now, in a conversation where one is named. A role that was removed grants nothing;
    /// somebody who is no user yet has what the service gives to newcomers.
    pub async fn granted(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        identity: &str,
        conversation: Option<&Conversation>,
    ) -> Result<Granted, RelayError> {
        let settings = self.service_settings(account, service).await?;
        let role = match self.user(account, service, identity).await {
            Ok(user) => user.role,
            Err(RelayError::UserNotFound) => settings.service_role,
            Err(other) => return Err(other),
        };
        let member = conversation.and_then(|found| {
            let mut people = found.members.iter().map(|member| &member.record);
            people.find(|person| person.identity.as_deref() == Some(identity))
        });
        let seat = match member.map(|member| member.role_sid.as_deref()) {
            None => None,
            Some(role) => {
                let role = role.unwrap_or(settings.conversation_role.as_str());
                Some(self.permissions_of(account, service, role).await?)
            }
        };
        let service = self.permissions_of(account, service, role.as_str()).await?;
        Ok(Granted { service, conversation: seat })
    }

    async fn permissions_of(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        role: &str,
    ) -> Result<Vec<String>, RelayError> {
        match self.stored_role(account, service, role).await {
            Ok(role) => Ok(role.record.permissions),
            Err(RelayError::RoleNotFound) => Ok(Vec::new()),
            Err(other) => Err(other),
        }
    }

    /// Roles in the order they were made, from behind a birth.
    pub async fn roles(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<RoleRecord>, RelayError> {
        self.stored_settings(account, service).await?;
        let (account, service) = (account.as_str(), service.as_str());
        let key = |sid: &str| tables::role(account, service, sid);
        self.listed(account, service, List::Roles, key, after, limit, |_: &RoleRecord| true).await
    }

    /// Replaces what a role permits; those who have it are bound by the new set at once.
    pub async fn update_role(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
        permissions: impl Fn(&RoleRecord) -> Option<Vec<String>>,
    ) -> Result<RoleRecord, RelayError> {
        let key = tables::role(account.as_str(), service.as_str(), sid);
        for _ in 0..ATTEMPTS {
            let Stored { record: mut role, changed, .. } = self.stored_role(account, service, sid).await?;
            role.permissions = permissions(&role).ok_or(RelayError::PermissionUnknown)?;
            role.updated = self.clock.now();
            let mut batch = Batch::default();
            batch.at(key.clone(), changed);
            batch.put(key.clone(), role.encode());
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(role),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// Removes a role, unless its service gives it to newcomers. Who has it keeps its SID, which permits nothing more.
    pub async fn delete_role(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        sid: &str,
    ) -> Result<(), RelayError> {
        for _ in 0..ATTEMPTS {
            let settings = self.stored_settings(account, service).await?;
            let role = self.stored_role(account, service, sid).await?;
            let given = &settings.record;
            if [&given.creator_role, &given.conversation_role, &given.service_role]
                .contains(&&role.record.sid)
            {
                return Err(RelayError::DefaultRole);
            }
            let (account, service) = (account.as_str(), service.as_str());
            let mut batch = Batch::default();
            batch.at(tables::service_settings(account, service), settings.changed);
            batch.at(tables::role(account, service, sid), role.changed);
            batch.delete(tables::role(account, service, sid));
            batch.delete(tables::listed(account, service, List::Roles, role.record.birth));
            match self.ledger.commit(batch).await {
                Ok(_) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }
}
