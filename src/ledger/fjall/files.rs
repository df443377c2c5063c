//! How the ledger lies in fjall: three keyspaces of one database, and what each is made with. A keyspace that is there keeps
//! what it was made with.

use std::path::Path;

use ::fjall::config::PartitioningPolicy;
use ::fjall::{Database, KeyspaceCreateOptions, PersistMode, Readable};

use super::stored;
use crate::ledger::key::Keyspace;

/// What of the queue is in memory, at most, before it is written out. A row of it is gone within seconds, so next to nothing
/// is written; and in a table of fjall's own size (64 MiB) every insertion finds its way through cold memory.
const QUEUE_TABLE: u64 = 16 << 20;
/// Whether the filters, and the indexes, of a level's files are read in pieces of four kilobytes; the last word is for all
/// levels behind it. Whole are those that fjall keeps in memory. Any other filter of a full file is half a megabyte, and in a store of
/// a few gigabytes there are more of them than the cache has room for: then a look reads one from its first byte to its last.
const FILTERS_IN_PIECES: [bool; 2] = [false, true];
const INDEXES_IN_PIECES: [bool; 3] = [false, false, true];

/// The opened fjall database, before anything is served from it.
pub struct Files {
    pub database: Database,
    pub(super) spaces: [::fjall::Keyspace; 3],
}

impl Files {
    /// Opens or creates the database in a folder.
    pub fn open(folder: &Path, cache_bytes: u64) -> Result<Files, ::fjall::Error> {
        let database = Database::builder(folder).cache_size(cache_bytes).open()?;
        let open = |name, options| database.keyspace(name, || options);
        let usual = || {
            KeyspaceCreateOptions::default()
                .filter_block_partitioning_policy(PartitioningPolicy::new(FILTERS_IN_PIECES))
                .index_block_partitioning_policy(PartitioningPolicy::new(INDEXES_IN_PIECES))
        };
        let queue = usual().max_memtable_size(QUEUE_TABLE);
        let spaces = [open("rows", usual())?, open("queue", queue)?, open("provider_id", usual())?];
        Ok(Files { database, spaces })
    }

    pub fn space(&self, keyspace: Keyspace) -> &::fjall::Keyspace {
        match keyspace {
            Keyspace::Rows => &self.spaces[0],
            Keyspace::Queue => &self.spaces[1],
            Keyspace::ProviderId => &self.spaces[2],
        }
    }

    /// A fact the engine keeps about itself, outside of every scan.
    pub fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, ::fjall::Error> {
        let found = self.database.snapshot().get(self.space(Keyspace::Rows), stored::fact_key(name))?;
        Ok(found.map(|value| value.to_vec()))
    }

    /// Writes facts and waits until they are on disk.
    pub fn set_facts(&self, facts: &[(&str, &[u8])]) -> Result<(), ::fjall::Error> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (name, value) in facts {
            batch.insert(self.space(Keyspace::Rows), stored::fact_key(name), *value);
        }
        batch.commit()
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #![allow(clippy::unwrap_used, clippy::disallowed_methods)]
    use std::time::{Duration, Instant};

    use super::*;

    /// Bytes this thread has read so far, from a disk or from the kernel's copy of it.
    fn read_so_far() -> u64 {
        let account = std::fs::read_to_string("/proc/thread-self/io").unwrap();
        account.lines().find_map(|line| line.strip_prefix("rchar: ")).unwrap().parse().unwrap()
    }

    fn key(number: u64) -> [u8; 24] {
        let mut key = [0; 24];
        key[..8].copy_from_slice(&xxhash_rust::xxh3::xxh3_64(&number.to_be_bytes()).to_be_bytes());
        key[16..].copy_from_slice(&number.to_be_bytes());
        key
    }

    #[test]
    fn a_look_reads_a_few_small_pieces_however_large_the_files_are() {
        const FILES: u64 = 5;
        const ROWS: u64 = 40_000;
        const LOOKS: u64 = 500;
        let folder = tempfile::tempdir().unwrap();
        // A cache that has no room for anything large.
        let files = Files::open(folder.path(), 256 << 10).unwrap();
        let space = files.space(Keyspace::ProviderId);
        for file in 0..FILES {
            (0..ROWS).for_each(|row| space.insert(key(file * ROWS + row), [7; 16]).unwrap());
            space.rotate_memtable_and_wait().unwrap();
        }
        // fjall merges four of them into larger ones, by itself.
        let began = Instant::now();
        while space.l0_table_count() >= 4 {
            assert!(began.elapsed() < Duration::from_secs(60), "nothing was merged");
            std::thread::yield_now();
        }
        let before = read_so_far();
        for number in 0..LOOKS {
            assert!(space.get(key(FILES * ROWS + number)).unwrap().is_none());
            assert!(space.get(key(number)).unwrap().is_some());
        }
        let each = (read_so_far() - before) / (2 * LOOKS);
        assert!(each < 16 << 10, "{each} bytes a look");
    }
}
