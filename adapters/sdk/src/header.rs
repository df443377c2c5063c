//! The header of a frame: what clients write there, and what we do.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use trunkline_adapter::{Denied, Notice};

use crate::frame;

/// The longest id a frame may have; clients use 38 characters.
const LONGEST_ID: usize = 128;

/// What a client's header says, as far as anybody asks.
#[derive(Debug, Deserialize)]
pub(crate) struct Header<'a> {
    #[serde(borrow)]
    pub(crate) id: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(default)]
    payload_size: usize,
    #[serde(borrow, default)]
    pub(crate) payload_type: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) token: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) continuation_token: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(crate) http_request: Option<HttpRequest<'a>>,
}

/// A call, as it travels.
#[derive(Debug, Deserialize)]
pub(crate) struct HttpRequest<'a> {
    #[serde(borrow)]
    pub(crate) path: Cow<'a, str>,
    #[serde(borrow)]
    pub(crate) method: Cow<'a, str>,
    #[serde(default)]
    pub(crate) params: Pairs,
    #[serde(default)]
    pub(crate) headers: Pairs,
}

/// A JSON object as names and texts, in order. A list gives its name once for each; what is neither text nor number is
/// left out, as it would be in a query.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Pairs(pub(crate) Vec<(String, String)>);

impl<'a> Header<'a> {
    /// Reads a header; `None` when it is none, or not this payload's.
    pub(crate) fn read(header: &'a [u8], payload: &Bytes) -> Option<Header<'a>> {
        let header: Header<'a> = serde_json::from_slice(header).ok()?;
        let fits = header.payload_size == payload.len() && header.id.len() <= LONGEST_ID;
        fits.then_some(header)
    }
}

/// One value of [`Pairs`].
enum Value {
    One(String),
    Many(Vec<String>),
    Nothing,
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Value;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a number or a list of them")
            }

            fn visit_str<E>(self, text: &str) -> Result<Value, E> {
                Ok(Value::One(text.to_owned()))
            }

            fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
                Ok(Value::One(value.to_string()))
            }

            fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
                Ok(Value::One(value.to_string()))
            }

            fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
                Ok(Value::One(value.to_string()))
            }

            fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
                Ok(Value::One(value.to_string()))
            }

            fn visit_unit<E>(self) -> Result<Value, E> {
                Ok(Value::Nothing)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Value, A::Error> {
                let mut all = Vec::new();
                while let Some(value) = list.next_element()? {
                    if let Value::One(text) = value {
                        all.push(text);
                    }
                }
                Ok(Value::Many(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(Value::Nothing)
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

impl<'de> Deserialize<'de> for Pairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Pairs, D::Error> {
        struct Reader;
        impl<'de> Visitor<'de> for Reader {
            type Value = Pairs;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_unit<E>(self) -> Result<Pairs, E> {
                Ok(Pairs::default())
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, Value>()? {
                    match value {
                        Value::One(text) => pairs.push((name, text)),
                        Value::Many(all) => pairs.extend(all.into_iter().map(|text| (name.clone(), text))),
                        Value::Nothing => {}
                    }
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_any(Reader)
    }
}

/// How something went, as every reply says it.
#[derive(Debug, Serialize)]
pub(crate) struct Status<'a> {
    pub(crate) code: u16,
    pub(crate) status: &'a str,
    #[serde(rename = "errorCode", skip_serializing_if = "Option::is_none")]
    pub(crate) error_code: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<&'a str>,
}

impl Status<'static> {
    /// Nothing to say.
    pub(crate) const OK: Status<'static> = Status::of(200, "OK");

    pub(crate) const fn of(code: u16, status: &'static str) -> Status<'static> {
        Status { code, status, error_code: None, description: None }
    }

    /// An HTTP status under its name.
    pub(crate) fn http(code: u16) -> Status<'static> {
        Status::of(code, reason(code))
    }
}

impl<'a> Status<'a> {
    /// A refusal and why.
    pub(crate) fn denied(denied: &'a Denied) -> Status<'a> {
        Status {
            code: denied.status,
            status: reason(denied.status),
            error_code: Some(denied.code),
            description: Some(&denied.text),
        }
    }
}

/// The name of an HTTP status; what clients show of an error.
fn reason(code: u16) -> &'static str {
    let status = http::StatusCode::from_u16(code).ok();
    status.and_then(|status| status.canonical_reason()).unwrap_or("Unknown")
}

/// What we write into a header.
#[derive(Serialize)]
struct Out<'a, T: Serialize> {
    method: &'a str,
    id: &'a str,
    payload_size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_type: Option<&'static str>,
    #[serde(flatten)]
    rest: T,
}

const JSON: &str = "application/json";

fn written<T: Serialize>(method: &str, id: &str, payload: &[u8], rest: T) -> Bytes {
    let payload_type = (!payload.is_empty()).then_some(JSON);
    let header = Out { method, id, payload_size: payload.len(), payload_type, rest };
    // Structs of texts and numbers always become text.
    frame::encode(&serde_json::to_vec(&header).unwrap_or_default(), payload)
}

/// A reply that says how it went, and nothing else.
pub(crate) fn reply(id: &str, status: &Status<'_>, payload: &[u8]) -> Bytes {
    #[derive(Serialize)]
    struct Reply<'a> {
        status: &'a Status<'a>,
    }
    written("reply", id, payload, Reply { status })
}

/// The reply to an `init` that let somebody in. Neither telemetry nor offline storage is offered: the first would be
/// traffic for nobody, the second has browsers keep object names across page loads, which only makes them stale.
pub(crate) fn welcome(id: &str, continuation: &str, reissued: bool) -> Bytes {
    #[derive(Serialize)]
    struct Reissued {
        reissued: bool,
    }
    #[derive(Serialize)]
    struct Welcome<'a> {
        status: Status<'static>,
        continuation_token: &'a str,
        continuation_token_status: Reissued,
        capabilities: [&'static str; 1],
        init_registrations: [(); 0],
    }
    let welcome = Welcome {
        status: Status::OK,
        continuation_token: continuation,
        continuation_token_status: Reissued { reissued },
        capabilities: ["client_update"],
        init_registrations: [],
    };
    written("reply", id, b"", welcome)
}

/// The answer to a call: the frame arrived, and this is how the call went.
pub(crate) fn answer(id: &str, status: u16, body: &[u8]) -> Bytes {
    #[derive(Serialize)]
    struct Headers {
        #[serde(rename = "content-type")]
        content_type: &'static str,
    }
    #[derive(Serialize)]
    struct Answer {
        status: Status<'static>,
        http_status: Status<'static>,
        http_headers: Headers,
    }
    let answer = Answer {
        status: Status::OK,
        http_status: Status::http(status),
        http_headers: Headers { content_type: JSON },
    };
    written("reply", id, body, answer)
}

/// Something told without being asked. Written by hand: it is most of what is written, and none of it needs escaping.
pub(crate) fn notification(id: &str, notice: &Notice) -> Bytes {
    let (size, kind) = (notice.payload.len(), notice.message_type);
    let header = format!(
        r#"{{"method":"notification","id":"{id}","payload_size":{size},"payload_type":"{JSON}","message_type":"{kind}"}}"#
    );
    frame::encode(header.as_bytes(), &notice.payload)
}

/// The token ends soon.
pub(crate) fn about_to_expire(id: &str) -> Bytes {
    #[derive(Serialize)]
    struct Update {
        client_update_type: &'static str,
    }
    written("client_update", id, b"", Update { client_update_type: "token_about_to_expire" })
}

/// We end the session, and why.
pub(crate) fn close(id: &str, status: &Status<'_>) -> Bytes {
    #[derive(Serialize)]
    struct Close<'a> {
        status: &'a Status<'a>,
    }
    written("close", id, b"", Close { status })
}

/// The payload by which a client that comes too often is told when to come again.
pub(crate) fn backoff(milliseconds: u64) -> Vec<u8> {
    format!("{{\"backoff_policy\":{{\"reconnect_min_ms\":{milliseconds}}}}}").into_bytes()
}
