//! Sockets: given, handed over by systemd, or bound here.

use std::io;
use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpSocket};

use super::Sockets;
use crate::config::Server;

/// Callers who may wait to be let in, if the kernel agrees (`net.core.somaxconn`). tokio would ask for 128. When everybody comes
/// back after a restart, those behind them knock in vain, and again only a second later, then three.
const WAITING: u32 = 4096;

/// The sockets of the world, and the one of metrics and health.
///
/// # Errors
/// When one cannot be had.
pub async fn open(given: Option<Sockets>, server: &Server) -> io::Result<(Vec<TcpListener>, TcpListener)> {
    if let Some(Sockets { listen, admin_listen }) = given {
        return Ok((vec![taken(listen)?], taken(admin_listen)?));
    }
    let mut public = inherited()?;
    if public.is_empty() {
        for address in &server.listen {
            public.push(bind(*address)?);
        }
    }
    Ok((public, bind(server.admin_listen)?))
}

fn taken(listener: std::net::TcpListener) -> io::Result<TcpListener> {
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

/// The TCP sockets systemd opened for us; none when it did not. They are there across a restart, so that no caller is
/// refused while we are away.
///
/// # Errors
/// When a descriptor that was handed over is no TCP listener.
fn inherited() -> io::Result<Vec<TcpListener>> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for number in 0..handed.len() {
        if let Some(listener) = handed.take_tcp_listener(number)? {
            listeners.push(taken(listener)?);
        }
    }
    Ok(listeners)
}

/// Binds one address.
///
/// # Errors
/// Names the address.
fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    listen(address).map_err(named)
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // Connections of the process before us may not be forgotten yet; they must not keep us from the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::net::TcpStream;
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn many_may_wait_to_be_let_in() {
        let listener = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = listener.local_addr().unwrap();
        // Whoever finds no room waits for a second and tries again.
        let patience = Duration::from_millis(900);
        let waiting = (0..200).map(|_| TcpStream::connect_timeout(&address, patience));
        let waiting: Result<Vec<_>, _> = waiting.collect();
        assert!(waiting.is_ok(), "{waiting:?}");
    }

    #[tokio::test]
    async fn an_address_that_cannot_be_had_is_named() {
        let first = bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        let address = first.local_addr().unwrap();
        let error = bind(address).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
        assert!(error.to_string().starts_with(&format!("cannot listen on {address}: ")), "{error}");
    }
}
