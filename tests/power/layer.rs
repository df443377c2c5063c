//! The preloaded library: built, put under a process, and told what the disk does.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// How long a sync takes on this disk, as on a slow one: long enough that something happens meanwhile.
const SYNC_NANOS: u64 = 1_500_000;

/// Where the store and the images live: in memory where there is room, since thousands of images come and go.
pub fn scratch() -> TempDir {
    let memory = Path::new("/dev/shm");
    let builder = tempfile::Builder::new();
    if memory.is_dir() { tempfile::tempdir_in(memory).unwrap() } else { builder.tempdir().unwrap() }
}

/// Builds the library; a machine without a compiler cannot run this suite.
pub fn build() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/power/disk.c");
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("disk-{}.so", std::process::id()));
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o"]).arg(&library).arg(&source);
    let built = cc.status();
    assert!(built.is_ok_and(|status| status.success()), "cc cannot build {}", source.display());
    library
}

/// What the disk does wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Full = 1,
    ReadOnly = 2,
    WriteError = 4,
    SyncError = 8,
}

/// A folder whose every change is written down.
pub struct Layer {
    library: PathBuf,
    pub store: PathBuf,
    pub journal: PathBuf,
    control: File,
    pub folder: TempDir,
}

impl Layer {
    pub fn new(library: &Path) -> Layer {
        let folder = scratch();
        let page = folder.path().join("control");
        fs::write(&page, [0; 4096]).unwrap();
        let control = File::options().write(true).read(true).open(page).unwrap();
        control.write_all_at(&SYNC_NANOS.to_le_bytes(), 24).unwrap();
        Layer {
            library: library.to_owned(),
            // As the kernel names it.
            store: folder.path().canonicalize().unwrap().join("store"),
            journal: folder.path().join("journal"),
            control,
            folder,
        }
    }

    /// The environment of a process that shall run on this disk.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let text = |path: &Path| path.display().to_string();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("DISK_ROOT", text(&self.store)),
            ("DISK_JOURNAL", text(&self.journal)),
            ("DISK_CONTROL", text(&self.folder.path().join("control"))),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into()
    }

    /// From now on, after so many more bytes (a call that writes none counts as one).
    pub fn fail(&self, fault: Fault, after: i64) {
        self.control.write_all_at(&after.to_le_bytes(), 8).unwrap();
        self.control.write_all_at(&0_u32.to_le_bytes(), 4).unwrap();
        self.control.write_all_at(&(fault as u32).to_le_bytes(), 0).unwrap();
    }

    /// How many calls were failed since the fault began.
    pub fn failed(&self) -> u32 {
        let mut bytes = [0; 4];
        self.control.read_exact_at(&mut bytes, 4).unwrap();
        u32::from_le_bytes(bytes)
    }

    pub fn mend(&self) {
        self.control.write_all_at(&0_u32.to_le_bytes(), 0).unwrap();
    }

    /// What the disk says is free; nothing for the truth.
    pub fn room(&self, bytes: Option<u64>) {
        self.control.write_all_at(&bytes.unwrap_or(0).to_le_bytes(), 16).unwrap();
    }
}
