//! The way to a daemon that may be gone in this moment and back in the next, at another address.

use std::time::Duration;

use http::Method;
use tokio::sync::watch;
use trunkline_adapter::simulator::SignedRequest;

use super::Client;
use super::client::Answer;

/// Shared by everybody who writes while the daemon dies.
#[derive(Clone)]
pub struct Road {
    client: watch::Receiver<Client>,
}

impl Road {
    /// A road, and where it is told of each new daemon.
    pub fn to(client: Client) -> (watch::Sender<Client>, Road) {
        let (moved, client) = watch::channel(client);
        (moved, Road { client })
    }

    /// Where the daemon of this moment listens.
    pub fn now(&self) -> Client {
        self.client.borrow().clone()
    }

    /// A provider repeats the same request until it is answered.
    pub async fn deliver(&self, signed: &SignedRequest) {
        let path = &signed.url[signed.url.find("/webhooks/").unwrap()..];
        let mut client = self.client.clone();
        loop {
            let now = client.borrow_and_update().clone();
            let mut request = now
                .http
                .request(signed.method.clone(), format!("{}{path}", now.base))
                .body(signed.body.clone());
            for (name, value) in &signed.headers {
                request = request.header(*name, value);
            }
            match request.send().await {
                Ok(answer) if answer.status().is_success() => return,
                // Overload and the like: later.
                Ok(answer) if answer.status() == 503 => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(answer) => panic!("a webhook is answered with {}", answer.status()),
                Err(_) => moved(&mut client).await,
            }
        }
    }

    /// A REST caller who does not know what a lost answer means, and asks once.
    pub async fn once(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Option<Answer> {
        self.now().try_call(method, path, fields).await.ok()
    }

    /// A REST caller who asks again until there is an answer.
    pub async fn call(&self, method: Method, path: &str, fields: &[(&str, &str)]) -> Answer {
        let ask = |now: Client| {
            let method = method.clone();
            async move { now.try_call(method, path, fields).await }
        };
        self.until_answered(ask).await
    }

    /// Uploads a file, again and again until there is an answer.
    pub async fn upload(&self, path: &str, content_type: &str, content: &[u8]) -> Answer {
        let ask = |now: Client| async move { now.try_upload(path, content_type, content.to_vec()).await };
        self.until_answered(ask).await
    }

    async fn until_answered<A>(&self, ask: impl Fn(Client) -> A) -> Answer
    where
        A: Future<Output = Result<Answer, reqwest::Error>>,
    {
        let mut client = self.client.clone();
        loop {
            let now = client.borrow_and_update().clone();
            match ask(now).await {
                Ok(answer) if answer.status == 503 => tokio::time::sleep(Duration::from_millis(50)).await,
                Ok(answer) => return answer,
                Err(_) => moved(&mut client).await,
            }
        }
    }
}

/// Gone: there is another daemon soon.
async fn moved(client: &mut watch::Receiver<Client>) {
    drop(tokio::time::timeout(Duration::from_secs(1), client.changed()).await);
}
