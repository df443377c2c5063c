//! The door: one path, the origins it welcomes, and everybody who came in by it.

use std::sync::Arc;

use futures_util::FutureExt;
use trunkline_adapter::{
    Adapter, Address, Blame, BoxFuture, Capabilities, Cause, Clock, Door, Outbound, Outcome, Reception,
    Stream,
};

use crate::registry::Registry;
use crate::session;
use crate::settings::Settings;

/// The live adapter. It has no proxy addresses, so there is nothing for a lane to send through it.
pub(crate) struct Gate {
    hall: Arc<Hall>,
}

struct Hall {
    settings: Settings,
    clock: Clock,
    registry: Arc<Registry>,
}

impl Gate {
    pub(crate) fn new(settings: Settings, clock: Clock) -> Gate {
        Gate { hall: Arc::new(Hall { settings, clock, registry: Registry::new() }) }
    }
}

impl Adapter for Gate {
    fn capabilities(&self, _: &Address) -> Option<&Capabilities> {
        None
    }

    fn send<'a>(&'a self, _: &'a Outbound) -> BoxFuture<'a, Outcome> {
        // No proxy address is this adapter's, so no lane asks. If one did, its messages would wait.
        let cause = Cause::new("this adapter sends nothing");
        std::future::ready(Outcome::Rejected { blame: Blame::Operator, cause }).boxed()
    }

    fn door(&self) -> Option<Arc<dyn Door>> {
        Some(self.hall.clone())
    }
}

impl Door for Hall {
    fn path(&self) -> &str {
        &self.settings.path
    }

    fn welcomes(&self, origin: Option<&str>) -> bool {
        self.settings.welcomes(origin)
    }

    fn serve(&self, stream: Box<dyn Stream>, reception: Reception) -> BoxFuture<'static, ()> {
        session::serve(stream, reception, self.clock, Arc::clone(&self.registry)).boxed()
    }

    fn sessions(&self) -> usize {
        self.registry.sessions()
    }

    fn recheck(&self) {
        self.registry.recheck();
    }

    fn drain(&self) -> BoxFuture<'static, ()> {
        let registry = Arc::clone(&self.registry);
        async move { registry.drain().await }.boxed()
    }
}
