//! The kind `messenger`: what its settings are made into, live and simulated.

use std::sync::Arc;

use trunkline_adapter::{Adapter, AdapterKind, Address, Blueprint, Kit, Section, Simulator};

use crate::adapter::Pages;
use crate::settings::Settings;
use crate::simulator::PageSimulator;

/// The kind `messenger`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Messenger;

impl AdapterKind for Messenger {
    fn name(&self) -> &'static str {
        "messenger"
    }

    fn blueprint(
        &self,
        settings: &mut Section,
        proxies: &mut [(Address, Section)],
    ) -> Option<Arc<dyn Blueprint>> {
        Some(Arc::new(Settings::read(settings, proxies)?))
    }
}

impl Blueprint for Settings {
    fn build(&self, kit: Kit) -> Arc<dyn Adapter> {
        Arc::new(Pages::new(self.clone(), kit))
    }

    fn simulator(&self) -> Option<Arc<dyn Simulator>> {
        Some(Arc::new(PageSimulator::new(self.clone())))
    }
}
