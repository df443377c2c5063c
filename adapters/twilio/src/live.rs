//! The working adapter: its senders, its way out, its way in.

use std::collections::HashMap;

use trunkline_adapter::{
    Adapter, Address, BoxFuture, Capabilities, Kit, MediaSource, Outbound, Outcome, Received, Refusal,
    Webhook, WebhookRequest,
};

use crate::media::Files;
use crate::send::Desk;
use crate::settings::Account;
use crate::{capability, receive, send};

pub(crate) struct Live {
    account: Account,
    desk: Option<Desk>,
    proxies: HashMap<Address, Capabilities>,
    files: Files,
    kit: Kit,
}

impl Live {
    pub(crate) fn new(account: Account, proxies: &[Address], kit: Kit) -> Live {
        let proxies = proxies.iter().map(|proxy| (proxy.clone(), capability::of(proxy))).collect();
        Live { desk: Desk::new(&account), files: Files::new(&account), account, proxies, kit }
    }
}

impl Adapter for Live {
    fn capabilities(&self, proxy: &Address) -> Option<&Capabilities> {
        self.proxies.get(proxy)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        Box::pin(send::send(self.desk.as_ref(), &self.kit, outbound))
    }

    fn webhook(&self) -> Option<&dyn Webhook> {
        Some(self)
    }

    fn media(&self) -> Option<&dyn MediaSource> {
        Some(&self.files)
    }
}

impl Webhook for Live {
    fn receive(&self, request: &WebhookRequest) -> Result<Received, Refusal> {
        receive::receive(&self.account, request)
    }
}
