//! The names of a delivery in the log.

use trunkline_adapter::Address;

use crate::model::Dispatch;

/// A span with the names by which a message can be followed through the log.
pub(super) fn span(proxy: &Address, dispatch: &Dispatch) -> tracing::Span {
    match dispatch {
        Dispatch::Message { conversation, index, participant, receipt, .. } => {
            tracing::info_span!("delivery", lane = %proxy, %conversation, index, %participant, %receipt)
        }
        Dispatch::Notice { .. } => tracing::info_span!("notice", lane = %proxy),
        Dispatch::Reply { .. } => tracing::info_span!("reply", lane = %proxy),
    }
}
