//! A call as an endpoint reads it: its path taken apart, its query, and its body. Bodies are JSON under the names that answers
//! have; they are read by the same rules as the REST API's forms, so they are given the forms' names.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};
use trunkline_adapter::Call;

use crate::http::error::{self, ApiError};
use crate::http::form::Form;

/// Most parts of a path.
const MOST_PARTS: usize = 12;

pub(super) struct Asked<'a> {
    pub method: &'a str,
    /// Decoded, without the slashes.
    pub path: Vec<String>,
    pub query: Form,
    pub body: Body,
}

/// What came with a call.
pub(super) enum Body {
    None,
    Json(Map<String, Value>),
    Form(Form),
}

impl<'a> Asked<'a> {
    pub fn read(call: &'a Call) -> Result<Asked<'a>, ApiError> {
        let parts = call.path.split('/').filter(|part| !part.is_empty()).take(MOST_PARTS);
        let path = parts.map(decoded).collect::<Result<_, _>>()?;
        let query = call.params.iter().map(|(name, value)| Ok((decoded(name)?, decoded(value)?)));
        let query = Form::of(query.collect::<Result<_, ApiError>>()?);
        let form = call.content_type.as_deref().is_some_and(|kind| kind.contains("form-urlencoded"));
        let body = match (&call.body, form) {
            (body, _) if body.is_empty() => Body::None,
            (body, true) => Body::Form(Form::parse(body)?),
            (body, false) => match serde_json::from_slice(body) {
                Ok(Value::Object(members)) => Body::Json(members),
                // What SDK 2.0 sends with a DELETE.
                Ok(Value::Null) => Body::None,
                _ => return Err(ApiError::parameter("The body is not a JSON object")),
            },
        };
        Ok(Asked { method: call.method.as_str(), path, query, body })
    }

    /// The path, for somebody who asked for nothing that is there.
    pub fn shown(&self) -> String {
        let path: String = self.path.join("/").chars().take(200).collect();
        format!("/{path}")
    }

    /// A member of the body.
    pub fn member(&self, name: &str) -> Option<&Value> {
        match &self.body {
            Body::Json(members) => members.get(name),
            Body::None | Body::Form(_) => None,
        }
    }

    /// Members of the body under the names that a form has for them. Others are not read: clients send some that mean
    /// nothing here.
    pub fn form(&self, known: &[(&str, &str)]) -> Result<Form, ApiError> {
        let Body::Json(members) = &self.body else { return Ok(Form::default()) };
        let mut fields = Vec::new();
        for (name, parameter) in known {
            let mut at = Some(members);
            let mut steps = name.split('.').peekable();
            let mut value = None;
            while let Some(step) = steps.next() {
                value = at.and_then(|members| members.get(step));
                if steps.peek().is_some() {
                    at = value.and_then(Value::as_object);
                }
            }
            match value {
                None | Some(Value::Null) => {}
                Some(Value::Array(values)) => {
                    for value in values {
                        fields.push(((*parameter).to_owned(), text(value)));
                    }
                }
                Some(value) => fields.push(((*parameter).to_owned(), text(value))),
            }
        }
        Ok(Form::of(fields))
    }

    /// How many a page has, where nothing is said and at most.
    pub fn page_size(&self, usual: usize, most: usize) -> Result<usize, ApiError> {
        match self.query.filled("PageSize") {
            None => Ok(usual),
            Some(text) => {
                let size = text.parse().ok().filter(|size| *size > 0);
                let size: usize = size.ok_or_else(|| ApiError::parameter("PageSize is not a number"))?;
                Ok(size.min(most))
            }
        }
    }

    /// Where a page of a list that is at hand begins, and how many it has.
    pub fn page(&self, most: usize) -> Result<(usize, usize), ApiError> {
        let from = match self.query.filled("PageToken") {
            None => 0,
            Some(text) => text.parse::<u32>().map_err(|_| ApiError::from(error::PAGE_TOKEN))? as usize,
        };
        Ok((from, self.page_size(most, most)?))
    }
}

/// Text as it is, anything else as JSON.
fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

fn decoded(text: &str) -> Result<String, ApiError> {
    let decoded = percent_decode_str(text).decode_utf8().map_err(|_| ApiError::from(error::NOT_UTF8))?;
    Ok(decoded.into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use bytes::Bytes;
    use proptest::prelude::*;

    use super::*;

    fn call(path: &str, params: &[(&str, &str)], body: &str) -> Call {
        Call {
            method: http::Method::POST,
            path: path.to_owned(),
            params: params.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            content_type: Some("application/json".to_owned()),
            mutation: None,
            body: Bytes::copy_from_slice(body.as_bytes()),
        }
    }

    #[test]
    fn paths_and_queries_come_encoded() {
        let call =
            call("/Client/v2/Users/zo%C3%AB%20%40%2F%3F", &[("From", "a%2Bb"), ("Key", "%F0%9F%98%80")], "");
        let asked = Asked::read(&call).unwrap();
        assert_eq!(asked.path, ["Client", "v2", "Users", "zoë @/?"]);
        assert_eq!((asked.query.get("From"), asked.query.get("Key")), (Some("a+b"), Some("😀")));
        assert_eq!(asked.shown(), "/Client/v2/Users/zoë @/?");
    }

    #[test]
    fn bodies_have_the_names_of_forms() {
        let call = call(
            "/x",
            &[],
            r#"{"friendly_name":"Hi","attributes":{"a":1},"access":"x","unique_name":null,
                "messaging_binding":{"address":"+1"},"media_sids":["a","b"],"last_read_message_index":3}"#,
        );
        let asked = Asked::read(&call).unwrap();
        let form = asked
            .form(&[
                ("friendly_name", "FriendlyName"),
                ("unique_name", "UniqueName"),
                ("attributes", "Attributes"),
                ("messaging_binding.address", "MessagingBinding.Address"),
                ("messaging_binding.proxy_address", "MessagingBinding.ProxyAddress"),
                ("friendly_name.address", "Odd"),
                ("media_sids", "MediaSid"),
                ("last_read_message_index", "LastReadMessageIndex"),
            ])
            .unwrap();
        assert_eq!(form.get("FriendlyName"), Some("Hi"));
        assert_eq!(form.get("UniqueName"), None);
        assert_eq!(form.get("Attributes"), Some(r#"{"a":1}"#));
        assert_eq!(form.get("MessagingBinding.Address"), Some("+1"));
        assert_eq!((form.get("MessagingBinding.ProxyAddress"), form.get("Odd")), (None, None));
        assert_eq!(form.all("MediaSid").collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(form.get("LastReadMessageIndex"), Some("3"));
    }

    #[test]
    fn what_cannot_be_read() {
        for body in ["[", "[]", "\"x\"", "1", "{\"a\""] {
            assert_eq!(
                Asked::read(&call("/x", &[], body)).err().map(|error| error.code()),
                Some(20001),
                "{body}"
            );
        }
        assert!(Asked::read(&call("/%FF", &[], "")).is_err());
        assert!(Asked::read(&call("/x", &[("a", "%FF")], "")).is_err());
    }

    proptest! {
        #[test]
        fn nothing_makes_it_panic(path in "[/%a-f0-9]{0,40}", body in r#"[\[\]{}":,a-z_0-9]{0,60}"#) {
            let call = call(&path, &[("a", &path)], &body);
            if let Ok(asked) = Asked::read(&call) {
                let _ = asked.form(&[("a", "A"), ("a.b", "B")]);
            }
        }
    }
}
