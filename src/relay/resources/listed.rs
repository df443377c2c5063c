//! Lists in the order of birth whose records are found by SID.

use crate::ledger::key::Key;
use crate::ledger::tables::{self, List};
use crate::ledger::typed;
use crate::model::Json;
use crate::relay::{Relay, RelayError};

/// Most places read for one page of a filtered list, so that a filter that matches nothing cannot read everything.
const MOST_READ: usize = 10_000;

impl Relay {
    /// Records that match, oldest first, from behind a birth. `service` is empty for lists of the account.
    #[expect(clippy::too_many_arguments, reason = "one place that walks every such list")]
    pub(in crate::relay) async fn listed<T: Json>(
        &self,
        account: &str,
        service: &str,
        list: List,
        key: impl Fn(&str) -> Key,
        after: Option<u64>,
        limit: usize,
        matches: impl Fn(&T) -> bool,
    ) -> Result<Vec<T>, RelayError> {
        let prefix = tables::list(account, service, list);
        let snapshot = self.ledger.snapshot();
        let mut after = after.map(|birth| tables::listed(account, service, list, birth));
        let (mut found, mut read) = (Vec::new(), 0);
        while found.len() < limit && read < MOST_READ {
            let places = typed::listed(&*snapshot, &prefix, after.as_ref(), limit).await?;
            let Some((last, _)) = places.last() else { break };
            after = Some(tables::listed(account, service, list, *last));
            read += places.len();
            let all = places.len() < limit;
            for (_, sid) in places {
                let record = typed::json::<T>(&*snapshot, &key(&sid)).await?.map(|stored| stored.record);
                found.extend(record.filter(&matches));
            }
            if all {
                break;
            }
        }
        found.truncate(limit);
        Ok(found)
    }
}
