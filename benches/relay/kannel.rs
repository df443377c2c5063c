//! Kannel on the same work: GET in, POST out, its spool as its store. Started by `benches/kannel/run`.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Failure;
use super::daemon::sms;
use super::generator::Pool;
use super::running::{Guard, Running, free_port, listening};
use super::wire;

pub fn absent() -> Option<String> {
    let missing = ["bearerbox", "smsbox"].into_iter().filter(|program| {
        // Both leave at once when they are only asked for their version.
        Command::new(program).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
    });
    let missing: Vec<&str> = missing.collect();
    (!missing.is_empty()).then(|| {
        format!("{} not installed (apt-get install -y --no-install-recommends kannel)", missing.join(" and "))
    })
}

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/kannel/run")
}

pub fn start(folder: &Path, sink: SocketAddr) -> Result<Running, Failure> {
    let ports = [free_port()?, free_port()?, free_port()?, free_port()?];
    let [smsc, .., sendsms] = ports;
    let child = Command::new("bash")
        .arg(script())
        .arg(folder)
        .arg(sink.to_string())
        .args(ports.map(|port| port.to_string()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()?;
    let guard = Guard(child);
    let address = SocketAddr::from(([127, 0, 0, 1], smsc));
    listening(address)?;
    // The smsbox listens when it has found the bearerbox.
    listening(SocketAddr::from(([127, 0, 0, 1], sendsms)))?;
    Ok(Running::of(address, guard))
}

/// The same texts of the same people as GETs.
pub fn requests(count: usize, conversations: usize) -> Pool {
    let mut pool = Pool::default();
    for n in 0..count {
        let conversation = n % conversations;
        let text = format!("A message of the bench, number {}.", wire::marked(n));
        let from = format!("+1557{conversation:07}");
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs([
            ("username", "bench"),
            ("password", "bench"),
            ("from", &from),
            ("to", &sms(0)),
            ("text", &text),
        ]);
        pool.push(&format!("GET /?{} HTTP/1.1\r\nhost: bridge.test\r\n\r\n", query.finish()), b"");
    }
    pool
}
