//! Keys that a store makes for itself at its first start: the one that masks addresses in logs, so that lines of several
//! runs can be joined, and the one that signs links to files, so that links outlive a restart.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use ring::rand::{SecureRandom, SystemRandom};

const LENGTH: usize = 32;

/// The file of the key that masks addresses in logs.
pub const LOG: &str = "log-key";
/// The file of the key that signs links.
pub const LINKS: &str = "link-key";

/// A key of this store; made when it is first asked for.
///
/// # Errors
/// When it cannot be read or written, or is no key.
pub fn load(store: &Path, name: &str) -> io::Result<[u8; LENGTH]> {
    let path = store.join(name);
    match fs::read(&path) {
        Ok(bytes) => bytes.try_into().map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not 32 bytes")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make(store, &path, name),
        Err(error) => Err(error),
    }
}

fn make(store: &Path, path: &Path, name: &str) -> io::Result<[u8; LENGTH]> {
    let mut key = [0; LENGTH];
    SystemRandom::new().fill(&mut key).map_err(|_| io::Error::other("no randomness"))?;
    // Written aside and renamed: a start that is cut short leaves no half a key behind.
    let aside = store.join(format!("{name}.new"));
    // What an earlier start left there may be readable to others.
    if let Err(error) = fs::remove_file(&aside)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&aside)?;
    file.write_all(&key)?;
    file.sync_all()?;
    fs::rename(&aside, path)?;
    File::open(store)?.sync_all()?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_store_keeps_its_key_to_itself() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        // Left by a start that was cut short.
        fs::write(one.path().join("log-key.new"), b"half").unwrap();
        let key = load(one.path(), LOG).unwrap();
        assert_eq!(load(one.path(), LOG).unwrap(), key);
        assert_ne!(load(other.path(), LOG).unwrap(), key);
        assert_ne!(load(one.path(), LINKS).unwrap(), key);
        let mode = fs::metadata(one.path().join("log-key")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn what_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("log-key"), b"short").unwrap();
        assert_eq!(load(folder.path(), LOG).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
