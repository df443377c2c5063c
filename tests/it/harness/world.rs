//! A sink, a daemon between, and the people around them.

use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use serde_json::Value;
use tempfile::TempDir;
use trunkline_adapter::DeliveryStatus;
use trunkline_adapter::simulator::{Shelf, SignedRequest, SubmittedFile};

use super::client::{self, Answer, Client, Conversation};
use super::config::Config;
use super::daemon::Daemon;
use super::provider::{self, Phone};
use super::sink::{Sent, Sink};
use super::{PAGE, SMS, WHATSAPP};

/// Everything a test needs; ends with the test.
pub struct World {
    // Dropped first, so that nothing writes into a folder that is being removed.
    pub daemon: Daemon,
    pub sink: Sink,
    pub config: Config,
    pub client: Client,
    serial: AtomicU64,
    pub folder: TempDir,
}

impl World {
    /// A world with the dev configuration.
    pub async fn start() -> World {
        World::start_with(|_| {}).await
    }

    /// A world whose configuration was changed before the first start.
    pub async fn start_with(change: impl FnOnce(&mut Config)) -> World {
        let mut world = World::prepare(change).await;
        world.up().await;
        world
    }

    /// A world whose daemon is not started yet.
    pub async fn prepare(change: impl FnOnce(&mut Config)) -> World {
        let folder = tempfile::tempdir().unwrap();
        let sink = Sink::start().await;
        let mut config = Config::dev(folder.path(), &sink.url());
        change(&mut config);
        let path = folder.path().join("trunkline.toml");
        config.write(&path);
        sink.open(config.simulators(&path));
        let daemon = Daemon::new(path, config.admin_socket.clone(), config.store_path.clone());
        let client = Client::new(daemon.address);
        World { daemon, sink, config, client, serial: AtomicU64::new(1), folder }
    }

    /// Starts the daemon.
    pub async fn up(&mut self) {
        self.daemon.start().await;
        self.client = Client::new(self.daemon.address);
    }

    /// Kills the daemon and starts it again.
    pub async fn crash(&mut self) {
        self.daemon.kill9().await;
        self.up().await;
    }

    /// Ends the daemon in order and starts it again.
    pub async fn restart(&mut self) {
        self.daemon.restart().await;
        self.client = Client::new(self.daemon.address);
    }

    /// Changes the file. Nobody is told.
    pub fn edit(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.config.write(&self.daemon.config_path);
    }

    /// Changes the file and reloads; gives what the command printed.
    pub fn reconfigure(&mut self, change: impl FnOnce(&mut Config)) -> String {
        self.edit(change);
        self.daemon.reload()
    }

    fn phone(&self, adapter: &str, from: &str, to: &str) -> Phone {
        let simulator = self.sink.simulator(adapter);
        let files = self.sink.files().clone();
        Phone { simulator, files, adapter: adapter.to_owned(), from: from.to_owned(), to: to.to_owned() }
    }

    /// Somebody who texts [`SMS`].
    pub fn sms(&self, from: &str) -> Phone {
        self.phone("us", from, SMS)
    }

    /// Somebody who writes to [`WHATSAPP`].
    pub fn whatsapp(&self, from: &str) -> Phone {
        self.phone("wa", from, WHATSAPP)
    }

    /// Somebody who writes to [`PAGE`].
    pub fn messenger(&self, from: &str) -> Phone {
        self.phone("pages", from, PAGE)
    }

    /// A new id in the form of a phone's provider.
    pub fn message_id(&self, phone: &Phone) -> String {
        // Far from the ids of sends.
        phone.simulator.message_id((1 << 60) + self.serial.fetch_add(1, Ordering::SeqCst))
    }

    /// Somebody writes; gives the daemon's answer to the provider.
    pub async fn write(&self, phone: &Phone, text: &str) -> Answer {
        self.webhook(phone.text(&self.message_id(phone), text)).await
    }

    /// Somebody sends files, given as type, name and content, with a text.
    pub async fn send_files(&self, phone: &Phone, text: &str, files: &[(&str, &str, &[u8])]) -> Answer {
        self.webhook(phone.with_files(&self.message_id(phone), text, files)).await
    }

    /// The file of a send, as the provider gets it: by its link, asked for with HEAD first, or as it was uploaded. `None` where
    /// it has none.
    pub async fn delivered(&self, sent: &Sent) -> Option<(String, Bytes)> {
        match sent.submission.as_ref()?.media.first()? {
            SubmittedFile::Kept(id) => {
                let file = self.sink.files().file(id).expect("what was uploaded");
                Some((file.content_type, file.bytes))
            }
            SubmittedFile::Link(url) => Some(self.behind(url).await),
        }
    }

    /// What a link of ours leads to.
    pub async fn behind(&self, url: &str) -> (String, Bytes) {
        let url = url.replace(super::config::PUBLIC_URL, &self.client.base);
        let head = self.client.http.head(&url).send().await.unwrap();
        assert_eq!(head.status(), 200, "{url}");
        let answer = self.client.http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 200, "{url}");
        for name in ["content-type", "content-length", "etag"] {
            assert_eq!(head.headers().get(name), answer.headers().get(name), "{name}");
        }
        let content_type = answer.headers()["content-type"].to_str().unwrap().to_owned();
        (content_type, answer.bytes().await.unwrap())
    }

    /// Delivers a provider's request.
    pub async fn webhook(&self, signed: SignedRequest) -> Answer {
        self.try_webhook(signed).await.unwrap()
    }

    /// As [`World::webhook`], where the daemon may be gone.
    pub async fn try_webhook(&self, signed: SignedRequest) -> Result<Answer, reqwest::Error> {
        // The world's name for the daemon, replaced by where it really listens.
        let after = signed.url.find("/webhooks/").expect("a webhook");
        let url = format!("{}{}", self.client.base, &signed.url[after..]);
        let mut request = self.client.http.request(signed.method, url).body(signed.body);
        for (name, value) in signed.headers {
            request = request.header(name, value);
        }
        client::read(request.send().await?).await
    }

    /// Posts any body with any headers to an adapter's webhook.
    pub async fn raw_webhook(
        &self,
        adapter: &str,
        (headers, body): (Vec<(&'static str, String)>, Bytes),
    ) -> Answer {
        let mut request =
            self.client.http.post(format!("{}/webhooks/{adapter}", self.client.base)).body(body);
        for (name, value) in headers {
            request = request.header(name, value);
        }
        client::read(request.send().await.unwrap()).await.unwrap()
    }

    /// The provider reports a status of something that was sent; says whether it tells such statuses.
    pub async fn report(&self, sent: &Sent, status: DeliveryStatus, error: Option<u32>) -> bool {
        let simulator = self.sink.simulator(&sent.place);
        let Some(signed) = provider::status(&*simulator, &sent.place, sent, status, error) else {
            return false;
        };
        let answer = self.webhook(signed).await;
        assert!((200..300).contains(&answer.status), "{answer:?}");
        true
    }

    /// A conversation of three people, each through our proxy address on their channel.
    pub async fn three(&self, sms: &str, whatsapp: &str, messenger: &str) -> Conversation {
        self.client.conversation(&[(sms, SMS), (whatsapp, WHATSAPP), (messenger, PAGE)]).await
    }

    /// Waits until a message's receipts are as `wanted` says, and gives them.
    pub async fn receipts_until(
        &self,
        conversation: &str,
        message: &str,
        wanted: impl Fn(&[Value]) -> bool,
    ) -> Vec<Value> {
        let ask = || async {
            let receipts = self.client.receipts(conversation, message).await;
            wanted(&receipts).then_some(receipts)
        };
        self.daemon.eventually("the receipts", ask).await
    }

    /// Waits until no lane has anything left to do.
    pub async fn quiet(&self) {
        let ask = || async {
            let lanes = self.daemon.lanes().await;
            lanes.iter().all(|lane| lane["depth"] == 0).then_some(())
        };
        self.daemon.eventually("empty lanes", ask).await;
    }
}
