//! The kind `sdk`: what its settings are made into. There is no provider to simulate.

use std::sync::Arc;

use trunkline_adapter::{Adapter, AdapterKind, Address, Blueprint, Kit, Section, Simulator};

use crate::door::Gate;
use crate::settings::Settings;

/// The kind `sdk`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sdk;

impl AdapterKind for Sdk {
    fn name(&self) -> &'static str {
        "sdk"
    }

    fn has_proxies(&self) -> bool {
        false
    }

    fn blueprint(
        &self,
        settings: &mut Section,
        proxies: &mut [(Address, Section)],
    ) -> Option<Arc<dyn Blueprint>> {
        Some(Arc::new(Settings::read(settings, proxies)))
    }
}

impl Blueprint for Settings {
    fn build(&self, kit: Kit) -> Arc<dyn Adapter> {
        Arc::new(Gate::new(self.clone(), kit.clock))
    }

    fn door_path(&self) -> Option<&str> {
        Some(&self.path)
    }

    fn simulator(&self) -> Option<Arc<dyn Simulator>> {
        None
    }
}
