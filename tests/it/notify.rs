//! What systemd is told, and the sockets it hands over.

use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc};

use crate::harness::{Act, PAGE, PATIENCE, SMS, World};

/// A supervisor's socket: every datagram, in order.
struct Supervisor {
    told: mpsc::UnboundedReceiver<String>,
}

impl Supervisor {
    /// Listens where the daemon of this world will be told to report.
    fn of(world: &mut World) -> Supervisor {
        let path = world.folder.path().join("notify.sock");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (sender, told) = mpsc::unbounded_channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
                if sender.send(text).is_err() {
                    return;
                }
            }
        });
        world.daemon.env.insert("NOTIFY_SOCKET".to_owned(), path.display().to_string());
        Supervisor { told }
    }

    async fn next(&mut self) -> String {
        tokio::time::timeout(PATIENCE, self.told.recv()).await.expect("word in time").expect("a socket")
    }

    /// The next word, which must be this one.
    async fn hears(&mut self, word: &str) -> String {
        let text = self.next().await;
        assert!(text.lines().any(|line| line == word), "{text:?} instead of {word:?}");
        text
    }
}

fn launch(world: &mut World) {
    let command = world.daemon.command();
    world.daemon.launch(command);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ready_reloading_and_stopping_are_told_when_they_are_true() {
    let mut world = World::prepare(|_| {}).await;
    let mut supervisor = Supervisor::of(&mut world);
    launch(&mut world);
    supervisor.hears("READY=1").await;
    // The addresses are in the log before that word goes out.
    world.daemon.listening().await;
    world.client = crate::harness::Client::new(world.daemon.address);
    assert_eq!(world.daemon.admin("/readyz").await, (200, "ready\n".to_owned()));
    world.client.get("/v1/Conversations").await.expect(200);

    world.daemon.reload();
    let text = supervisor.hears("RELOADING=1").await;
    let since = text.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(since.is_some_and(|since| since.parse::<u64>().is_ok_and(|since| since > 0)), "{text}");
    supervisor.hears("READY=1").await;

    // Refused, and still ready with what was there before.
    world.edit(|config| config.rest = "[hologram]\n".to_owned());
    assert_eq!(world.daemon.try_reload().status.code(), Some(78));
    supervisor.hears("RELOADING=1").await;
    supervisor.hears("READY=1").await;
    world.edit(|config| config.rest.clear());

    // A send that is under way when the end is asked for.
    let talk = world.client.conversation(&[("+15557770001", SMS), ("messenger:7770003", PAGE)]).await;
    let gate = Arc::new(Semaphore::new(0));
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let held = gate.clone();
    world.sink.script(move |_| {
        let _ = arrived.send(());
        Act::Until(held.clone(), Box::new(Act::Accept))
    });
    world.client.say(&talk.sid, "desk", "the last one").await.expect(201);
    arrivals.recv().await.unwrap();
    arrivals.recv().await.unwrap();
    world.daemon.terminate();
    supervisor.hears("STOPPING=1").await;
    let unready = || async {
        let (status, text) = world.daemon.admin("/readyz").await;
        (status == 503).then_some(text)
    };
    assert_eq!(world.daemon.eventually("not ready", unready).await, "draining\n");
    assert_eq!(world.daemon.admin("/healthz").await.0, 200);
    gate.add_permits(2);
    assert!(world.daemon.wait().await.success());
    assert_eq!(world.sink.sent().len(), 2);

    // What was under way is written down: nothing is sent again.
    world.sink.always(Act::Accept);
    launch(&mut world);
    supervisor.hears("READY=1").await;
    world.daemon.listening().await;
    world.client = crate::harness::Client::new(world.daemon.address);
    assert!(!world.daemon.log().lines().iter().any(|line| line.contains("did not end in order")));
    world.client.say(&talk.sid, "desk", "the first one").await.expect(201);
    world.sink.taken(4).await;
    let texts: Vec<_> =
        world.sink.taken_for("+15557770001").iter().map(|sent| sent.text().to_owned()).collect();
    assert_eq!(texts, ["the last one", "the first one"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_told_of_a_start_that_fails() {
    let mut world = World::start().await;
    let taken = world.daemon.address;
    let mut second = World::prepare(|config| config.listen = taken.to_string()).await;
    let mut supervisor = Supervisor::of(&mut second);
    launch(&mut second);
    let status = second.daemon.wait().await;
    assert_eq!(status.code(), Some(1));
    assert!(supervisor.told.try_recv().is_err());
    let log = second.daemon.log().lines().join("\n");
    assert!(log.contains(&taken.to_string()), "{log}");
    world.daemon.sigterm().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sockets_handed_over_are_used_and_outlive_a_restart() {
    let mut world = World::prepare(|_| {}).await;
    // The supervisor's own: it stays open while the daemon is away.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let handed = |world: &World| {
        let serve = world.daemon.command();
        let mut command = Command::new("sh");
        // The third descriptor is where systemd puts the first socket; the shell becomes the daemon, so its pid holds.
        command
            .arg("-c")
            .arg("exec 3<&0 0</dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$@\"")
            .arg("sh");
        command.arg(serve.get_program()).args(serve.get_args());
        command.env_remove("NOTIFY_SOCKET");
        command.stdin(Stdio::from(OwnedFd::from(listener.try_clone().unwrap())));
        command
    };
    let command = handed(&world);
    world.daemon.start_as(command).await;
    assert_eq!(world.daemon.address, address);
    world.client = crate::harness::Client::new(address);
    let talk = world.client.conversation(&[("+15557770001", SMS)]).await;
    assert!(world.daemon.sigterm().await.success());

    // A request that comes while nobody is there waits in the socket's backlog.
    let client = crate::harness::Client::new(address);
    let sid = talk.sid.clone();
    let early = tokio::spawn(async move { client.say(&sid, "desk", "early").await });
    let command = handed(&world);
    world.daemon.start_as(command).await;
    early.await.unwrap().expect(201);
    assert_eq!(world.sink.taken(1).await[0].text(), "early");
}
