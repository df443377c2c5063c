//! The ledger's binding rows in key order, a page at a time.

use crate::ledger::engine::{ReadError, Row, Snapshot};
use crate::ledger::key::{Key, Range, Space};

/// Rows read at a time.
const PAGE: usize = 512;

/// Walks from account to account, and within each over its bindings only, so that nothing else is read.
pub struct LedgerRows<'a> {
    snapshot: &'a dyn Snapshot,
    /// Where the next account is looked for; nothing when there is none.
    ahead: Option<Range>,
    /// What is left of the account at hand.
    at_hand: Option<(Key, Range)>,
}

impl<'a> LedgerRows<'a> {
    pub fn new(snapshot: &'a dyn Snapshot) -> LedgerRows<'a> {
        LedgerRows { snapshot, ahead: Some(Range::accounts()), at_hand: None }
    }

    /// The next rows; empty at the end.
    pub async fn page(&mut self) -> Result<Vec<(Key, Row)>, ReadError> {
        loop {
            if let Some((prefix, range)) = self.at_hand.take() {
                let page = self.snapshot.scan(range, PAGE).await?;
                if page.len() == PAGE
                    && let Some((last, _)) = page.last()
                {
                    let rest = Range::after(&prefix, last);
                    self.at_hand = Some((prefix, rest));
                }
                if !page.is_empty() {
                    return Ok(page);
                }
            } else if let Some(range) = self.ahead.take() {
                let Some((key, _)) = self.snapshot.scan(range, 1).await?.pop() else { return Ok(Vec::new()) };
                let parts = key.parts().ok_or_else(|| ReadError::Damaged(format!("{key:?}")))?;
                let prefix = Key::new(&parts.account, "", Space::Binding, b"");
                self.at_hand = Some((prefix.clone(), Range::prefix(&prefix)));
                self.ahead = Some(Range::accounts_behind(&parts.account));
            } else {
                return Ok(Vec::new());
            }
        }
    }
}
