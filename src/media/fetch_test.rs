//! Files got from a provider that a test plays.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use trunkline_adapter::{MediaHosts, MediaKind, Secret};

use super::*;
use crate::egress::{Caller, Guard};
use crate::media::Place;

/// Answers each path with what a test wrote for it, and remembers who was shown what.
struct Provider {
    base: String,
    heard: Arc<std::sync::Mutex<Vec<String>>>,
}

impl Provider {
    async fn start(answers: &[(&'static str, String)]) -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let heard: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
        let (answers, kept) = (answers.to_vec(), heard.clone());
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let (answers, kept) = (answers.clone(), kept.clone());
                tokio::spawn(async move {
                    let mut request = vec![0; 8192];
                    let read = socket.read(&mut request).await.unwrap();
                    let request = String::from_utf8_lossy(&request[..read]).into_owned();
                    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
                    kept.lock().unwrap().push(request);
                    let answer = answers.iter().find(|(at, _)| *at == path).map(|(_, answer)| answer.clone());
                    let answer = answer.unwrap_or_else(|| head(404, "", 0));
                    let _ = socket.write_all(answer.as_bytes()).await;
                    let _ = socket.shutdown().await;
                });
            }
        });
        Provider { base, heard }
    }
}

fn head(status: u16, headers: &str, length: usize) -> String {
    format!("HTTP/1.1 {status} X\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n")
}

fn file(text: &str) -> String {
    format!("{}{text}", head(200, "content-type: image/png\r\n", text.len()))
}

fn redirect(to: &str) -> String {
    head(307, &format!("location: {to}\r\n"), 0)
}

/// As WhatsApp: a document says where the file is.
struct Source(MediaHosts);

impl MediaSource for Source {
    fn hosts(&self) -> &MediaHosts {
        &self.0
    }

    fn begin(&self, _: &Address, media: &MediaReference) -> Result<MediaStep, MediaFault> {
        let request =
            |url: &String| MediaRequest { url: url.clone(), authorization: Some(Secret::new("Bearer tok")) };
        match (&media.id, &media.url) {
            (Some(id), _) => Ok(MediaStep::Ask(request(id))),
            (None, Some(url)) => Ok(MediaStep::Get(request(url))),
            (None, None) => Err(MediaFault::fatal("nothing")),
        }
    }

    fn told(&self, _: &Address, document: &[u8]) -> Result<MediaStep, MediaFault> {
        let url = String::from_utf8(document.to_vec()).unwrap();
        Ok(MediaStep::Get(MediaRequest { url, authorization: Some(Secret::new("Bearer tok")) }))
    }
}

struct House {
    downloads: Downloads,
    _folder: tempfile::TempDir,
}

impl House {
    async fn open() -> House {
        let folder = tempfile::tempdir().unwrap();
        let media = Media::open(folder.path(), &Place::Files).await.unwrap();
        let caller = Caller::new(Guard::default(), "test/1").unwrap();
        let fetcher = Fetcher::new(&caller, "test/1").unwrap();
        House { downloads: Downloads::new(media, fetcher, 100), _folder: folder }
    }

    async fn get(&self, base: &str, reference: &MediaReference) -> Result<Download, Missed> {
        let source = Source(MediaHosts::new(&["provider.example"], base));
        let proxy = Address::parse("+15550001111").unwrap();
        self.downloads.follow(&source, &proxy, reference).await
    }
}

fn reference(id: Option<String>, url: Option<String>) -> MediaReference {
    let (content_type, filename, caption, sha256) = (None, None, None, None);
    MediaReference { kind: MediaKind::Image, id, url, content_type, filename, caption, sha256 }
}

#[tokio::test]
async fn a_document_leads_to_the_file_and_the_token_goes_along() {
    let house = House::open().await;
    let store = Provider::start(&[("/store/1", file("bytes"))]).await;
    let to = format!("{}/store/1", store.base);
    let asked = [("/1", format!("{}{to}", head(200, "", to.len())))];
    let api = Provider::start(&asked).await;
    // Two ports are two origins: only the base is trusted, wherever the document leads.
    let missed = house.get(&api.base, &reference(Some(format!("{}/1", api.base)), None)).await.err().unwrap();
    assert_eq!((missed.1, missed.0.again), (FetchOutcome::Refused, false));
    assert!(store.heard.lock().unwrap().is_empty());

    let one = Provider::start(&[("/file", file("bytes")), ("/moved", redirect("/file"))]).await;
    let got = house.get(&one.base, &reference(None, Some(format!("{}/moved", one.base)))).await.ok().unwrap();
    assert_eq!((got.stored.size, got.content_type.as_str()), (5, "image/png"));
    let heard = one.heard.lock().unwrap().clone();
    let shown = |request: &String| request.contains("authorization: Bearer tok\r\n");
    assert!(shown(&heard[0]) && !shown(&heard[1]), "{heard:?}");
}

#[tokio::test]
async fn what_leads_anywhere_else_is_refused_and_counted_as_such() {
    let house = House::open().await;
    let inside = Provider::start(&[("/secret", file("secret"))]).await;
    let port = inside.base.rsplit(':').next().unwrap().to_owned();
    for to in [
        format!("http://127.0.0.1:{port}/secret"),
        format!("http://2130706433:{port}/secret"),
        format!("http://0x7f000001:{port}/secret"),
        format!("http://[::ffff:127.0.0.1]:{port}/secret"),
        format!("http://localhost:{port}/secret"),
        "http://169.254.169.254/latest/meta-data/".to_owned(),
        "file:///etc/passwd".to_owned(),
        "gopher://provider.example/".to_owned(),
        "https://provider.example.evil.example/".to_owned(),
        "https://evil.example/provider.example".to_owned(),
    ] {
        let provider = Provider::start(&[("/moved", redirect(&to))]).await;
        for url in [to.clone(), format!("{}/moved", provider.base)] {
            let missed = house.get(&provider.base, &reference(None, Some(url))).await.err().unwrap();
            assert_eq!((missed.1, missed.0.again), (FetchOutcome::Refused, false), "{to}");
        }
    }
    assert!(inside.heard.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_name_of_the_list_that_leads_inside_is_refused_when_it_is_resolved() {
    // As a name that is rebound: the list knows it, and what it resolves to is loopback.
    let house = House::open().await;
    let hosts = MediaHosts::new(&["localhost"], "https://api.provider.example");
    let missed = house
        .downloads
        .follow(
            &Source(hosts),
            &Address::parse("+15550001111").unwrap(),
            &reference(None, Some("https://localhost:9/x".to_owned())),
        )
        .await
        .err()
        .unwrap();
    assert_eq!(missed.1, FetchOutcome::Refused);
}

#[tokio::test]
async fn bounds_hold_and_passing_troubles_are_told_from_lasting_ones() {
    let house = House::open().await;
    let long = "x".repeat(101);
    let provider = Provider::start(&[
        ("/long", file(&long)),
        ("/liar", format!("HTTP/1.1 200 X\r\nconnection: close\r\n\r\n{long}")),
        ("/half", format!("{}half", head(200, "", 50))),
        ("/round", redirect("/round")),
        ("/busy", head(503, "", 0)),
        ("/ok", file("bytes")),
    ])
    .await;
    for (path, again) in
        [("/long", false), ("/liar", false), ("/half", true), ("/round", false), ("/busy", true)]
    {
        let missed =
            house.get(&provider.base, &reference(None, Some(format!("{}{path}", provider.base)))).await;
        let missed = missed.err().unwrap();
        assert_eq!((missed.1, missed.0.again), (FetchOutcome::Failed, again), "{path}: {}", missed.0.text);
    }
    let missed = house.get(&provider.base, &reference(None, Some(format!("{}/gone", provider.base)))).await;
    assert!(!missed.err().unwrap().0.again);
    let mut other = reference(None, Some(format!("{}/ok", provider.base)));
    other.sha256 = Some("00".repeat(32));
    assert!(house.get(&provider.base, &other).await.err().unwrap().0.again);
}
