//! From a frame to a call.

use bytes::Bytes;
use http::Method;
use trunkline_adapter::Call;

use crate::header::{Header, HttpRequest, Pairs};

/// The longest path; identities and names in it are 256 characters, percent-encoded.
const LONGEST_PATH: usize = 8 * 1024;

/// Reads the call in a frame; `None` when there is none that anybody could do.
pub(crate) fn read(header: &mut Header<'_>, payload: Bytes) -> Option<Call> {
    let HttpRequest { path, method, params, headers } = header.http_request.take()?;
    let method = match method.as_ref() {
        "GET" => Method::GET,
        "POST" => Method::POST,
        "PUT" => Method::PUT,
        "DELETE" => Method::DELETE,
        _ => return None,
    };
    // A link that we handed out may carry a query of its own.
    let (path, query) = path.split_once('?').unwrap_or((&path, ""));
    if !path.starts_with('/') || path.len() > LONGEST_PATH {
        return None;
    }
    let mut all = pairs(query);
    all.extend(params.0);
    let content_type = find(&headers, "content-type").or(header.payload_type.as_deref());
    Some(Call {
        method,
        path: path.to_owned(),
        params: all,
        content_type: content_type.map(bare).filter(|kind| !kind.is_empty()),
        mutation: find(&headers, "x-twilio-mutation-id").map(str::to_owned),
        body: payload,
    })
}

fn pairs(query: &str) -> Vec<(String, String)> {
    let parts = query.split('&').filter(|part| !part.is_empty());
    let pair = |part: &str| {
        let (name, value) = part.split_once('=').unwrap_or((part, ""));
        (name.to_owned(), value.to_owned())
    };
    parts.map(pair).collect()
}

fn find<'a>(headers: &'a Pairs, name: &str) -> Option<&'a str> {
    headers.0.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

/// A content type without its parameters, in small letters.
fn bare(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn call(header: &str, payload: &'static str) -> Option<Call> {
        let payload = Bytes::from_static(payload.as_bytes());
        let mut header = Header::read(header.as_bytes(), &payload)?;
        read(&mut header, payload)
    }

    #[test]
    fn as_the_sdk_writes_it() {
        let call = call(
            r#"{"id":"TM1","method":"message","active_grant":"ip_messaging","payload_size":2,
                "payload_type":"application/json; charset=utf-8","http_request":{"host":"aim.us1.twilio.com",
                "path":"/Client/v2/Users/zo%C3%AB%20%2F","method":"POST","params":{"PageSize":30,"Key":["a%20b","c"],
                "Order":"asc","none":null,"deep":{"x":[{}]}},"headers":{"Content-Type":
                "Application/JSON; charset=utf-8","X-Twilio-Mutation-Id":"u-1"}}}"#,
            "{}",
        );
        let call = call.unwrap();
        assert_eq!((call.method, call.path.as_str()), (Method::POST, "/Client/v2/Users/zo%C3%AB%20%2F"));
        let params: Vec<_> = call.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(params, ["PageSize=30", "Key=a%20b", "Key=c", "Order=asc"]);
        assert_eq!(call.content_type.as_deref(), Some("application/json"));
        assert_eq!((call.mutation.as_deref(), &call.body[..]), (Some("u-1"), &b"{}"[..]));
    }

    #[test]
    fn a_link_keeps_its_query() {
        let call = call(
            r#"{"id":"1","method":"message","http_request":{"path":"/v3/Maps/MP1/Items?a=b&c","method":"GET",
                "params":{"d":"e"}}}"#,
            "",
        );
        let call = call.unwrap();
        assert_eq!(call.path, "/v3/Maps/MP1/Items");
        let names: Vec<_> = call.params.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["a", "c", "d"]);
        assert_eq!(call.content_type, None);
    }

    #[test]
    fn what_nobody_could_do() {
        for request in [
            r#"{"path":"x","method":"GET"}"#,
            r#"{"path":"/x","method":"get"}"#,
            r#"{"path":"/x","method":"CONNECT"}"#,
            r#"{"path":7,"method":"GET"}"#,
            r#"{"path":"/x","method":"GET","params":[]}"#,
            "null",
        ] {
            let header = format!(r#"{{"id":"1","method":"message","http_request":{request}}}"#);
            assert!(call(&header, "").is_none(), "{request}");
        }
        let long = format!(
            r#"{{"id":"1","method":"message","payload_size":0,"http_request":{{"path":"/{}","method":"GET"}}}}"#,
            "x".repeat(LONGEST_PATH)
        );
        assert!(call(&long, "").is_none());
        assert!(Header::read(br#"{"id":"1","method":"m","payload_size":3}"#, &Bytes::new()).is_none());
    }
}
