//! `trunkline token`: an access token, as the official helper libraries make them. Nobody is asked: a token is a signature.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use trunkline_adapter::Clock;

use super::{CONFIG, Failure, say};
use crate::config::{self, SystemSecrets};
use crate::http::token::{LONGEST_LIFE, Wanted, sign};

#[derive(Args)]
pub struct TokenArgs {
    /// Who the client is.
    #[arg(long, value_name = "NAME")]
    identity: String,
    /// The service it comes to; the account's default one if absent.
    #[arg(long, value_name = "IS…")]
    chat_service_sid: Option<String>,
    /// How long the token is good: seconds, or with a unit, as in 90m; a day at most.
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = life)]
    ttl: Duration,
    /// The API key that signs; the first one of the first account that has any if absent.
    #[arg(long, value_name = "SK…")]
    key: Option<String>,
    #[arg(long, value_name = "FILE", default_value = CONFIG)]
    config: PathBuf,
}

/// Prints a token.
pub fn token(args: &TokenArgs) -> Result<(), Failure> {
    if args.identity.is_empty() {
        return Err(Failure { code: 2, text: "--identity must not be empty".to_owned() });
    }
    let kinds = crate::app::registry::kinds();
    let loaded =
        config::load(&args.config, &kinds, Arc::new(SystemSecrets::serving())).map_err(|refused| {
            let lines: Vec<_> = refused.lines.iter().map(ToString::to_string).collect();
            Failure::config(lines.join("\n"))
        })?;
    let accounts = loaded.config.accounts.iter();
    let mut keys = accounts.flat_map(|account| account.api_keys.iter().map(move |key| (account, key)));
    let found = keys.find(|(_, key)| args.key.as_ref().is_none_or(|wanted| *wanted == key.sid));
    let (account, key) = found.ok_or_else(|| {
        Failure::config(match &args.key {
            Some(key) => format!("the configuration has no API key {key}"),
            None => "the configuration has no API key to sign with: add [[account.api_key]]".to_owned(),
        })
    })?;
    let wanted = Wanted {
        account: &account.sid,
        key: &key.sid,
        identity: &args.identity,
        service: args.chat_service_sid.as_deref(),
        life: args.ttl,
    };
    say(&format!("{}\n", sign(&wanted, key.secret.first(), Clock::system().now())))
}

/// Reads a life: seconds, or a number with a unit.
fn life(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|unit: char| unit.is_ascii_alphabetic());
    let unit = match &text[digits.len()..] {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        _ => return Err("write it like 3600, 90m or 1h".to_owned()),
    };
    let seconds: u64 = digits.parse().map_err(|_| "write it like 3600, 90m or 1h".to_owned())?;
    let life = Duration::from_secs(seconds.saturating_mul(unit));
    if life.is_zero() || life > LONGEST_LIFE {
        return Err("must lie between 1 second and 24 hours".to_owned());
    }
    Ok(life)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lives() {
        for (text, seconds) in
            [("1", 1), ("3600", 3600), ("90s", 90), ("90m", 5400), ("24h", 86400), ("1d", 86400)]
        {
            assert_eq!(life(text), Ok(Duration::from_secs(seconds)), "{text}");
        }
        for text in
            ["", "h", "0", "-1", "+ 1", "1w", "1 h", "25h", "86401", "99999999999999999999", "1.5h", "ä"]
        {
            assert!(life(text).is_err(), "{text}");
        }
    }
}
