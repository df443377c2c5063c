//! Who asked not to be written to.

use std::collections::HashSet;
use std::sync::{Arc, PoisonError, RwLock};

use trunkline_adapter::Address;

use crate::ledger::engine::Snapshot;
use crate::ledger::key::{Range, take_name};
use crate::ledger::{LedgerError, tables};

/// Rows read at once.
const PAGE: usize = 4096;

/// The set of (proxy address, address) pairs that opted out of one account. The ledger's rows are the truth; whoever
/// writes or deletes one updates this set before anybody is answered, so that nothing leaves after a STOP was answered.
#[derive(Clone, Default)]
pub struct OptOuts(Arc<RwLock<HashSet<(String, String)>>>);

impl OptOuts {
    /// Reads every row of an account.
    pub async fn load(snapshot: &dyn Snapshot, account: &str) -> Result<OptOuts, LedgerError> {
        let prefix = tables::opt_outs(account);
        let mut range = Range::prefix(&prefix);
        let mut pairs = HashSet::new();
        loop {
            let rows = snapshot.scan(range, PAGE).await?;
            for (key, _) in &rows {
                let pair = key
                    .rest()
                    .and_then(take_name)
                    .and_then(|(proxy, rest)| take_name(rest).map(|(address, _)| (proxy, address)));
                pairs.extend(pair);
            }
            match rows.last() {
                Some((last, _)) if rows.len() == PAGE => range = Range::after(&prefix, last),
                _ => return Ok(OptOuts(Arc::new(RwLock::new(pairs)))),
            }
        }
    }

    /// Nothing leaves for this address any more.
    pub fn add(&self, proxy: &Address, address: &Address) {
        let pair = (proxy.as_str().to_owned(), address.as_str().to_owned());
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(pair);
    }

    /// It may be written to again.
    pub fn remove(&self, proxy: &Address, address: &Address) {
        let pair = (proxy.as_str().to_owned(), address.as_str().to_owned());
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(&pair);
    }

    /// Whether an address opted out.
    pub fn contains(&self, proxy: &Address, address: &Address) -> bool {
        let set = self.0.read().unwrap_or_else(PoisonError::into_inner);
        !set.is_empty() && set.contains(&(proxy.as_str().to_owned(), address.as_str().to_owned()))
    }
}
