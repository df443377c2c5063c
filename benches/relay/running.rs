//! A process that takes requests, and its end.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Child;

use super::Failure;
use super::daemon::Daemon;
use super::readings;

/// A subject that takes requests.
pub struct Running {
    pub target: SocketAddr,
    pub daemon: Option<Daemon>,
    others: Option<Guard>,
    pub pids: Vec<u32>,
}

/// Ends a process, and what it started, when it is no longer needed.
pub struct Guard(pub Child);

impl Drop for Guard {
    fn drop(&mut self) {
        for pid in readings::family(self.0.id()).into_iter().rev() {
            let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
            }
        }
        let _ = self.0.wait();
    }
}

impl Running {
    pub fn of(target: SocketAddr, others: Guard) -> Running {
        let pids = readings::family(others.0.id());
        Running { target, daemon: None, others: Some(others), pids }
    }

    /// The daemon over a copy of a store.
    pub fn daemon(bin: &Path, folder: &Path) -> Result<Running, Failure> {
        let daemon = Daemon::start(bin, folder)?;
        Ok(Running { target: daemon.address, pids: vec![daemon.pid()], daemon: Some(daemon), others: None })
    }

    pub fn stop(mut self) -> Result<(), Failure> {
        self.others.take();
        self.daemon.take().map_or(Ok(()), Daemon::stop)
    }
}

/// A port that nobody has right now, for programs that want to be told one.
pub fn free_port() -> std::io::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Waits until somebody listens.
pub fn listening(address: SocketAddr) -> Result<(), Failure> {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while std::net::TcpStream::connect(address).is_err() {
        if std::time::Instant::now() > deadline {
            return Err(format!("nobody listens at {address}").into());
        }
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    Ok(())
}
