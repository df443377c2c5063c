//! Sockets: handed over by systemd, or bound here.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

/// The TCP sockets systemd opened for us; none when it did not. They are there across a restart, so that no caller is
/// refused while we are away.
///
/// # Errors
/// When a descriptor that was handed over is no TCP listener.
pub fn inherited() -> io::Result<Vec<TcpListener>> {
    let mut handed = listenfd::ListenFd::from_env();
    let mut listeners = Vec::new();
    for number in 0..handed.len() {
        if let Some(listener) = handed.take_tcp_listener(number)? {
            listener.set_nonblocking(true)?;
            listeners.push(TcpListener::from_std(listener)?);
        }
    }
    Ok(listeners)
}

/// Binds one address.
///
/// # Errors
/// Names the address.
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let named =
        |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(named)
}
