//! Twilio's own side of the wire, for demos and tests.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Method, StatusCode, header};
use serde_json::{Value, json};
use trunkline_adapter::simulator::{
    FileAnswer, PhoneMessage, ProviderAnswer, ProviderRequest, Shelf, SignedRequest, Submission,
    SubmittedFile,
};
use trunkline_adapter::{Address, Channel, DeliveryStatus, Simulator, Timestamp, segment};

use crate::capability::{BODY, BODY_TOO_LONG};
use crate::settings::Account;
use crate::{errors, form, person, send, signature};

/// The provider of one account.
pub(crate) struct Provider {
    account: Account,
}

impl Provider {
    pub(crate) fn new(account: Account) -> Provider {
        Provider { account }
    }

    fn sid(&self) -> &str {
        self.account.sid.first().expose()
    }

    fn authorised(&self, request: &ProviderRequest) -> bool {
        let Some(header) = request.headers.get(header::AUTHORIZATION) else { return false };
        let credentials = header.to_str().ok().and_then(|text| text.strip_prefix("Basic "));
        let decoded = credentials.and_then(|text| STANDARD.decode(text).ok());
        let pair = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
        pair.as_deref().and_then(|pair| pair.split_once(':')).is_some_and(|(sid, token)| {
            self.account.sid.matches(sid.as_bytes()) & self.account.tokens.matches(token.as_bytes())
        })
    }

    /// A form webhook to `url`, signed.
    fn signed(&self, url: &str, params: &[(&str, &str)]) -> SignedRequest {
        let token = self.account.tokens.first().expose();
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(params);
        SignedRequest {
            method: Method::POST,
            url: url.to_owned(),
            headers: vec![
                ("content-type", "application/x-www-form-urlencoded; charset=UTF-8".to_owned()),
                ("user-agent", "TwilioProxy/1.1".to_owned()),
                (signature::HEADER, signature::sign(token, url, params)),
            ],
            body: Bytes::from(body.finish()),
        }
    }
}

/// Where the store of files is played, below the base URL.
const STORE: &str = "/store/";

fn web(url: &str) -> bool {
    url.starts_with("http://") || url.starts_with("https://")
}

fn link(url: &str) -> SubmittedFile {
    SubmittedFile::Link(url.to_owned())
}

fn refusal(status: StatusCode, code: u32, message: &str) -> ProviderAnswer {
    let more_info = format!("https://www.twilio.com/docs/errors/{code}");
    let body = json!({ "code": code, "message": message, "more_info": more_info, "status": status.as_u16() });
    ProviderAnswer { status, headers: Vec::new(), body: body.to_string() }
}

fn bad(code: u32) -> ProviderAnswer {
    refusal(StatusCode::BAD_REQUEST, code, errors::meaning(code))
}

impl Simulator for Provider {
    fn accept(&self, request: &ProviderRequest) -> Result<Submission, ProviderAnswer> {
        if !self.authorised(request) {
            return Err(refusal(StatusCode::UNAUTHORIZED, 20003, "Authenticate"));
        }
        let path = format!("/2010-04-01/Accounts/{}/Messages.json", self.sid());
        if request.path != path || request.method != Method::POST {
            return Err(refusal(StatusCode::NOT_FOUND, 20404, errors::meaning(20404)));
        }
        let fields = form::parse(&request.body).and_then(form::Fields::new).ok_or_else(|| bad(21602))?;
        let to = person::address(fields.get("To").ok_or_else(|| bad(21604))?).ok_or_else(|| bad(21211))?;
        let from =
            person::address(fields.get("From").ok_or_else(|| bad(21603))?).ok_or_else(|| bad(21212))?;
        // What a template says is known to its owner only: the phone shows which it is and what it was given.
        let template = fields.get("ContentSid").map(|sid| {
            format!("{sid} {}", fields.get("ContentVariables").unwrap_or_default()).trim_end().to_owned()
        });
        let media: Vec<SubmittedFile> = fields.get("MediaUrl").map(link).into_iter().collect();
        let none = || (!media.is_empty()).then(String::new);
        let text =
            fields.get("Body").map(str::to_owned).or(template).or_else(none).ok_or_else(|| bad(21602))?;
        let fetchable = |file: &SubmittedFile| matches!(file, SubmittedFile::Link(url) if web(url));
        if !media.iter().all(fetchable) {
            return Err(bad(21620));
        }
        if text.chars().count() > BODY {
            return Err(bad(BODY_TOO_LONG));
        }
        let callback = fields.get("StatusCallback").map(str::to_owned);
        if !callback.as_deref().is_none_or(web) {
            return Err(bad(21609));
        }
        let query = callback.as_deref().and_then(|url| url.split_once('?')).map(|(_, query)| query);
        let correlation = query.and_then(|query| form::query(query, send::CORRELATION));
        Ok(Submission { from, to, text, media, correlation, callback })
    }

    fn file_id(&self, serial: u64) -> String {
        format!("ME{serial:032x}")
    }

    fn files(&self, request: &ProviderRequest, shelf: &dyn Shelf) -> Option<FileAnswer> {
        let gone = || refusal(StatusCode::NOT_FOUND, 20404, errors::meaning(20404)).into();
        if let Some(id) = request.path.strip_prefix(STORE) {
            // A store that signs its own URLs and refuses a second kind of credentials, as the real one does.
            if request.headers.contains_key(header::AUTHORIZATION) {
                return Some(
                    refusal(StatusCode::BAD_REQUEST, 20001, "Only one auth mechanism allowed").into(),
                );
            }
            return Some(shelf.file(id).map_or_else(gone, FileAnswer::of));
        }
        let below = format!("/2010-04-01/Accounts/{}/Messages/", self.sid());
        let (_, id) = request.path.strip_prefix(&below)?.split_once("/Media/")?;
        if !self.authorised(request) {
            return Some(refusal(StatusCode::UNAUTHORIZED, 20003, "Authenticate").into());
        }
        if shelf.file(id).is_none() {
            return Some(gone());
        }
        let to = format!("{}{STORE}{id}", self.account.base_url);
        let headers = vec![("location", to)];
        Some(FileAnswer { status: StatusCode::TEMPORARY_REDIRECT, headers, body: Bytes::new() })
    }

    fn message_id(&self, serial: u64) -> String {
        format!("SM{serial:032x}")
    }

    fn accepted(&self, submission: &Submission, id: &str) -> ProviderAnswer {
        let sid = self.sid();
        let uri = format!("/2010-04-01/Accounts/{sid}/Messages/{id}");
        let body = json!({
            "account_sid": sid,
            "api_version": "2010-04-01",
            "body": submission.text,
            // The resource allows null dates; a pure function has no clock.
            "date_created": Value::Null,
            "date_sent": Value::Null,
            "date_updated": Value::Null,
            "direction": "outbound-api",
            "error_code": Value::Null,
            "error_message": Value::Null,
            "from": submission.from.as_str(),
            "messaging_service_sid": Value::Null,
            "num_media": submission.media.len().to_string(),
            "num_segments": segment::segments(&submission.text).1.to_string(),
            "price": Value::Null,
            "price_unit": Value::Null,
            "sid": id,
            "status": "queued",
            "subresource_uris": { "media": format!("{uri}/Media.json") },
            "to": submission.to.as_str(),
            "uri": format!("{uri}.json"),
        });
        ProviderAnswer { status: StatusCode::CREATED, headers: Vec::new(), body: body.to_string() }
    }

    fn throttled(&self) -> ProviderAnswer {
        let mut answer = refusal(StatusCode::TOO_MANY_REQUESTS, 20429, "Too Many Requests");
        answer.headers.push(("retry-after", "1".to_owned()));
        answer
    }

    fn message(&self, message: &PhoneMessage, webhook_url: &str) -> SignedRequest {
        let count = segment::segments(&message.text).1.to_string();
        let files = message.media.len().to_string();
        let folder = format!(
            "{}/2010-04-01/Accounts/{}/Messages/{}/Media",
            self.account.base_url,
            self.sid(),
            message.id
        );
        let named: Vec<_> = message
            .media
            .iter()
            .enumerate()
            .map(|(number, file)| {
                let url = (format!("MediaUrl{number}"), format!("{folder}/{}", file.id));
                (url, (format!("MediaContentType{number}"), file.content_type.clone()))
            })
            .collect();
        let mut params = vec![
            ("MessageSid", message.id.as_str()),
            ("SmsSid", &message.id),
            ("SmsMessageSid", &message.id),
            ("AccountSid", self.sid()),
            ("ApiVersion", "2010-04-01"),
            ("SmsStatus", "received"),
            ("From", message.from.as_str()),
            ("To", message.to.as_str()),
            ("Body", &message.text),
            ("NumMedia", &files),
            ("NumSegments", &count),
        ];
        for (url, content_type) in &named {
            params.push((url.0.as_str(), url.1.as_str()));
            params.push((content_type.0.as_str(), content_type.1.as_str()));
        }
        if let Some(name) = &message.name {
            params.push(("ProfileName", name));
        }
        match (message.from.channel(), message.from.digits()) {
            (Channel::Whatsapp, Some(digits)) => params.push(("WaId", digits)),
            (Channel::Whatsapp, None) => params.push(("ExternalUserId", message.from.value())),
            (Channel::Messenger, _) => {}
            // What Twilio knows of a number's place; blank where it knows nothing.
            (Channel::Sms, _) => params.extend(
                [
                    "FromCity",
                    "FromState",
                    "FromZip",
                    "FromCountry",
                    "ToCity",
                    "ToState",
                    "ToZip",
                    "ToCountry",
                ]
                .map(|name| (name, "")),
            ),
        }
        self.signed(webhook_url, &params)
    }

    fn status(
        &self,
        submission: &Submission,
        id: &str,
        status: DeliveryStatus,
        error: Option<u32>,
        at: Timestamp,
        _webhook_url: &str,
    ) -> Option<SignedRequest> {
        let callback = submission.callback.as_deref()?;
        let sms = submission.from.channel() == Channel::Sms;
        let word = match status {
            DeliveryStatus::Read if sms => return None,
            other => other.name(),
        };
        let (from, to): (&Address, &Address) = (&submission.from, &submission.to);
        let done = receipt_date(at);
        let code = error.map(|code| code.to_string());
        let mut params = vec![
            ("MessageSid", id),
            ("SmsSid", id),
            ("AccountSid", self.sid()),
            ("ApiVersion", "2010-04-01"),
            ("MessageStatus", word),
            ("SmsStatus", word),
            ("From", from.as_str()),
            ("To", to.as_str()),
        ];
        if let (Some(code), Some(number)) = (&code, error) {
            params.push(("ErrorCode", code));
            params.push(("ErrorMessage", errors::meaning(number)));
        }
        match status {
            DeliveryStatus::Delivered | DeliveryStatus::Undelivered if sms => {
                params.push(("RawDlrDoneDate", &done));
            }
            DeliveryStatus::Read => params.push(("EventType", "READ")),
            _ => {}
        }
        Some(self.signed(callback, &params))
    }
}

/// `yyMMddHHmm`, as carriers write it.
fn receipt_date(at: Timestamp) -> String {
    at.rfc3339().chars().filter(char::is_ascii_digit).skip(2).take(10).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn carriers_write_dates_without_separators() {
        assert_eq!(receipt_date(Timestamp::from_seconds(1_795_305_600)), "2611220000");
    }
}
