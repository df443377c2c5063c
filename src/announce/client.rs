//! Which user at a client is behind what a task does. A look at the task's own memory, where an event is told at all.

use std::sync::Arc;

tokio::task_local! {
    static IDENTITY: Arc<str>;
}

/// Does some work for a user at a client.
pub async fn on_behalf<T>(identity: Arc<str>, work: impl Future<Output = T>) -> T {
    IDENTITY.scope(identity, work).await
}

/// The user, where there is one.
pub(super) fn identity() -> Option<Arc<str>> {
    IDENTITY.try_with(Arc::clone).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::announce::common;
    use crate::model::{AccountSid, Event, Mint, ServiceSid};

    #[tokio::test]
    async fn an_event_says_who_is_behind_it() {
        let mint = Mint::seeded(1);
        let (account, service) = (AccountSid::new(&mint), ServiceSid::new(&mint));
        let named = || {
            let pairs = common(Event::MessageAdded, &account, &service, "SDK").0;
            pairs.into_iter().find(|(name, _)| name == "ClientIdentity").map(|(_, value)| value)
        };
        assert_eq!(named(), None);
        let told = on_behalf("ana".into(), async { named() }).await;
        assert_eq!(told.as_deref(), Some("ana"));
        assert_eq!(named(), None);
    }
}
