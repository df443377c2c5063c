//! Messenger's deliveries; the input is as of [`super::whatsapp`].

use std::cell::LazyCell;
use std::sync::Arc;

use trunkline_adapter::Adapter;
use trunkline_messenger::Messenger;

use super::{house, webhook, whatsapp};

thread_local! {
    static ADAPTER: LazyCell<Arc<dyn Adapter>> = LazyCell::new(|| {
        let settings = [("app_secret", webhook::SECRET), ("verify_token", webhook::TOKEN)];
        webhook::adapter(&Messenger, house::PAGE, &settings, &[("access_token", "page")], webhook::client())
    });
}

pub fn run(data: &[u8]) {
    ADAPTER.with(|adapter| whatsapp::graph(&***adapter, "messenger", data));
}
