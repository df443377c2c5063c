//! The JSON API of the phones. `README.md` beside this file is its reference.

use std::sync::Arc;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Method, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use serde_json::json;
use trunkline_adapter::Address;
use trunkline_adapter::simulator::Shelf as _;

use super::answer::{Body, not_allowed, refuse, respond};
use super::inside::Inside;
use super::provider::TypeError;
use super::{Fault, events};

/// Answers everything below `/simulator`.
pub(super) fn answer(inside: &Arc<Inside>, head: &Parts, body: &Bytes) -> Response<Body> {
    let path = head.uri.path().trim_start_matches("/simulator").trim_matches('/');
    let steps: Vec<&str> = if path.is_empty() { Vec::new() } else { path.split('/').collect() };
    match (steps.as_slice(), &head.method) {
        (["bridge"], &Method::GET) => match inside.bridge() {
            Some(bridge) => ok(&bridge),
            None => refuse(StatusCode::NOT_FOUND, "the daemon is not ready yet"),
        },
        (["visitor"], &Method::GET) => match &inside.visitor {
            Some(visitor) => ok(&json!({
                "name": visitor.name,
                "identity": visitor.identity,
                "socket": visitor.socket,
                "token": (visitor.token)(),
            })),
            None => refuse(StatusCode::NOT_FOUND, "nobody is in the browser here"),
        },
        (["phones"], &Method::GET) => ok(&json!({ "phones": phones(inside) })),
        (["phones", address, "messages"], method) => match segment(address) {
            Err(message) => refuse(StatusCode::BAD_REQUEST, &message),
            Ok(phone) => match *method {
                Method::GET => messages(inside, &phone),
                Method::POST => with_json(head, body, |typed| write(inside, &phone, typed)),
                _ => not_allowed("GET, POST"),
            },
        },
        (["faults"], &Method::GET) => ok(&json!({ "faults": faults(inside) })),
        (["faults"], &Method::POST) => with_json(head, body, |turn| set_fault(inside, turn)),
        (["files", id], &Method::GET) => file(inside, id),
        (["events"], &Method::GET) => events::stream(&inside.phones),
        (["faults"], _) => not_allowed("GET, POST"),
        (["bridge" | "phones" | "events" | "visitor"], _) => not_allowed("GET"),
        _ => refuse(StatusCode::NOT_FOUND, "the simulator has no such resource"),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    #[serde(default)]
    to: Option<String>,
    text: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Turn {
    adapter: String,
    fault: Option<String>,
}

fn phones(inside: &Inside) -> Vec<serde_json::Value> {
    let phones = inside.phones.phones().into_iter();
    let shown = phones.map(|phone| {
        let adapter = phone.proxies.first().and_then(|proxy| inside.provider_of(proxy));
        json!({
            "address": phone.address,
            "channel": phone.address.channel().name(),
            "name": phone.name,
            "adapter": adapter.map(|working| &working.provider.adapter),
            "proxies": phone.proxies,
        })
    });
    shown.collect()
}

fn messages(inside: &Inside, phone: &Address) -> Response<Body> {
    if inside.phones.phone(phone).is_none() {
        return refuse(
            StatusCode::NOT_FOUND,
            "there is no such phone; it comes to be with its first message",
        );
    }
    ok(&json!({ "messages": inside.phones.messages(phone) }))
}

fn write(inside: &Inside, phone: &Address, typed: Typed) -> Response<Body> {
    let proxy = match typed.to {
        Some(to) => Address::parse(&to).map_err(|error| format!("to: {error}")),
        None => match inside.phones.phone(phone).map(|phone| phone.proxies).as_deref() {
            Some([only]) => Ok(only.clone()),
            _ => Err("to: say which proxy address to write to".to_owned()),
        },
    };
    let proxy = match proxy {
        Ok(proxy) => proxy,
        Err(message) => return refuse(StatusCode::BAD_REQUEST, &message),
    };
    match inside.write(phone, &proxy, typed.text, None) {
        Ok(message) => json_answer(StatusCode::ACCEPTED, &message),
        Err(error) => refuse(status_of(&error), &error.to_string()),
    }
}

/// A file of a message. What is no picture is only to be saved: whoever sent it may be anybody.
fn file(inside: &Inside, id: &str) -> Response<Body> {
    let Some(file) = inside.files.file(id) else {
        return refuse(StatusCode::NOT_FOUND, "there is no such file, or it had to make room for others");
    };
    let picture =
        ["image/jpeg", "image/png", "image/gif", "image/webp"].contains(&file.content_type.as_str());
    let mut response = respond(StatusCode::OK, "application/octet-stream", file.bytes);
    if let (true, Ok(kind)) = (picture, HeaderValue::from_str(&file.content_type)) {
        response.headers_mut().insert(CONTENT_TYPE, kind);
    }
    response
}

fn status_of(error: &TypeError) -> StatusCode {
    match error {
        TypeError::Empty | TypeError::TooLong | TypeError::OtherChannel(..) => StatusCode::BAD_REQUEST,
        TypeError::UnknownProxy => StatusCode::NOT_FOUND,
        TypeError::Busy => StatusCode::SERVICE_UNAVAILABLE,
        TypeError::TooManyPhones => StatusCode::CONFLICT,
    }
}

fn faults(inside: &Inside) -> Vec<serde_json::Value> {
    let providers = inside.providers.iter();
    let shown = providers
        .map(|working| json!({ "adapter": working.provider.adapter, "fault": working.switch.fault() }));
    shown.collect()
}

fn set_fault(inside: &Inside, turn: Turn) -> Response<Body> {
    let fault = match turn.fault.as_deref().map(str::parse::<Fault>).transpose() {
        Ok(fault) => fault,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    if inside.set_fault(&turn.adapter, fault) {
        ok(&json!({ "adapter": turn.adapter, "fault": fault }))
    } else {
        refuse(StatusCode::NOT_FOUND, "no provider of this name is simulated here")
    }
}

fn segment(text: &str) -> Result<Address, String> {
    let text = percent_decode_str(text).decode_utf8().map_err(|_| "phone: not UTF-8".to_owned())?;
    Address::parse(&text).map_err(|error| format!("phone: {error}"))
}

/// Reads a JSON body. Only JSON said to be JSON is taken: a form of another site cannot say so.
fn with_json<T: for<'de> Deserialize<'de>>(
    head: &Parts,
    body: &Bytes,
    then: impl FnOnce(T) -> Response<Body>,
) -> Response<Body> {
    let kind = head.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        return refuse(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send JSON, with Content-Type: application/json");
    }
    match serde_json::from_slice(body) {
        Ok(read) => then(read),
        Err(error) => refuse(StatusCode::BAD_REQUEST, &error.to_string()),
    }
}

fn ok(body: &impl Serialize) -> Response<Body> {
    json_answer(StatusCode::OK, body)
}

fn json_answer(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    match serde_json::to_vec(body) {
        Ok(body) => respond(status, "application/json", Bytes::from(body)),
        // Plain structures of texts and numbers always become JSON.
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}
