//! The kind `whatsapp`: what its settings are made into, live and simulated.

use std::sync::Arc;

use trunkline_adapter::{Adapter, AdapterKind, Address, Blueprint, Kit, Section, Simulator};

use crate::adapter::CloudApi;
use crate::settings::Settings;
use crate::simulator::CloudSimulator;

/// The kind `whatsapp`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Whatsapp;

impl AdapterKind for Whatsapp {
    fn name(&self) -> &'static str {
        "whatsapp"
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
        Arc::new(CloudApi::new(self.clone(), kit))
    }

    fn simulator(&self) -> Option<Arc<dyn Simulator>> {
        Some(Arc::new(CloudSimulator::new(self.clone())))
    }
}
