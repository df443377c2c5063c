//! One send: one request to the Messages resource, and what its answer means.

use std::error::Error;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use serde::Deserialize;
use trunkline_adapter::{Address, Blame, Cause, Class, Content, Failure, Kit, Outbound, Outcome, Scope};

use crate::errors;
use crate::settings::Account;

/// The parameter of our callback URL that carries the correlation text.
pub(crate) const CORRELATION: &str = "m";
/// Far above any answer of Twilio's; what is longer is not Twilio's.
const MOST_ANSWER: usize = 64 * 1024;
/// Longest wait we take from a provider, in seconds.
const MOST_WAIT: u64 = 3_600;
/// A sender's queue at Twilio holds hours: asking again at once would only be refused again.
const QUEUE_FULL: Duration = Duration::from_secs(60);

/// What every request to an account has in common.
pub(crate) struct Desk {
    url: Url,
    headers: HeaderMap,
}

impl Desk {
    /// Nothing when the account's settings make no request.
    pub(crate) fn new(account: &Account) -> Option<Desk> {
        let (sid, token) = (account.sid.first().expose(), account.tokens.first().expose());
        let url =
            Url::parse(&format!("{}/2010-04-01/Accounts/{sid}/Messages.json", account.base_url)).ok()?;
        let credentials = format!("Basic {}", STANDARD.encode(format!("{sid}:{token}")));
        let mut credentials = HeaderValue::try_from(credentials).ok()?;
        credentials.set_sensitive(true);
        let form = HeaderValue::from_static("application/x-www-form-urlencoded");
        let headers = HeaderMap::from_iter([(AUTHORIZATION, credentials), (CONTENT_TYPE, form)]);
        Some(Desk { url, headers })
    }
}

pub(crate) async fn send(desk: Option<&Desk>, kit: &Kit, outbound: &Outbound) -> Outcome {
    let Some(desk) = desk else {
        let cause = Cause::new("no request could be made: are base_url and account_sid right?");
        return Outcome::Rejected { blame: Blame::Operator, cause };
    };
    let mut request = reqwest::Request::new(Method::POST, desk.url.clone());
    *request.headers_mut() = desk.headers.clone();
    *request.body_mut() = Some(form(&kit.webhook_url, outbound).into());
    match kit.http.execute(request).await {
        Ok(response) => answer(response).await,
        Err(error) => unanswered(error),
    }
}

/// The parameters of the request.
fn form(webhook_url: &str, outbound: &Outbound) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.append_pair("To", recipient(outbound).as_str());
    form.append_pair("From", outbound.from.as_str());
    match &outbound.content {
        Content::Text { body } => {
            form.append_pair("Body", body);
        }
        Content::Media(file) => {
            if let Some(caption) = &file.caption {
                form.append_pair("Body", caption);
            }
            form.append_pair("MediaUrl", &file.link);
        }
        Content::Template(template) => {
            let variables =
                template.variables.iter().map(|(key, value)| (key.clone(), value.as_str().into()));
            let variables = serde_json::Value::Object(variables.collect());
            form.append_pair("ContentSid", &template.sid);
            form.append_pair("ContentVariables", &variables.to_string());
        }
    }
    form.append_pair("StatusCallback", &callback(webhook_url, &outbound.correlation));
    form.finish()
}

/// Twilio takes numbers; a business-scoped id is sent to by the number it goes with, where we know one.
fn recipient(outbound: &Outbound) -> &Address {
    let to = &outbound.to;
    let numbered = |alias: &&Address| alias.channel() == to.channel() && alias.digits().is_some();
    match to.channel() {
        trunkline_adapter::Channel::Whatsapp if to.digits().is_none() => {
            outbound.aliases.iter().find(numbered).unwrap_or(to)
        }
        _ => to,
    }
}

/// Our webhook, with the correlation text in its query.
fn callback(webhook_url: &str, correlation: &str) -> String {
    let joint = if webhook_url.contains('?') { '&' } else { '?' };
    let escaped: String = form_urlencoded::byte_serialize(correlation.as_bytes()).collect();
    format!("{webhook_url}{joint}{CORRELATION}={escaped}")
}

/// No answer. Only a failure to connect proves that nothing was taken.
fn unanswered(error: reqwest::Error) -> Outcome {
    let error = error.without_url();
    let mut root: &dyn Error = &error;
    while let Some(source) = root.source() {
        root = source;
    }
    let cause = |what: &str| Cause::new(errors::clean(&format!("{what}: {root}")));
    if error.is_builder() {
        return Outcome::Rejected { blame: Blame::Operator, cause: cause("no request could be made") };
    }
    if error.is_connect() {
        return Outcome::Retryable { after: None, tries: None, cause: cause("no connection") };
    }
    Outcome::Unknown { cause: cause("no answer") }
}

async fn answer(mut response: reqwest::Response) -> Outcome {
    let status = response.status();
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
    let after = after.and_then(|text| text.trim().parse::<u64>().ok());
    let after = after.map(|seconds| Duration::from_secs(seconds.min(MOST_WAIT)));
    let mut body = Vec::new();
    // An answer that breaks off or never ends is one we cannot read; its status still counts.
    while let Ok(Some(chunk)) = response.chunk().await {
        if body.len() + chunk.len() > MOST_ANSWER {
            body.clear();
            break;
        }
        body.extend_from_slice(&chunk);
    }
    interpret(status, after, &body)
}

#[derive(Deserialize)]
struct Created {
    sid: String,
}

#[derive(Deserialize)]
struct Refused {
    code: u32,
    #[serde(default)]
    message: String,
}

/// What an answer means. Without Twilio's own JSON behind it, an error of the 5xx kind may come from a gateway that had
/// already passed the request on, so only a 503 that asks us to return counts as not taken.
fn interpret(status: StatusCode, after: Option<Duration>, body: &[u8]) -> Outcome {
    if status.is_success() {
        return match serde_json::from_slice(body) {
            Ok(Created { sid }) if plausible(&sid) => {
                Outcome::Accepted { id: sid, learned: Vec::new(), at: None }
            }
            _ => Outcome::Unknown { cause: Cause::new(format!("{status} without a message sid")) },
        };
    }
    let refused: Option<Refused> = serde_json::from_slice(body).ok();
    let code = refused.as_ref().map_or(0, |refused| refused.code);
    let text = match refused {
        Some(Refused { message, .. }) if !message.is_empty() => errors::clean(&message),
        Some(_) => errors::meaning(code).to_owned(),
        None => format!("answered {status}"),
    };
    if status == StatusCode::TOO_MANY_REQUESTS && !matches!(errors::known(code), Some(Class::Throttle))
        || code == 20429
    {
        // The limit is on requests of the account, whichever sender they are for.
        return Outcome::Throttled { after, scope: Scope::Account, cause: Cause { code, text } };
    }
    let class = errors::known(code).unwrap_or_else(|| by_status(status, code != 0, after.is_some()));
    let after = after.or((code == 21611).then_some(QUEUE_FULL));
    errors::blame(Failure { class, code, text, after }.outcome())
}

/// The class of an answer whose code says nothing to us. `spoken`: it is Twilio's JSON.
fn by_status(status: StatusCode, spoken: bool, asked_to_wait: bool) -> Class {
    match status.as_u16() {
        401 | 403 => Class::Auth,
        // Redirects and missing pages: the base URL is not Twilio's API.
        300..=399 | 404 | 405 => Class::Config,
        408 => Class::Unknown,
        400..=499 => Class::Permanent,
        500 | 503 if spoken => Class::Retry(0),
        503 if asked_to_wait => Class::Retry(0),
        _ => Class::Unknown,
    }
}

/// Whether a text can be a provider id.
fn plausible(sid: &str) -> bool {
    (2..=64).contains(&sid.len()) && sid.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn outcome(status: u16, after: Option<u64>, body: &str) -> Outcome {
        interpret(StatusCode::from_u16(status).unwrap(), after.map(Duration::from_secs), body.as_bytes())
    }

    #[test]
    fn the_correlation_text_is_escaped_into_the_callback() {
        assert_eq!(
            callback("https://b.example/in/us", "IM1:MB2&x=1"),
            "https://b.example/in/us?m=IM1%3AMB2%26x%3D1"
        );
        assert_eq!(callback("https://b.example/in?a=1", "x"), "https://b.example/in?a=1&m=x");
    }

    #[test]
    fn an_id_is_reached_by_its_number_where_one_is_known() {
        let parse = |text| Address::parse(text).unwrap();
        let mut outbound = Outbound {
            from: parse("whatsapp:+15550002222"),
            to: parse("whatsapp:US.900100"),
            aliases: vec![parse("+15550009999"), parse("whatsapp:+15550001111")],
            content: Content::Text { body: String::new() },
            correlation: String::new(),
        };
        assert_eq!(recipient(&outbound).as_str(), "whatsapp:+15550001111");
        outbound.aliases.clear();
        assert_eq!(recipient(&outbound).as_str(), "whatsapp:US.900100");
        outbound.to = parse("whatsapp:+15550003333");
        outbound.aliases.push(parse("whatsapp:+15550001111"));
        assert_eq!(recipient(&outbound).as_str(), "whatsapp:+15550003333");
    }

    #[test]
    fn a_template_goes_by_its_sid() {
        let parse = |text| Address::parse(text).unwrap();
        let template = trunkline_adapter::Template {
            sid: "HX1".to_owned(),
            variables: vec![("1".to_owned(), "A & B".to_owned())],
            named: None,
            text: "Hi A & B".to_owned(),
        };
        let outbound = Outbound {
            from: parse("whatsapp:+15550002222"),
            to: parse("whatsapp:+15550003333"),
            aliases: Vec::new(),
            content: Content::Template(template),
            correlation: "x".to_owned(),
        };
        let sent = form("https://b.example/in", &outbound);
        let pairs: Vec<_> = form_urlencoded::parse(sent.as_bytes()).into_owned().collect();
        let of = |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
        assert_eq!(
            (of("ContentSid"), of("ContentVariables"), of("Body")),
            (Some("HX1"), Some(r#"{"1":"A & B"}"#), None)
        );
    }

    struct Nothing;

    impl trunkline_adapter::MediaReader for Nothing {
        fn open(&self) -> trunkline_adapter::BoxFuture<'_, std::io::Result<Stream>> {
            Box::pin(async { Err(std::io::ErrorKind::NotFound.into()) })
        }
    }

    type Stream = futures_util::stream::BoxStream<'static, std::io::Result<bytes::Bytes>>;

    #[test]
    fn a_file_goes_by_its_link_with_the_text_beside_it() {
        let parse = |text| Address::parse(text).unwrap();
        let sent = |caption: Option<&str>| {
            let file = trunkline_adapter::MediaFile {
                key: "k".to_owned(),
                size: 1,
                content_type: "image/png".to_owned(),
                filename: Some("a.png".to_owned()),
                caption: caption.map(str::to_owned),
                link: "https://b.example/media/x?y=1&z=2".to_owned(),
                reader: std::sync::Arc::new(Nothing),
            };
            let outbound = Outbound {
                from: parse("+15550002222"),
                to: parse("+15550003333"),
                aliases: Vec::new(),
                content: Content::Media(file),
                correlation: "x".to_owned(),
            };
            let form = form("https://b.example/in", &outbound);
            let pairs: Vec<_> = form_urlencoded::parse(form.as_bytes()).into_owned().collect();
            let of =
                |name: &str| pairs.iter().find(|(key, _)| key == name).map(|(_, value)| value.to_owned());
            (of("MediaUrl").unwrap(), of("Body"))
        };
        let link = "https://b.example/media/x?y=1&z=2".to_owned();
        assert_eq!(sent(Some("hi")), (link.clone(), Some("hi".to_owned())));
        assert_eq!(sent(None), (link, None));
    }

    #[test]
    fn gateways_and_twilio_are_told_apart() {
        let page = "<html>bad gateway</html>";
        for (status, after, body, safe) in [
            (500, None, r#"{"code":20500,"message":"x"}"#, true),
            (500, None, r#"{"code":12,"message":"x"}"#, true),
            (503, None, r#"{"code":20503}"#, true),
            (503, Some(3), page, true),
            (503, None, page, false),
            (500, None, page, false),
            (502, None, page, false),
            (504, Some(3), page, false),
            (502, None, r#"{"code":12,"message":"x"}"#, false),
            (408, None, page, false),
        ] {
            let outcome = outcome(status, after, body);
            assert_eq!(matches!(outcome, Outcome::Retryable { .. }), safe, "{status} {body}");
            assert_eq!(matches!(outcome, Outcome::Unknown { .. }), !safe, "{status} {body}");
        }
    }

    #[test]
    fn refusals_find_who_must_act() {
        for (status, body, expected) in [
            (401, r#"{"code":20003,"message":"Authenticate"}"#, Blame::Operator),
            (401, "no", Blame::Operator),
            (307, "", Blame::Operator),
            (404, "", Blame::Operator),
            (400, r#"{"code":21610,"message":"x"}"#, Blame::Recipient),
            (400, r#"{"code":21211,"message":"x"}"#, Blame::Recipient),
            (400, r#"{"code":21617,"message":"x"}"#, Blame::Message),
            (400, r#"{"code":29999,"message":"new"}"#, Blame::Message),
        ] {
            match outcome(status, None, body) {
                Outcome::Rejected { blame, .. } => assert_eq!(blame, expected, "{status} {body}"),
                other => panic!("{status} {body}: {other:?}"),
            }
        }
    }

    #[test]
    fn throttles_know_what_must_slow_down() {
        let second = Some(Duration::from_secs(1));
        let queue = outcome(429, None, r#"{"code":21611,"message":"x"}"#);
        assert!(matches!(queue, Outcome::Throttled { after: Some(QUEUE_FULL), scope: Scope::Lane, .. }));
        let plain = outcome(429, Some(1), "slow down");
        assert!(matches!(plain, Outcome::Throttled { after, scope: Scope::Account, .. } if after == second));
        let spoken = outcome(429, Some(1), r#"{"code":20429,"message":"Too Many Requests"}"#);
        assert!(matches!(spoken, Outcome::Throttled { after, scope: Scope::Account, .. } if after == second));
    }

    #[test]
    fn success_needs_a_sid() {
        assert!(
            matches!(outcome(201, None, r#"{"sid":"SM1"}"#), Outcome::Accepted { id, .. } if id == "SM1")
        );
        for body in ["", "{}", r#"{"sid":""}"#, r#"{"sid":"a b"}"#, r#"{"sid":7}"#, "<html>"] {
            assert!(matches!(outcome(201, None, body), Outcome::Unknown { .. }), "{body}");
        }
    }
}
