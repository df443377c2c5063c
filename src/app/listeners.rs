//! Sockets: given, handed over by systemd, or bound here.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use super::Sockets;
use crate::config::Server;

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
            public.push(bind(*address).await?);
        }
    }
    Ok((public, bind(server.admin_listen).await?))
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
async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(named)
}
