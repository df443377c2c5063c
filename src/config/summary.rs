//! What a good configuration amounts to, on one screen.

use std::collections::HashMap;
use std::fmt::Write;

use trunkline_adapter::{Address, Rate};

use super::load::Config;
use super::messaging_service::Inbound;

/// Rates in force where the file names none: an address' own, and the one per recipient.
pub type Usual = HashMap<Address, (Rate, Option<Rate>)>;

/// The screen that `check` shows: what is carried, how fast, and what to paste at each provider.
pub fn summary(config: &Config, usual: &Usual) -> String {
    let mut text = String::new();
    let base = config.server.base_url();
    let accounts: Vec<_> = config.accounts.iter().map(|account| account.sid.as_str()).collect();
    // Writing to a String cannot fail.
    let _ = writeln!(text, "REST API at {base}/v1 for {}", accounts.join(", "));
    if config.server.public_url.is_none() {
        let _ = writeln!(text, "server.public_url is not set: the URLs below are right on this machine only");
    }
    if config.adapters.is_empty() {
        let _ = writeln!(text, "no adapters: nothing is carried to or from a provider");
    }
    for adapter in &config.adapters {
        let _ = writeln!(text, "\nadapter {} ({})", adapter.name, adapter.kind.name());
        if let Some(path) = adapter.blueprint.door_path() {
            // `http` becomes `ws`, and `https` `wss`.
            let _ = writeln!(text, "  socket   {}{path}", base.replacen("http", "ws", 1));
            continue;
        }
        let hint = adapter.kind.webhook_hint();
        let _ = writeln!(text, "  webhook  {base}/webhooks/{}{hint}", adapter.name);
        let width = adapter.proxies.iter().map(|proxy| proxy.address.as_str().len()).max().unwrap_or(0);
        for proxy in &adapter.proxies {
            let address = proxy.address.as_str();
            let known = usual.get(&proxy.address);
            let rate = proxy.rate.or(known.map(|known| known.0));
            let _ = write!(text, "  proxy    {address:width$}  ");
            if !proxy.name.is_empty() {
                let _ = write!(text, "{}  ", proxy.name);
            }
            text.push_str(&rate.map_or_else(|| "the provider's usual rate".to_owned(), words));
            if let Some(pair) = proxy.pair_rate.or(known.and_then(|known| known.1)) {
                let _ = write!(text, ", to one recipient {}", words(pair));
            }
            text.push('\n');
        }
    }
    for service in &config.messaging_services {
        let _ = writeln!(text, "\nmessaging service {} {}", service.sid, service.name);
        let proxies: Vec<_> = service.proxies.iter().map(Address::as_str).collect();
        let _ = writeln!(text, "  proxies  {}", proxies.join(", "));
        let inbound = match &service.inbound {
            Inbound::Autocreate(None) => "makes a conversation in the default service".to_owned(),
            Inbound::Autocreate(Some(place)) => format!("makes a conversation in {place}"),
            Inbound::Forward(url) => format!("is posted to {url}"),
            Inbound::Drop => "is dropped and counted".to_owned(),
        };
        let _ = writeln!(text, "  inbound  what belongs to no conversation {inbound}");
    }
    text
}

fn words(rate: Rate) -> String {
    let seconds = rate.period.as_secs_f64();
    let (count, unit) = if seconds > 1.0 { (60.0 / seconds, "minute") } else { (1.0 / seconds, "second") };
    // Periods are whole nanoseconds, so that 1/3 comes back as 3.000000003.
    format!("{} a {unit}, {} at once", (count * 1000.0).round() / 1000.0, rate.burst)
}
