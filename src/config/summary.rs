//! What a good configuration amounts to, on one screen.

use std::fmt::Write;

use trunkline_adapter::Rate;

use super::load::Config;

/// The screen that `check` shows: what is carried, and what to paste at each provider.
pub fn summary(config: &Config) -> String {
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
        let hint = adapter.kind.webhook_hint();
        let _ = writeln!(text, "  webhook  {base}/webhooks/{}{hint}", adapter.name);
        let width = adapter.proxies.iter().map(|proxy| proxy.address.as_str().len()).max().unwrap_or(0);
        for proxy in &adapter.proxies {
            let address = proxy.address.as_str();
            let _ = write!(text, "  proxy    {address:width$}  {}  {}", proxy.name, words(proxy.rate));
            if let Some(pair) = proxy.pair_rate {
                let _ = write!(text, ", to one recipient {}", words(Some(pair)));
            }
            text.push('\n');
        }
    }
    text
}

fn words(rate: Option<Rate>) -> String {
    let Some(rate) = rate else { return "the provider's usual rate".to_owned() };
    let seconds = rate.period.as_secs_f64();
    let (count, unit) = if seconds > 1.0 { (60.0 / seconds, "minute") } else { (1.0 / seconds, "second") };
    // Periods are whole nanoseconds, so that 1/3 comes back as 3.000000003.
    format!("{} a {unit}, {} at once", (count * 1000.0).round() / 1000.0, rate.burst)
}
