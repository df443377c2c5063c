//! Users of a service: made, found, listed, changed, removed; and those who come with a participant.

use super::settings::rely_on_role;
use crate::announce::Cause;
use crate::ledger::engine::{Batch, CommitError, Snapshot};
use crate::ledger::key::{Key, Range};
use crate::ledger::tables::{self, List};
use crate::ledger::typed::{self, Stored};
use crate::model::{
    AccountSid, Compact, Event, Head, Json, Leaving, PersonRow, PushBindingRecord, ServiceSid, UserRecord,
    UserSid,
};
use crate::relay::after::{After, Wake};
use crate::relay::asking::Whose;
use crate::relay::command::{NewUser, UserChange};
use crate::relay::decide::cleanup;
use crate::relay::error::RoleUse;
use crate::relay::{ATTEMPTS, Relay, RelayError, decide};
use crate::work::{self, Queue};

/// Rows read at a time.
const PAGE: usize = 500;

impl Relay {
    pub async fn create_user(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        new: NewUser,
        cause: Cause,
    ) -> Result<UserRecord, RelayError> {
        let service_key = tables::service(account.as_str(), service.as_str());
        for attempt in 0..ATTEMPTS {
            let settings = self.service_settings(account, service).await?;
            let snapshot = self.ledger.snapshot();
            let row = snapshot.get(&service_key).await?.ok_or(RelayError::ServiceNotFound)?;
            if identified(&*snapshot, account, service, &new.identity).await?.is_some() {
                return Err(RelayError::UserTaken);
            }
            let mut batch = Batch { intake: true, ..Batch::default() };
            // A service that is being removed gets nobody new, or they would outlive it.
            batch.at(service_key.clone(), row.changed);
            let role = match &new.role {
                None => settings.service_role,
                Some(sid) => {
                    rely_on_role(&*snapshot, account, service, sid, RoleUse::Service, &mut batch).await?
                }
            };
            let context = self.context(account, attempt > 0);
            let mut user = decide::users::user(&context, service, new.identity.clone(), role, &mut batch);
            user.friendly_name = new.friendly_name.clone();
            user.attributes = new.attributes.clone().unwrap_or(user.attributes);
            batch.put(tables::user(account.as_str(), service.as_str(), user.sid.as_str()), user.encode());
            let wake = self.tell_user_added(account, service, cause, &user, &mut batch);
            match self.commits.commit(account, batch, After { wake, ..After::default() }).await {
                Ok(()) => return Ok(user),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// A user by SID or identity.
    pub async fn user(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
    ) -> Result<UserRecord, RelayError> {
        Ok(self.stored_user(account, service, name).await?.record)
    }

    async fn stored_user(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
    ) -> Result<Stored<UserRecord>, RelayError> {
        let snapshot = self.ledger.snapshot();
        let sid = match UserSid::parse(name) {
            Some(sid) => sid,
            None => {
                let found = identified(&*snapshot, account, service, name).await?;
                found.ok_or(RelayError::UserNotFound)?.1
            }
        };
        let key = tables::user(account.as_str(), service.as_str(), sid.as_str());
        typed::json(&*snapshot, &key).await?.ok_or(RelayError::UserNotFound)
    }

    /// Whether a user is online, and has a device that gets pushes; nothing where the service does not want it known, or the
    /// user never came.
    pub async fn reachability(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        user: &UserRecord,
    ) -> Result<Option<(bool, bool)>, RelayError> {
        let online = self.online.get().and_then(|known| known.online(account, service, &user.identity));
        let Some(online) = online else { return Ok(None) };
        if !self.service_settings(account, service).await?.reachability {
            return Ok(None);
        }
        let own = |device: &PushBindingRecord| device.identity == user.identity;
        let devices = self.push_bindings(account, service, own, None, 1).await?;
        Ok(Some((online, !devices.is_empty())))
    }

    /// The SID of the user with an identity, if there is one.
    pub async fn user_sid(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        identity: &str,
    ) -> Result<Option<UserSid>, RelayError> {
        let found = identified(&*self.ledger.snapshot(), account, service, identity).await?;
        Ok(found.map(|(_, sid, _)| sid))
    }

    /// Users in the order they were made, from behind a birth.
    pub async fn users(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        after: Option<u64>,
        limit: usize,
    ) -> Result<Vec<UserRecord>, RelayError> {
        let (account, service) = (account.as_str(), service.as_str());
        let key = |sid: &str| tables::user(account, service, sid);
        self.listed(account, service, List::Users, key, after, limit, |_: &UserRecord| true).await
    }

    pub async fn update_user(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
        change: UserChange,
        cause: Cause,
    ) -> Result<UserRecord, RelayError> {
        let whose = Whose { account, service, cause };
        if self.asks(whose, Event::UserUpdate) {
            let user = self.user(account, service, name).await?;
            self.ask_user_update(whose, &user, &change).await?;
        }
        for _ in 0..ATTEMPTS {
            let Stored { record: mut user, changed, .. } = self.stored_user(account, service, name).await?;
            let key = tables::user(account.as_str(), service.as_str(), user.sid.as_str());
            let mut batch = Batch::default();
            batch.at(key.clone(), changed);
            if let Some(sid) = &change.role {
                let snapshot = self.ledger.snapshot();
                user.role =
                    rely_on_role(&*snapshot, account, service, sid, RoleUse::Service, &mut batch).await?;
            }
            let UserChange { friendly_name, attributes, .. } = change.clone();
            user.friendly_name = friendly_name.apply(user.friendly_name.take());
            user.attributes = attributes.unwrap_or(user.attributes);
            user.updated = self.clock.now();
            batch.put(key, user.encode());
            let wake = self.tell_user_updated(account, service, cause, &user, &mut batch).await?;
            match self.commits.commit(account, batch, After { wake, ..After::default() }).await {
                Ok(()) => return Ok(user),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// Removes a user at once; out of the conversations they go in pages.
    pub async fn delete_user(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        name: &str,
    ) -> Result<(), RelayError> {
        for _ in 0..ATTEMPTS {
            let Stored { record: user, changed, .. } = self.stored_user(account, service, name).await?;
            let (of, within, sid) = (account.as_str(), service.as_str(), user.sid.as_str());
            let mut batch = Batch::default();
            batch.at(tables::user(of, within, sid), changed);
            batch.delete(tables::user(of, within, sid));
            batch.delete(tables::user_identity(of, within, &user.identity));
            batch.delete(tables::listed(of, within, List::Users, user.birth));
            let leaving = Leaving { service: service.clone(), identity: user.identity.clone() };
            let (seq, now, payload) = (self.ledger.birth(), self.clock.now(), leaving.encode());
            work::enqueue(&mut batch, of, Queue::Cleanup, cleanup::LANE, sid, seq, now, payload);
            let after = After { wake: vec![Wake::cleanup(account, sid)], ..After::default() };
            match self.commits.commit(account, batch, after).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Conflict(_)) => {}
                Err(other) => return Err(other.into()),
            }
        }
        Err(RelayError::Contended)
    }

    /// Refuses an identity that is in as many open conversations as it may be. What joins at the same moment is not
    /// counted, so the limit may be passed by as many.
    pub(in crate::relay) async fn require_room(
        &self,
        account: &AccountSid,
        service: &ServiceSid,
        identity: &str,
    ) -> Result<(), RelayError> {
        let prefix = tables::persons(account.as_str(), &tables::identity_name(identity));
        let snapshot = self.ledger.snapshot();
        // All of them first: few people are in so many that it matters which of them are open.
        let most = self.limits.conversations_per_user();
        let all = snapshot.scan(Range::prefix(&prefix), most).await?;
        if all.len() < most {
            return Ok(());
        }
        let (mut range, mut open) = (Range::prefix(&prefix), 0);
        loop {
            let page = typed::json_page::<PersonRow>(&*snapshot, range, PAGE).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            range = Range::after(&prefix, last);
            for (_, row) in page.iter().filter(|(_, row)| &row.record.service == service) {
                let key = tables::head(account.as_str(), row.record.conversation.as_str());
                let head = snapshot.get(&key).await?;
                let head = head.map(|row| Head::decode(&row.payload)).transpose();
                let head = head.map_err(crate::ledger::LedgerError::from)?;
                open += usize::from(head.is_some_and(|head| head.state.open()));
                if open >= most {
                    return Err(RelayError::TooManyConversations);
                }
            }
        }
    }
}

/// The row that makes an identity somebody's: its key, whose it is, and its number.
pub(in crate::relay) async fn identified(
    snapshot: &dyn Snapshot,
    account: &AccountSid,
    service: &ServiceSid,
    identity: &str,
) -> Result<Option<(Key, UserSid, u64)>, RelayError> {
    let key = tables::user_identity(account.as_str(), service.as_str(), identity);
    let Some(row) = snapshot.get(&key).await? else { return Ok(None) };
    let sid = std::str::from_utf8(&row.payload).ok().and_then(UserSid::parse);
    let sid = sid.ok_or_else(|| {
        crate::ledger::engine::ReadError::Damaged("an identity's row names no user".to_owned())
    })?;
    Ok(Some((key, sid, row.changed)))
}
