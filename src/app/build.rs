//! From checked settings to live adapters: what did not change is kept as it is.

use std::collections::HashMap;
use std::time::Duration;

use trunkline_adapter::{Address, Clock, Crowd, Kit};

use super::roster::Live;
use crate::config::{Config, Inbound, MediaPlace, TemplateConfig, Usual};
use crate::media;
use crate::model::{AccountSid, ServiceSid};
use crate::outbound::{LanePlan, Policies, Unknown};
use crate::relay::decide::Roster;
use crate::relay::{KeywordSettings, LimitSettings, MessagingService, Proxy, Template, UnboundInbound};
use crate::webhooks;

/// How long a provider may take to take a message. Longer than any of them documents, shorter than a person waits.
const PROVIDER: Duration = Duration::from_secs(30);
const CONNECT: Duration = Duration::from_secs(10);

/// The client all adapters share.
///
/// # Errors
/// When the system's trust store cannot be read.
pub fn client() -> Result<reqwest::Client, reqwest::Error> {
    // The one crypto library; a second call in the same process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder()
        .timeout(PROVIDER)
        .connect_timeout(CONNECT)
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .tcp_nodelay(true)
        // A lane makes as many as it has requests out, and those not needed any more go away by their age.
        .pool_max_idle_per_host(usize::MAX)
        // Nothing is ever sent again but by a lane, and being ready to would copy each request.
        .retry(reqwest::retry::never().max_retries_per_request(0))
        .user_agent(concat!("trunkline/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// The adapters of a configuration. One whose settings, secrets and webhook URL are those of a live one is that one,
/// whatever it is called now.
pub fn adapters(
    config: &Config,
    live: &HashMap<String, Live>,
    http: &reqwest::Client,
    clock: Clock,
    base: &str,
) -> HashMap<String, Live> {
    let mut built = HashMap::new();
    for wanted in &config.adapters {
        let webhook_url = format!("{base}/webhooks/{}", wanted.name);
        let same =
            |known: &&Live| known.fingerprint == wanted.fingerprint && known.webhook_url == webhook_url;
        let adapter = match live.values().find(same) {
            Some(known) => known.clone(),
            None => {
                let kit = Kit { http: http.clone(), clock, webhook_url: webhook_url.clone() };
                let adapter = wanted.blueprint.build(kit);
                Live { kind: wanted.kind.name(), adapter, fingerprint: wanted.fingerprint, webhook_url }
            }
        };
        built.insert(wanted.name.clone(), adapter);
    }
    built
}

/// The lanes of a configuration.
pub fn lanes(config: &Config, live: &HashMap<String, Live>) -> Vec<LanePlan> {
    let mut plans = Vec::new();
    for wanted in &config.adapters {
        let Some(adapter) = live.get(&wanted.name) else { continue };
        for proxy in &wanted.proxies {
            // A blueprint builds an adapter for exactly the proxy addresses it was given.
            let Some(capabilities) = adapter.adapter.capabilities(&proxy.address) else { continue };
            plans.push(LanePlan {
                proxy: proxy.address.clone(),
                name: proxy.name.clone(),
                adapter_name: wanted.name.clone(),
                kind: adapter.kind,
                adapter: adapter.adapter.clone(),
                rate: proxy.rate.unwrap_or(capabilities.rate),
                pair_rate: proxy.pair_rate.or(capabilities.pair_rate),
            });
        }
    }
    plans
}

/// What the relay knows of the proxy addresses.
pub fn proxies(config: &Config, live: &HashMap<String, Live>) -> HashMap<Address, Proxy> {
    let mut proxies = HashMap::new();
    for wanted in &config.adapters {
        let Some(adapter) = live.get(&wanted.name) else { continue };
        for proxy in &wanted.proxies {
            let Some(able) = adapter.adapter.capabilities(&proxy.address) else { continue };
            let known = Proxy {
                keywords: able.keywords,
                correlated: able.receipts.correlated,
                group_texts: able.group_texts,
            };
            proxies.insert(proxy.address.clone(), known);
        }
    }
    proxies
}

/// The messaging services of a configuration.
pub fn messaging_services(config: &Config) -> Vec<MessagingService> {
    let services = config.messaging_services.iter().map(|service| MessagingService {
        sid: service.sid.clone(),
        proxies: service.proxies.clone(),
        inbound: match &service.inbound {
            Inbound::Autocreate(place) => {
                UnboundInbound::Autocreate(place.as_deref().and_then(ServiceSid::parse))
            }
            Inbound::Forward(_) => UnboundInbound::Forward,
            Inbound::Drop => UnboundInbound::Drop,
        },
    });
    services.collect()
}

pub fn keywords(config: &Config) -> KeywordSettings {
    let words = &config.opt_out;
    KeywordSettings {
        enabled: words.enabled,
        stop: words.stop.clone(),
        start: words.start.clone(),
        help: words.help.clone(),
    }
}

/// What concerns event webhooks.
pub fn webhooks(config: &Config) -> webhooks::Settings {
    let on_timeout = match config.webhooks.on_timeout {
        crate::config::OnTimeout::Proceed => webhooks::OnTimeout::Proceed,
        crate::config::OnTimeout::Refuse => webhooks::OnTimeout::Refuse,
    };
    let tokens = config.accounts.iter();
    let tokens = tokens
        .filter_map(|account| Some((AccountSid::parse(&account.sid)?, account.auth_token.clone())))
        .collect();
    webhooks::Settings { retry_for: config.webhooks.retry_for, on_timeout, tokens }
}

/// How many of something there may be.
pub fn limits(config: &Config) -> LimitSettings {
    let limits = &config.limits;
    let roster = Roster { participants: limits.participants, outside: limits.outside_participants };
    LimitSettings { roster, conversations_per_user: limits.conversations_per_user }
}

/// Where files lie.
pub fn media_place(config: &Config) -> media::Place {
    match &config.media.place {
        MediaPlace::Files => media::Place::Files,
        MediaPlace::Bucket { bucket, prefix } => {
            media::Place::Bucket { bucket: bucket.clone(), prefix: prefix.clone() }
        }
    }
}

/// How many people may be connected.
pub fn crowd(config: &Config) -> Crowd {
    Crowd { total: config.limits.connections, per_identity: config.limits.connections_per_identity }
}

/// What content SIDs stand for.
pub fn templates(config: &Config) -> HashMap<String, Template> {
    let one = |one: &TemplateConfig| {
        (one.sid.clone(), Template { body: one.body.clone(), whatsapp: one.whatsapp.clone() })
    };
    config.templates.iter().map(one).collect()
}

pub fn policies(config: &Config) -> Policies {
    let unknown = match config.queue.unknown {
        crate::config::UnknownOutcome::Resend => Unknown::Resend,
        crate::config::UnknownOutcome::Fail => Unknown::Fail,
    };
    Policies { expire: config.queue.expire, unknown }
}

/// The rates of proxy addresses where the file names none. Builds the adapters for it and touches no network.
///
/// # Errors
/// When the system's trust store cannot be read.
pub fn usual_rates(config: &Config) -> Result<Usual, reqwest::Error> {
    let base = config.server.base_url();
    let live = adapters(config, &HashMap::new(), &client()?, Clock::system(), &base);
    let plans = lanes(config, &live);
    Ok(plans.into_iter().map(|plan| (plan.proxy, (plan.rate, plan.pair_rate))).collect())
}
