//! Decisions about who is known to a service: the roles it is born with, users, and users born with a participant.

use super::Context;
use crate::ledger::engine::Batch;
use crate::ledger::tables::{self, List};
use crate::model::role::{self, Standard};
use crate::model::{Json, RoleKind, RoleRecord, RoleSid, ServiceSettings, ServiceSid, UserRecord, UserSid};

/// Writes a service's settings, and the roles it is born with.
pub fn furnish(context: &Context<'_>, service: &ServiceSid, batch: &mut Batch) -> ServiceSettings {
    let mut made = |standard: Standard| {
        let permissions = standard.permissions.iter().map(|name| (*name).to_owned()).collect();
        role(context, service, standard.name.to_owned(), standard.kind, permissions, batch).sid
    };
    let creator_role = made(role::CHANNEL_ADMIN);
    let conversation_role = made(role::CHANNEL_USER);
    made(role::SERVICE_ADMIN);
    let service_role = made(role::SERVICE_USER);
    let settings = ServiceSettings {
        creator_role,
        conversation_role,
        service_role,
        reachability: false,
        notifications: crate::model::service::Notifications::default(),
        rest: serde_json::Map::new(),
    };
    let key = tables::service_settings(context.account.as_str(), service.as_str());
    batch.put(key, settings.encode());
    settings
}

/// Writes a new role.
pub fn role(
    context: &Context<'_>,
    service: &ServiceSid,
    friendly_name: String,
    kind: RoleKind,
    permissions: Vec<String>,
    batch: &mut Batch,
) -> RoleRecord {
    let (account, service) = (context.account.as_str(), service.as_str());
    let record = RoleRecord {
        sid: RoleSid::new(context.mint),
        friendly_name,
        kind,
        permissions,
        birth: context.births.birth(),
        created: context.now,
        updated: context.now,
        rest: serde_json::Map::new(),
    };
    batch.put(tables::role(account, service, record.sid.as_str()), record.encode());
    let place = tables::listed(account, service, List::Roles, record.birth);
    batch.put(place, record.sid.as_str().to_owned());
    record
}

/// Writes a user whose identity nobody has.
pub fn user(
    context: &Context<'_>,
    service: &ServiceSid,
    identity: String,
    role: RoleSid,
    batch: &mut Batch,
) -> UserRecord {
    let (account, service) = (context.account.as_str(), service.as_str());
    let record = UserRecord {
        sid: UserSid::new(context.mint),
        identity,
        friendly_name: None,
        attributes: "{}".to_owned(),
        role,
        birth: context.births.birth(),
        created: context.now,
        updated: context.now,
        rest: serde_json::Map::new(),
    };
    let claim = tables::user_identity(account, service, &record.identity);
    batch.absent(claim.clone());
    batch.put(claim, record.sid.as_str().to_owned());
    batch.put(tables::user(account, service, record.sid.as_str()), record.encode());
    let place = tables::listed(account, service, List::Users, record.birth);
    batch.put(place, record.sid.as_str().to_owned());
    record
}
