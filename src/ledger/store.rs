//! Opening a store's directory: the lock, the ledger, the mark beside it, and when not to serve.

use std::cmp::Ordering;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ring::error::Unspecified;

use super::engine::{Durability, Engine, Follower, PAST_LARGEST_NUMBER, Revision};
use super::fjall::{Files, FjallEngine, NEWEST, OnFatal, Start, journal};
use super::high::{HighMark, Mark};
use super::incarnation::Incarnation;

/// The format of the store that this program reads and writes.
pub const FORMAT: u32 = 2;

const FORMAT_FACT: &str = "format";
const INCARNATION_FACT: &str = "incarnation";
const RESTORED_FACT: &str = "restored";

/// Where the store is and what it promises.
#[derive(Clone, Debug)]
pub struct StoreSettings {
    pub path: PathBuf,
    pub durability: Durability,
    /// Bytes of the disk to keep free: below, nothing new is taken in.
    pub keep_free: u64,
    /// Bytes of memory for blocks read from disk.
    pub cache_bytes: u64,
}

/// Why a store is not served.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{} is in use by another process", .path.display())]
    InUse { path: PathBuf },
    #[error("the store has format {found}, this program knows formats up to {known}: use a newer release")]
    NewerFormat { found: u32, known: u32 },
    #[error(
        "the store has format {found}, this program writes format {known}: \
         `trunkline dump` it with the release that wrote it and `trunkline restore` it with this one"
    )]
    OlderFormat { found: u32, known: u32 },
    #[error(
        "the ledger is {ledger} and ledger.high beside it is of {mark}: one of them was copied from another store"
    )]
    OtherStore { ledger: Incarnation, mark: Incarnation },
    #[error(
        "the ledger ends at number {ledger}, but {acknowledged} was acknowledged: \
         writes are lost; `trunkline dump --damaged` saves what is there, `trunkline restore` starts over from it"
    )]
    LostData { ledger: Revision, acknowledged: Revision },
    #[error(
        "{} is missing or unreadable, so nobody can tell whether the ledger is complete; \
         `trunkline dump --damaged` saves what is there, `trunkline restore` starts over from it", .path.display()
    )]
    NoMark { path: PathBuf },
    #[error("{} already holds a store", .path.display())]
    NotEmpty { path: PathBuf },
    #[error("the clock says {micros} microseconds since 1970, which is no number the ledger can go on from")]
    Clock { micros: u64 },
    #[error("the ledger is damaged: {0}")]
    Damaged(String),
    #[error("the system gives no random numbers")]
    Random(#[from] Unspecified),
    #[error("{}", .path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("the ledger cannot be opened")]
    Engine(#[from] ::fjall::Error),
}

/// That a store was made from a dump. Whoever remembers numbers of the store it replaced, remembers some of `known` to
/// `began` that mean nothing here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Restoration {
    /// The highest number in the dump.
    pub known: Revision,
    /// Everything written since is numbered above.
    pub began: Revision,
}

impl Restoration {
    /// Writes it down.
    pub(super) fn write(self, files: &Files) -> Result<(), OpenError> {
        let bytes = [self.known.to_be_bytes(), self.began.to_be_bytes()].concat();
        Ok(files.set_facts(&[(RESTORED_FACT, &bytes)])?)
    }

    fn read(files: &Files) -> Result<Restoration, OpenError> {
        let Some(fact) = files.fact(RESTORED_FACT)? else { return Ok(Restoration::default()) };
        let damaged = || OpenError::Damaged("its restoration has a wrong length".to_owned());
        let halves = fact.split_at_checked(8).ok_or_else(damaged)?;
        let number = |bytes: &[u8]| bytes.try_into().map(u64::from_be_bytes).map_err(|_| damaged());
        Ok(Restoration { known: number(halves.0)?, began: number(halves.1)? })
    }
}

/// An opened store. The engine lives until its last handle is dropped.
pub struct Store {
    engine: Arc<FjallEngine>,
    incarnation: Incarnation,
    restoration: Restoration,
}

/// Where things are in the store's directory.
pub(super) struct Layout {
    pub root: PathBuf,
    pub ledger: PathBuf,
    /// A ledger that is being begun.
    beginning: PathBuf,
    pub high: PathBuf,
}

impl Layout {
    pub fn new(root: &Path) -> Layout {
        Layout {
            root: root.to_owned(),
            ledger: root.join("ledger"),
            beginning: root.join("ledger.beginning"),
            high: root.join("ledger.high"),
        }
    }

    /// Creates the directory if need be, and locks it.
    pub fn lock(&self) -> Result<File, OpenError> {
        let io = |source| OpenError::Io { path: self.root.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&self.root).map_err(io)?;
        let path = self.root.join("lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
        let file = file.map_err(|source| OpenError::Io { path: path.clone(), source })?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(TryLockError::WouldBlock) => Err(OpenError::InUse { path: self.root.clone() }),
            Err(TryLockError::Error(source)) => Err(OpenError::Io { path, source }),
        }
    }

    /// Whether a ledger was ever begun here.
    pub fn has_ledger(&self) -> Result<bool, OpenError> {
        match fs::read_dir(&self.ledger) {
            Ok(mut entries) => Ok(entries.next().is_some()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(OpenError::Io { path: self.ledger.clone(), source }),
        }
    }

    /// Begins a ledger beside its place and puts it there when it is whole: what fjall has half created when the power
    /// fails, it neither opens nor creates again.
    fn begin(&self, mark: &Mark) -> Result<(), OpenError> {
        let io = |source| OpenError::Io { path: self.beginning.clone(), source };
        match fs::remove_dir_all(&self.beginning) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
        let files = Files::open(&self.beginning, 0)?;
        Identity { format: FORMAT, incarnation: mark.incarnation, newest: 0 }.write(&files)?;
        drop(files);
        fs::rename(&self.beginning, &self.ledger).map_err(io)?;
        File::open(&self.root).and_then(|folder| folder.sync_all()).map_err(io)
    }

    /// Opens the ledger itself.
    pub fn open(&self, cache_bytes: u64) -> Result<Files, OpenError> {
        Files::open(&self.ledger, cache_bytes).map_err(|error| match error {
            // A reader of ours outlived its engine, and with it the lock that is asked first.
            ::fjall::Error::Locked => OpenError::InUse { path: self.root.clone() },
            error => OpenError::Engine(error),
        })
    }

    pub fn has_mark(&self) -> Result<bool, OpenError> {
        self.high.try_exists().map_err(|source| OpenError::Io { path: self.high.clone(), source })
    }

    /// The mark, created for a store that is just beginning.
    fn mark(&self) -> Result<HighMark, OpenError> {
        let io = |source| OpenError::Io { path: self.high.clone(), source };
        if self.has_mark()? {
            let high = HighMark::open(&self.high).map_err(io)?;
            return high.ok_or_else(|| OpenError::NoMark { path: self.high.clone() });
        }
        if self.has_ledger()? {
            return Err(OpenError::NoMark { path: self.high.clone() });
        }
        // Before the ledger: a crash in between leaves a mark at nothing, from which creating simply goes on.
        let mark = Mark { format: FORMAT, incarnation: Incarnation::draw()?, number: 0 };
        HighMark::create(&self.high, mark).map_err(io)
    }
}

/// What a ledger says about itself.
pub(super) struct Identity {
    pub format: u32,
    pub incarnation: Incarnation,
    pub newest: Revision,
}

impl Identity {
    /// Reads it; nothing for a ledger that was never given one.
    pub fn read(files: &Files) -> Result<Option<Identity>, OpenError> {
        let (Some(format), Some(incarnation)) = (files.fact(FORMAT_FACT)?, files.fact(INCARNATION_FACT)?)
        else {
            return Ok(None);
        };
        let damaged = |what: &str| OpenError::Damaged(format!("its {what} has a wrong length"));
        Ok(Some(Identity {
            format: u32::from_be_bytes(format.try_into().map_err(|_| damaged("format"))?),
            incarnation: Incarnation(incarnation.try_into().map_err(|_| damaged("incarnation"))?),
            newest: match files.fact(NEWEST)? {
                Some(number) => u64::from_be_bytes(number.try_into().map_err(|_| damaged("number"))?),
                None => 0,
            },
        }))
    }

    /// Writes it, synced.
    pub fn write(&self, files: &Files) -> Result<(), OpenError> {
        Ok(files.set_facts(&[
            (FORMAT_FACT, &self.format.to_be_bytes()),
            (INCARNATION_FACT, &self.incarnation.0),
            (NEWEST, &self.newest.to_be_bytes()),
        ])?)
    }
}

impl Store {
    /// Opens a store, creating it where there is none. If it can no longer be written later on, the process ends.
    pub fn open(
        settings: StoreSettings,
        now_micros: u64,
        followers: Vec<Arc<dyn Follower>>,
    ) -> Result<Store, OpenError> {
        Store::open_with(settings, now_micros, followers, Box::new(|_| std::process::exit(1)))
    }

    /// Opens a store; `on_fatal` is called, once, when it can no longer be written.
    pub fn open_with(
        settings: StoreSettings,
        now_micros: u64,
        followers: Vec<Arc<dyn Follower>>,
        on_fatal: OnFatal,
    ) -> Result<Store, OpenError> {
        let layout = Layout::new(&settings.path);
        let lock = layout.lock()?;
        let mut high = layout.mark()?;
        let mark = high.mark();
        refuse_other(mark.format)?;
        if !layout.has_ledger()? {
            if mark.number > 0 {
                return Err(OpenError::LostData { ledger: 0, acknowledged: mark.number });
            }
            layout.begin(&mark)?;
        }
        let survey = journal::survey(&layout.ledger, mark.number);
        let survey = survey.map_err(|source| OpenError::Io { path: layout.ledger.clone(), source })?;
        if let Some(ledger) = survey {
            return Err(OpenError::LostData { ledger, acknowledged: mark.number });
        }
        let files = layout.open(settings.cache_bytes)?;
        let Some(identity) = Identity::read(&files)? else {
            return Err(OpenError::LostData { ledger: 0, acknowledged: mark.number });
        };
        let newest = admit(&identity, &mark)?;
        let restoration = Restoration::read(&files)?;
        let next = now_micros.max(newest + 1);
        if next >= PAST_LARGEST_NUMBER {
            return Err(OpenError::Clock { micros: now_micros });
        }
        // What recovery found was perhaps never synced; from here on it is served as if it had been.
        files.database.persist(::fjall::PersistMode::SyncAll)?;
        let io = |source| OpenError::Io { path: layout.high.clone(), source };
        high.record(newest).map_err(io)?;
        let engine = FjallEngine::start(Start {
            files,
            lock,
            high,
            newest,
            next,
            durability: settings.durability,
            keep_free: settings.keep_free,
            folder: settings.path,
            ledger: layout.ledger.clone(),
            followers,
            on_fatal,
        });
        Ok(Store { engine: Arc::new(engine.map_err(io)?), incarnation: mark.incarnation, restoration })
    }

    /// The engine, to read from and to commit to.
    pub fn engine(&self) -> Arc<dyn Engine> {
        Arc::clone(&self.engine) as Arc<dyn Engine>
    }

    /// Where the store comes from; nothing but zeros for one that was not restored.
    pub fn restoration(&self) -> Restoration {
        self.restoration
    }

    /// Which life of the store this is.
    pub fn incarnation(&self) -> Incarnation {
        self.incarnation
    }
}

/// Refuses a store whose rows lie differently.
pub(super) fn refuse_other(found: u32) -> Result<(), OpenError> {
    match found.cmp(&FORMAT) {
        Ordering::Less => Err(OpenError::OlderFormat { found, known: FORMAT }),
        Ordering::Equal => Ok(()),
        Ordering::Greater => Err(OpenError::NewerFormat { found, known: FORMAT }),
    }
}

/// The ledger's newest number, if ledger and mark belong together and nothing acknowledged is missing.
fn admit(identity: &Identity, mark: &Mark) -> Result<Revision, OpenError> {
    refuse_other(identity.format)?;
    if identity.incarnation != mark.incarnation {
        return Err(OpenError::OtherStore { ledger: identity.incarnation, mark: mark.incarnation });
    }
    if identity.newest < mark.number {
        return Err(OpenError::LostData { ledger: identity.newest, acknowledged: mark.number });
    }
    if identity.newest >= PAST_LARGEST_NUMBER {
        return Err(OpenError::Damaged(format!("its newest number is {}", identity.newest)));
    }
    Ok(identity.newest)
}
