//! The few calls of the REST API that the demo makes, as any customer's code would.

use std::time::Duration;

use serde_json::Value;

/// One call may take this long.
const WITHIN: Duration = Duration::from_secs(20);

/// A call that failed.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// No answer.
    #[error("{call} got no answer")]
    NoAnswer {
        /// The call.
        call: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// Another answer than hoped for.
    #[error("{call} was answered with {status}: {body}")]
    Refused {
        /// The call.
        call: String,
        /// The status.
        status: u16,
        /// The body.
        body: String,
    },
    /// A field is not there.
    #[error("an answer has no {0}")]
    Missing(&'static str),
}

/// A customer with their credentials.
pub(super) struct Rest {
    client: reqwest::Client,
    url: String,
    account_sid: String,
    auth_token: String,
}

impl Rest {
    pub(super) fn new(url: &str, account_sid: &str, auth_token: &str) -> Result<Rest, RestError> {
        let client = reqwest::Client::builder().no_proxy().timeout(WITHIN).build();
        let client =
            client.map_err(|source| RestError::NoAnswer { call: "every call".to_owned(), source })?;
        let (account_sid, auth_token) = (account_sid.to_owned(), auth_token.to_owned());
        Ok(Rest { client, url: url.to_owned(), account_sid, auth_token })
    }

    pub(super) async fn get(&self, path: &str) -> Result<Value, RestError> {
        self.call(format!("GET {path}"), self.client.get(format!("{}{path}", self.url))).await
    }

    pub(super) async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Result<Value, RestError> {
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let call = self.client.post(format!("{}{path}", self.url));
        let call = call.header("content-type", "application/x-www-form-urlencoded").body(form);
        self.call(format!("POST {path}"), call).await
    }

    async fn call(&self, call: String, request: reqwest::RequestBuilder) -> Result<Value, RestError> {
        let no_answer = |source| RestError::NoAnswer { call: call.clone(), source };
        let answer =
            request.basic_auth(&self.account_sid, Some(&self.auth_token)).send().await.map_err(no_answer)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(no_answer)?;
        match serde_json::from_slice(&body) {
            Ok(value) if status.is_success() => Ok(value),
            _ => {
                let body = String::from_utf8_lossy(&body).chars().take(500).collect();
                Err(RestError::Refused { call, status: status.as_u16(), body })
            }
        }
    }
}

/// A text field that must be there.
pub(super) fn text(value: &Value, field: &'static str) -> Result<String, RestError> {
    value[field].as_str().map(str::to_owned).ok_or(RestError::Missing(field))
}
