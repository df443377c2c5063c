//! The kind `twilio`: what its settings are made into, live and simulated.

use std::sync::Arc;

use trunkline_adapter::{Adapter, AdapterKind, Address, Blueprint, Kit, Section, Simulator};

use crate::live::Live;
use crate::settings::Account;
use crate::simulator::Provider;

/// The kind `twilio`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Twilio;

impl AdapterKind for Twilio {
    fn name(&self) -> &'static str {
        "twilio"
    }

    // Five retries on every kind of failure; without it the provider tries once more, and only when it cannot connect.
    fn webhook_hint(&self) -> &'static str {
        "#rc=5&rp=all"
    }

    fn blueprint(
        &self,
        settings: &mut Section,
        proxies: &mut [(Address, Section)],
    ) -> Option<Arc<dyn Blueprint>> {
        let proxies = proxies.iter().map(|(address, _)| address.clone()).collect();
        Some(Arc::new(Plan { account: Account::read(settings)?, proxies }))
    }
}

/// An account and the senders that are configured there.
struct Plan {
    account: Account,
    proxies: Vec<Address>,
}

impl Blueprint for Plan {
    fn build(&self, kit: Kit) -> Arc<dyn Adapter> {
        Arc::new(Live::new(self.account.clone(), &self.proxies, kit))
    }

    fn simulator(&self) -> Option<Arc<dyn Simulator>> {
        Some(Arc::new(Provider::new(self.account.clone())))
    }
}
