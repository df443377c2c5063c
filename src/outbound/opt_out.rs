//! Who asked not to be written to.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use trunkline_adapter::Address;

use crate::ledger::engine::Snapshot;
use crate::ledger::key::{Range, take_name};
use crate::ledger::{LedgerError, tables};

/// Rows read at once.
const PAGE: usize = 4096;

/// The set of (proxy address, address) pairs that opted out of one account, by proxy address. The ledger's rows are the truth; whoever
/// writes or deletes one updates this set before anybody is answered, so that nothing leaves after a STOP was answered.
#[derive(Clone, Default)]
pub struct OptOuts(Arc<RwLock<HashMap<String, HashSet<String>>>>);

impl OptOuts {
    /// Reads every row of an account.
    pub async fn load(snapshot: &dyn Snapshot, account: &str) -> Result<OptOuts, LedgerError> {
        let prefix = tables::opt_outs(account);
        let mut range = Range::prefix(&prefix);
        let mut pairs: HashMap<String, HashSet<String>> = HashMap::new();
        loop {
            let rows = snapshot.scan(range, PAGE).await?;
            for (key, _) in &rows {
                let pair = key
                    .rest()
                    .and_then(take_name)
                    .and_then(|(proxy, rest)| take_name(rest).map(|(address, _)| (proxy, address)));
                if let Some((proxy, address)) = pair {
                    pairs.entry(proxy).or_default().insert(address);
                }
            }
            match rows.last() {
                Some((last, _)) if rows.len() == PAGE => range = Range::after(&prefix, last),
                _ => return Ok(OptOuts(Arc::new(RwLock::new(pairs)))),
            }
        }
    }

    /// Nothing leaves for this address any more.
    pub fn add(&self, proxy: &Address, address: &Address) {
        let mut pairs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        pairs.entry(proxy.as_str().to_owned()).or_default().insert(address.as_str().to_owned());
    }

    /// It may be written to again.
    pub fn remove(&self, proxy: &Address, address: &Address) {
        let mut pairs = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(addresses) = pairs.get_mut(proxy.as_str()) {
            addresses.remove(address.as_str());
        }
    }

    /// Whether an address opted out.
    pub fn contains(&self, proxy: &Address, address: &Address) -> bool {
        let pairs = self.0.read().unwrap_or_else(PoisonError::into_inner);
        pairs.get(proxy.as_str()).is_some_and(|addresses| addresses.contains(address.as_str()))
    }
}
