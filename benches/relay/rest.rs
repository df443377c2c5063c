//! Setting up by the REST API, and reading the operator's pages.

use std::net::SocketAddr;

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::Failure;

/// As whom everybody calls.
pub const ACCOUNT: &str = "AC00000000000000000000000000000001";
pub const TOKEN: &str = "rest-token-0001";

/// A person's address and our proxy address.
pub type Binding = (String, String);

/// Calls under way at once: their commits share syncs.
const SIDE_BY_SIDE: usize = 64;

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()
}

/// Makes a conversation of each list of people; gives their sids in the same order.
pub fn conversations(address: SocketAddr, all: Vec<Vec<Binding>>) -> Result<Vec<String>, Failure> {
    // A second call changes nothing.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let http = &http;
    runtime()?.block_on(async {
        stream::iter(all)
            .map(|people| async move {
                let root = format!("http://{address}/v1/Conversations");
                let made = post(http, &root, &[("FriendlyName", "bench")]).await?;
                let sid = made["sid"].as_str().ok_or("a conversation without a sid")?.to_owned();
                for (person, proxy) in people {
                    let fields = [
                        ("MessagingBinding.Address", person.as_str()),
                        ("MessagingBinding.ProxyAddress", proxy.as_str()),
                    ];
                    post(http, &format!("{root}/{sid}/Participants"), &fields).await?;
                }
                Ok(sid)
            })
            .buffered(SIDE_BY_SIDE)
            .try_collect()
            .await
    })
}

/// A call that makes something.
pub struct Post {
    path: String,
    fields: Vec<(String, String)>,
}

impl Post {
    pub fn new(path: &str, fields: &[(&str, &str)]) -> Post {
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Post { path: path.to_owned(), fields }
    }
}

/// Makes things, so many side by side; gives them in the same order.
pub fn posts(address: SocketAddr, side_by_side: usize, all: Vec<Post>) -> Result<Vec<Value>, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build()?;
    let http = &http;
    runtime()?.block_on(async {
        stream::iter(all)
            .map(|Post { path, fields }| async move {
                let fields: Vec<(&str, &str)> =
                    fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                post(http, &format!("http://{address}{path}"), &fields).await
            })
            .buffered(side_by_side)
            .try_collect()
            .await
    })
}

/// Makes a conversation of nobody.
pub fn create(address: SocketAddr) -> Result<Value, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let http = reqwest::Client::builder().no_proxy().build()?;
    let url = format!("http://{address}/v1/Conversations");
    runtime()?.block_on(post(&http, &url, &[("FriendlyName", "bench")]))
}

async fn post(http: &reqwest::Client, url: &str, fields: &[(&str, &str)]) -> Result<Value, Failure> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    let request = http.post(url).basic_auth(ACCOUNT, Some(TOKEN));
    let answer = request
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form.finish())
        .send()
        .await?;
    let (status, text) = (answer.status(), answer.text().await?);
    if !status.is_success() {
        return Err(format!("{url}: {status} {text}").into());
    }
    Ok(serde_json::from_str(&text)?)
}

/// A page of the admin listener.
pub fn page(admin: SocketAddr, path: &str) -> Result<String, Failure> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    runtime()?.block_on(async { Ok(reqwest::get(format!("http://{admin}{path}")).await?.text().await?) })
}

/// The sum of the series of a name in an exposition.
pub fn sum(exposition: &str, name: &str) -> f64 {
    let series = exposition.lines().filter(|line| {
        line.strip_prefix(name).is_some_and(|rest| rest.starts_with('{') || rest.starts_with(' '))
    });
    series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// The service that a daemon made for itself.
pub fn service(admin: SocketAddr) -> Result<String, Failure> {
    let made = create(admin)?;
    Ok(made["chat_service_sid"].as_str().ok_or("a conversation without a service")?.to_owned())
}
