//! Ten large files at once, up and down, while somebody reads slowly: no file is ever whole in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{Context, SHA256, digest};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

use crate::harness::{Sent, WHATSAPP, World, config};

const FILES: u8 = 10;
/// By how much the daemon may grow meanwhile.
const GROWTH: u64 = 64 << 20;

/// Bytes of each file: of the size that is promised where `TRUNKLINE_BIG` is set, else of one that all of them together
/// would still show.
fn size() -> usize {
    if std::env::var_os("TRUNKLINE_BIG").is_some() { 100_000_000 } else { 12_000_000 }
}

/// A piece of one of the files, the same throughout.
fn piece(number: u8) -> Vec<u8> {
    (0..50_000u32).map(|place| (place * 31) as u8 ^ number).collect()
}

/// A number of `/proc/PID/status`, in bytes.
fn memory(pid: u32, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// Sends a head, and gives the answer's status, its length, and what follows.
async fn asked(
    address: SocketAddr,
    head: &str,
    body: impl AsyncFnOnce(&mut TcpStream),
) -> (u16, usize, BufReader<TcpStream>) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    body(&mut stream).await;
    let mut reader = BufReader::new(stream);
    let (mut status, mut length) = (0, 0);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).await.unwrap();
        let line = line.trim_end().to_ascii_lowercase();
        if let Some(rest) = line.strip_prefix("http/1.1 ") {
            status = rest[..3].parse().unwrap();
        } else if let Some(rest) = line.strip_prefix("content-length: ") {
            length = rest.parse().unwrap();
        } else if line.is_empty() {
            return (status, length, reader);
        }
    }
}

/// Uploads a file, and gives the path of its link.
async fn upload(address: SocketAddr, path: &str, number: u8) -> String {
    let credentials = STANDARD.encode(format!("{}:{}", config::ACCOUNT, config::TOKEN));
    let (size, piece) = (size(), piece(number));
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Basic {credentials}\r\nContent-Type: video/mp4\r\n\
         Content-Length: {size}\r\nConnection: close\r\n\r\n"
    );
    let body = async |stream: &mut TcpStream| {
        for _ in 0..size / piece.len() {
            stream.write_all(&piece).await.unwrap();
        }
    };
    let (status, length, mut reader) = asked(address, &head, body).await;
    let mut answer = vec![0; length];
    reader.read_exact(&mut answer).await.unwrap();
    let record: serde_json::Value = serde_json::from_slice(&answer).unwrap();
    assert_eq!(status, 201, "{record}");
    let link = record["links"]["content_direct_temporary"].as_str().unwrap();
    link.strip_prefix(config::PUBLIC_URL).unwrap().to_owned()
}

/// The digest of a file.
fn expected(number: u8) -> Vec<u8> {
    let piece = piece(number);
    let mut context = Context::new(&SHA256);
    (0..size() / piece.len()).for_each(|_| context.update(&piece));
    context.finish().as_ref().to_vec()
}

async fn open(address: SocketAddr, link: &str) -> BufReader<TcpStream> {
    let head = format!("GET {link} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    let (status, length, reader) = asked(address, &head, async |_: &mut TcpStream| {}).await;
    assert_eq!((status, length), (200, size()));
    reader
}

/// Reads to the end; gives the digest.
async fn digest_of(mut reader: BufReader<TcpStream>) -> Vec<u8> {
    let (mut context, mut buffer) = (Context::new(&SHA256), vec![0; 64 * 1024]);
    loop {
        match reader.read(&mut buffer).await.unwrap() {
            0 => return context.finish().as_ref().to_vec(),
            read => context.update(&buffer[..read]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_large_files_at_once_do_not_fill_the_memory() {
    // Whoever takes nothing of an answer for so long is given up.
    let patient = "request_timeout = \"120s\"".to_owned();
    let world = World::start_with(|config| config.limits.push(patient)).await;
    let client = &world.client;
    let configuration = client.get("/v1/Configuration").await.expect(200);
    let service = configuration["default_chat_service_sid"].as_str().unwrap();
    let path = format!("/v1/Services/{service}/Media");
    let (address, pid) = (world.daemon.address, world.daemon.pid());
    // From here on the peak counts.
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let idle = memory(pid, "VmRSS:");
    let first = upload(address, &path, FILES).await;
    // Somebody who has read a little and goes on when everything else is over.
    let slow = open(address, &first).await;
    let uploads = (0..FILES).map(|number| {
        let path = path.clone();
        tokio::spawn(async move { upload(address, &path, number).await })
    });
    let uploads: Vec<_> = uploads.collect();
    let mut fetches = Vec::new();
    for (number, upload) in (0..FILES).zip(uploads) {
        let link = upload.await.unwrap();
        fetches.push((number, tokio::spawn(async move { digest_of(open(address, &link).await).await })));
    }
    for (number, fetch) in fetches {
        assert_eq!(fetch.await.unwrap(), expected(number), "file {number}");
    }
    let late = tokio::time::timeout(Duration::from_secs(60), digest_of(slow)).await.unwrap();
    assert_eq!(late, expected(FILES), "the slow reader's");
    let peak = memory(pid, "VmHWM:");
    let growth = peak.saturating_sub(idle);
    println!("idle {} KiB, {} KiB more at the peak", idle >> 10, growth >> 10);
    assert!(growth <= GROWTH, "{} KiB above idle", growth >> 10);
    assert_ne!(digest(&SHA256, &piece(0)).as_ref(), digest(&SHA256, &piece(1)).as_ref());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_large_files_relayed_at_once_do_not_fill_the_memory() {
    let world = World::start().await;
    let person = |group: u8, number: u8| format!("whatsapp:+155577{group}000{number:02}");
    for number in 0..FILES {
        let (from, to) = (person(8, number), person(9, number));
        world.client.conversation(&[(&from, WHATSAPP), (&to, WHATSAPP)]).await;
    }
    let pid = world.daemon.pid();
    std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
    let idle = memory(pid, "VmRSS:");
    // A provider that takes the beginning of one of them and goes on when all the others are through.
    let gate = Arc::new(Semaphore::new(0));
    world.sink.files().read_slowly(gate.clone());
    for number in 0..FILES {
        let content = piece(number).repeat(size() / piece(number).len());
        let files = [("application/pdf", "large.pdf", &content[..])];
        let phone = world.whatsapp(&person(8, number));
        assert_eq!(world.send_files(&phone, "", &files).await.status, 200);
    }
    let with_file = |sent: &Sent| sent.submission.as_ref().is_some_and(|taken| !taken.media.is_empty());
    let arrived = |count: usize| {
        move |all: &[Sent]| all.iter().filter(|sent| sent.taken() && with_file(sent)).count() >= count
    };
    let patience = Duration::from_secs(300);
    let others = usize::from(FILES) - 1;
    world.sink.wait_within(patience, "all but one", arrived(others)).await;
    gate.add_permits(1);
    let all = world.sink.wait_within(patience, "the slow one too", arrived(others + 1)).await;
    let peak = memory(pid, "VmHWM:");
    for number in 0..FILES {
        let sent = all.iter().find(|sent| sent.to() == person(9, number) && with_file(sent)).unwrap();
        let (content_type, bytes) = world.delivered(sent).await.unwrap();
        assert_eq!(content_type, "application/pdf");
        assert_eq!(digest(&SHA256, &bytes).as_ref(), expected(number), "file {number}");
    }
    let growth = peak.saturating_sub(idle);
    println!("idle {} KiB, {} KiB more at the peak of relaying", idle >> 10, growth >> 10);
    assert!(growth <= GROWTH, "{} KiB above idle", growth >> 10);
}
