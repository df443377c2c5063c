//! A caller of the REST API.

use std::net::SocketAddr;

use http::{HeaderMap, Method};
use serde_json::Value;

use super::config::{ACCOUNT, TOKEN};

/// Calls with Basic auth.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub base: String,
    pub user: String,
    pub password: String,
}

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub headers: HeaderMap,
    pub text: String,
    /// `Null` when the body is no JSON.
    pub json: Value,
}

impl Answer {
    /// The answer, if it is the expected one.
    #[track_caller]
    pub fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        self.json
    }

    /// The error code of a refusal.
    #[track_caller]
    pub fn code(&self) -> u64 {
        self.json["code"].as_u64().unwrap_or_else(|| panic!("no error: {} {}", self.status, self.text))
    }
}

/// A binding to ask for: a person's address and our proxy address.
pub type Relation<'a> = (&'a str, &'a str);

/// A conversation and its participants, in the order asked for.
#[derive(Clone, Debug)]
pub struct Conversation {
    pub sid: String,
    pub participants: Vec<String>,
}

/// A client that keeps connections and speaks plain HTTP.
pub fn http() -> reqwest::Client {
    // A second call in the same process changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap()
}

impl Client {
    pub fn new(address: SocketAddr) -> Client {
        Client {
            http: http(),
            base: format!("http://{address}"),
            user: ACCOUNT.to_owned(),
            password: TOKEN.to_owned(),
        }
    }

    /// Calls a path with form fields.
    pub async fn call(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.try_call(method, path, fields).await.unwrap()
    }

    /// As [`Client::call`], where the daemon may be gone.
    pub async fn try_call(
        &self,
        method: Method,
        path: &str,
        fields: &[(&str, &str)],
    ) -> Result<Answer, reqwest::Error> {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let mut request = request.basic_auth(&self.user, Some(&self.password));
        if !fields.is_empty() {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs(fields);
            request = request.header("content-type", "application/x-www-form-urlencoded").body(form.finish());
        }
        read(request.send().await?).await
    }

    /// Uploads a file to a path of a service's, which may be gone with the daemon.
    pub async fn try_upload(
        &self,
        path: &str,
        content_type: &str,
        content: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let request = self.http.post(format!("{}{path}", self.base)).header("content-type", content_type);
        let request = request.basic_auth(&self.user, Some(&self.password)).body(content);
        read(request.send().await?).await
    }

    /// As [`Client::call`], and webhooks hear of it.
    pub async fn aloud(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request =
            request.basic_auth(&self.user, Some(&self.password)).header("X-Twilio-Webhook-Enabled", "true");
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.finish());
        read(request.send().await.unwrap()).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.call(Method::GET, path, &[]).await
    }

    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        self.call(Method::POST, path, fields).await
    }

    pub async fn delete(&self, path: &str) -> Answer {
        self.call(Method::DELETE, path, &[]).await
    }

    /// Adds somebody on a channel to a conversation.
    pub async fn join(&self, conversation: &str, (address, proxy): Relation<'_>) -> Answer {
        let fields = [("MessagingBinding.Address", address), ("MessagingBinding.ProxyAddress", proxy)];
        self.post(&format!("/v1/Conversations/{conversation}/Participants"), &fields).await
    }

    /// A conversation of these people.
    pub async fn conversation(&self, people: &[Relation<'_>]) -> Conversation {
        let made = self.post("/v1/Conversations", &[("FriendlyName", "a talk")]).await.expect(201);
        let sid = made["sid"].as_str().unwrap().to_owned();
        let mut participants = Vec::new();
        for person in people {
            let joined = self.join(&sid, *person).await.expect(201);
            participants.push(joined["sid"].as_str().unwrap().to_owned());
        }
        Conversation { sid, participants }
    }

    /// Posts a message as somebody.
    pub async fn say(&self, conversation: &str, author: &str, body: &str) -> Answer {
        let path = format!("/v1/Conversations/{conversation}/Messages");
        self.post(&path, &[("Author", author), ("Body", body)]).await
    }

    /// Every element of a list, page by page.
    pub async fn list(&self, path: &str, key: &str) -> Vec<Value> {
        let mut all = Vec::new();
        let mark = if path.contains('?') { '&' } else { '?' };
        let mut next = Some(format!("{path}{mark}PageSize=100"));
        while let Some(path) = next {
            let page = self.get(&path).await.expect(200);
            all.extend(page[key].as_array().unwrap_or_else(|| panic!("no {key}: {page}")).iter().cloned());
            let url = page["meta"]["next_page_url"].as_str();
            next = url.map(|url| url[url.find("/v1/").unwrap()..].to_owned());
        }
        all
    }

    pub async fn messages(&self, conversation: &str) -> Vec<Value> {
        self.list(&format!("/v1/Conversations/{conversation}/Messages"), "messages").await
    }

    pub async fn receipts(&self, conversation: &str, message: &str) -> Vec<Value> {
        let path = format!("/v1/Conversations/{conversation}/Messages/{message}/Receipts");
        self.list(&path, "delivery_receipts").await
    }
}

/// Reads an answer whole.
pub async fn read(response: reqwest::Response) -> Result<Answer, reqwest::Error> {
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let text = response.text().await?;
    let json = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status, headers, text, json })
}
