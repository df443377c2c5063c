//! Every kind of adapter there is. To add one, add it here.

use trunkline_adapter::AdapterKind;

/// The kinds, by the name that `kind = "…"` uses.
pub fn kinds() -> Vec<&'static dyn AdapterKind> {
    vec![
        &trunkline_twilio::Twilio,
        &trunkline_whatsapp::Whatsapp,
        &trunkline_messenger::Messenger,
        &trunkline_sdk::Sdk,
    ]
}
