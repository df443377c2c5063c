//! Sockets: handed over by systemd, or bound here.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use tokio::net::{TcpListener, UnixListener};

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
    let named = |error: io::Error| io::Error::new(error.kind(), format!("cannot listen on {address}: {error}"));
    TcpListener::bind(address).await.map_err(named)
}

/// Binds the admin socket, readable by its owner and group only. A socket that a dead daemon left is replaced; one
/// that somebody answers on is not.
///
/// # Errors
/// Names the path.
pub async fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let named = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot listen on {}: {error}", path.display()))
    };
    if let Ok(found) = std::fs::symlink_metadata(path)
        && found.file_type().is_socket()
    {
        if tokio::net::UnixStream::connect(path).await.is_ok() {
            return Err(named(io::Error::from(io::ErrorKind::AddrInUse)));
        }
        std::fs::remove_file(path).map_err(named)?;
    }
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(named)?;
    }
    let listener = UnixListener::bind(path).map_err(named)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(named)?;
    Ok(listener)
}
