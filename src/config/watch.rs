//! Noticing that the configuration or a secret changed.
//!
//! Editors rename over a file, and orchestrators swap a symbolic link somewhere on the way to it. So directories are
//! watched, those of every link on the way too, and an event there only means: look whether what the path leads to is
//! another file now, or was written to. Without events nothing runs.

use std::collections::{BTreeSet, HashMap};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt;
use inotify::{EventStream, Inotify, WatchDescriptor, WatchMask, Watches};
use tokio::sync::mpsc;
use tokio::time::Instant;

/// How long there must be quiet before a change is told: a save is several events.
const QUIET: Duration = Duration::from_millis(300);

/// Longer than this a busy directory does not keep a change from being told.
const PATIENCE: u32 = 10;

/// Tells when files change.
pub struct Watch {
    changes: mpsc::Receiver<()>,
    follow: mpsc::UnboundedSender<Vec<PathBuf>>,
}

impl Watch {
    /// Watches files. Must be called inside a runtime; watching ends when the watch is dropped. Start it before the
    /// first load, so that no edit falls between both, and [`follow`](Watch::follow) what that load names.
    ///
    /// # Errors
    /// When the kernel gives no watch, or none of the files' directories can be watched.
    pub fn start(files: Vec<PathBuf>) -> io::Result<Watch> {
        Watch::with_quiet(files, QUIET)
    }

    fn with_quiet(files: Vec<PathBuf>, quiet: Duration) -> io::Result<Watch> {
        let inotify = Inotify::init()?;
        let watches = inotify.watches();
        let events = inotify.into_event_stream(vec![0_u8; 4096])?;
        let mut watched = Watched { watches, directories: Vec::new(), files, seen: HashMap::new() };
        watched.renew();
        if watched.directories.is_empty() && !watched.files.is_empty() {
            return Err(io::Error::other("no directory of the configuration can be watched"));
        }
        // One place: a change nobody took yet covers the next one too.
        let (tell, changes) = mpsc::channel(1);
        let (follow, followed) = mpsc::unbounded_channel();
        tokio::spawn(run(watched, events, tell, followed, quiet));
        Ok(Watch { changes, follow })
    }

    /// Waits for the next change; `None` when watching broke. Nothing is lost when the future is dropped.
    pub async fn changed(&mut self) -> Option<()> {
        self.changes.recv().await
    }

    /// Watches these files from now on.
    pub fn follow(&self, files: Vec<PathBuf>) {
        // Fails only when the task is gone, which `changed` tells.
        let _ = self.follow.send(files);
    }
}

struct Watched {
    watches: Watches,
    directories: Vec<(PathBuf, WatchDescriptor)>,
    files: Vec<PathBuf>,
    /// What each file's path led to when it was last looked at.
    seen: HashMap<PathBuf, Option<Trace>>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Trace {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Watched {
    /// Looks at the files and watches the directories they are in now; whether a file differs from last time.
    fn renew(&mut self) -> bool {
        let wanted: BTreeSet<PathBuf> = self.files.iter().flat_map(|file| directories(file)).collect();
        let mask = WatchMask::CREATE
            | WatchMask::CLOSE_WRITE
            | WatchMask::MOVE
            | WatchMask::DELETE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ATTRIB
            | WatchMask::ONLYDIR;
        // Adding a directory again is harmless and catches one that was removed and made anew.
        let added = wanted.into_iter().filter_map(|path| {
            let watch = self.watches.add(&path, mask).ok()?;
            Some((path, watch))
        });
        let added: Vec<_> = added.collect();
        for (_, watch) in std::mem::take(&mut self.directories) {
            if !added.iter().any(|(_, kept)| *kept == watch) {
                // Gone already when its directory is.
                let _ = self.watches.remove(watch);
            }
        }
        self.directories = added;
        // Looked at after the watches are set: a change in between is seen now, one behind it makes an event.
        let seen: HashMap<_, _> = self.files.iter().map(|file| (file.clone(), trace(file))).collect();
        // A file that was not followed before has just been read: it is no change.
        let differs = seen.iter().any(|(file, now)| self.seen.get(file).is_some_and(|before| before != now));
        self.seen = seen;
        differs
    }
}

async fn run(
    mut watched: Watched,
    mut events: EventStream<Vec<u8>>,
    tell: mpsc::Sender<()>,
    mut followed: mpsc::UnboundedReceiver<Vec<PathBuf>>,
    quiet: Duration,
) {
    loop {
        tokio::select! {
            files = followed.recv() => {
                let Some(files) = files else { return };
                watched.files = files;
                // A change behind the last look would go unnoticed otherwise: its event finds it looked at.
                if watched.renew() {
                    let _ = tell.try_send(());
                }
            }
            event = events.next() => {
                if event.is_none() {
                    return;
                }
                let latest = Instant::now() + quiet * PATIENCE;
                while Instant::now() < latest {
                    match tokio::time::timeout(quiet, events.next()).await {
                        Ok(Some(_)) => {}
                        Ok(None) => return,
                        Err(_) => break,
                    }
                }
                if watched.renew() {
                    // Full: a change is waiting to be taken already.
                    let _ = tell.try_send(());
                }
            }
        }
    }
}

/// The directories in which something must happen for a path to lead elsewhere.
fn directories(file: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut at = file.to_owned();
    // The kernel follows no more than 40 links either.
    for _ in 0..40 {
        let above = match at.parent() {
            Some(above) if !above.as_os_str().is_empty() => above.to_owned(),
            _ => PathBuf::from("."),
        };
        found.push(above.clone());
        match std::fs::read_link(&at) {
            Ok(target) => at = above.join(target),
            Err(_) => break,
        }
    }
    found
}

fn trace(file: &Path) -> Option<Trace> {
    let metadata = std::fs::metadata(file).ok()?;
    Some(Trace {
        device: metadata.dev(),
        inode: metadata.ino(),
        size: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::disallowed_methods, clippy::unwrap_used)]
    use super::*;
    use std::os::unix::fs::symlink;

    const SOON: Duration = Duration::from_millis(20);

    async fn told(watch: &mut Watch) {
        tokio::time::timeout(Duration::from_secs(10), watch.changed()).await.unwrap().unwrap();
    }

    #[tokio::test]
    async fn writes_renames_and_new_files_are_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("trunkline.toml");
        std::fs::write(&file, "1").unwrap();
        let mut watch = Watch::with_quiet(vec![file.clone()], SOON).unwrap();
        std::fs::write(&file, "22").unwrap();
        told(&mut watch).await;
        std::fs::write(directory.path().join(".new"), "333").unwrap();
        std::fs::rename(directory.path().join(".new"), &file).unwrap();
        told(&mut watch).await;
        std::fs::remove_file(&file).unwrap();
        told(&mut watch).await;
        std::fs::write(&file, "4").unwrap();
        told(&mut watch).await;
    }

    #[tokio::test]
    async fn a_swapped_link_on_the_way_is_told_and_its_target_too() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (folder, text) in [("one", "1"), ("two", "22")] {
            std::fs::create_dir(at(folder)).unwrap();
            std::fs::write(at(folder).join("trunkline.toml"), text).unwrap();
        }
        symlink("one", at("data")).unwrap();
        symlink("data/trunkline.toml", at("trunkline.toml")).unwrap();
        let mut watch = Watch::with_quiet(vec![at("trunkline.toml")], SOON).unwrap();
        symlink("two", at("data.new")).unwrap();
        std::fs::rename(at("data.new"), at("data")).unwrap();
        told(&mut watch).await;
        std::fs::write(at("two").join("trunkline.toml"), "333").unwrap();
        told(&mut watch).await;
    }

    #[tokio::test]
    async fn neighbours_are_not_told_and_followed_files_are() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        std::fs::write(at("a"), "1").unwrap();
        std::fs::create_dir(at("far")).unwrap();
        std::fs::write(at("far").join("secret"), "1").unwrap();
        let mut watch = Watch::with_quiet(vec![at("a")], SOON).unwrap();
        // A neighbour, and then the file itself: told once, for the file.
        std::fs::write(at("b"), "1").unwrap();
        std::fs::write(at("a"), "22").unwrap();
        told(&mut watch).await;
        assert!(watch.changes.try_recv().is_err());
        watch.follow(vec![at("a"), at("far").join("secret")]);
        // Which of both is first does not matter: following looks, and behind it events come.
        let followed = async {
            while watch.changes.try_recv().is_err() {
                let now = format!("{:?}", std::time::Instant::now());
                std::fs::write(at("far").join("secret"), now).unwrap();
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), followed).await.unwrap();
    }
}
