//! What the disk holds: the promised part, and everything it may hold or have lost beyond that.
//!
//! A file's bytes and size are certain once a sync that began after them has ended. Until then each page of 4 KiB is by
//! itself what it was at the last sync or any of what was written since. Names change at once, or in order and late
//! as on a journaling file system: what was done before the beginning of a sync that has ended is certain.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::harness::dice::Dice;
use super::journal::{Event, Journal};

const PAGE: usize = 4096;
const SECTOR: usize = 512;

type Page = Arc<[u8; PAGE]>;

/// What becomes of what was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Loss {
    /// All of it is gone.
    Strict,
    /// This many percent of the pages made it.
    Torn(u64),
    /// Half of the sectors of 512 bytes made it, whatever page they are in: a disk promises no more.
    Sectors,
    /// As torn by half, and the last changes of names are gone too.
    Late,
}

impl Loss {
    pub const ALL: [Loss; 6] =
        [Loss::Strict, Loss::Torn(10), Loss::Torn(50), Loss::Torn(90), Loss::Sectors, Loss::Late];

    pub fn name(self) -> &'static str {
        match self {
            Loss::Strict => "strict",
            Loss::Torn(10) => "torn 10 %",
            Loss::Torn(50) => "torn 50 %",
            Loss::Torn(_) => "torn 90 %",
            Loss::Sectors => "sectors",
            Loss::Late => "late names",
        }
    }
}

/// A page of which some sectors are new.
fn mixed(old: Option<&Page>, new: &Page, dice: &mut Dice) -> Page {
    let mut page = old.map_or([0; PAGE], |page| **page);
    for (old, new) in page.chunks_exact_mut(SECTOR).zip(new.chunks_exact(SECTOR)) {
        if dice.within(0..2) == 0 {
            old.copy_from_slice(new);
        }
    }
    Arc::new(page)
}

/// One file, with every version of its pages that may be found. Moments are places in the journal.
#[derive(Default)]
struct Inode {
    pages: BTreeMap<u64, Vec<(usize, Page)>>,
    sizes: Vec<(usize, u64)>,
    /// Pages with a version that is not certain.
    dirty: BTreeSet<u64>,
    /// Everything up to here is certain.
    synced: usize,
    /// A sync began last at this moment: versions from before it are not replaced.
    begun: usize,
    /// Where the file last became shorter.
    shortened: Option<usize>,
}

fn newest<T>(versions: &[(usize, T)], until: usize) -> Option<&T> {
    versions.iter().rev().find(|(at, _)| *at <= until).map(|(_, value)| value)
}

impl Inode {
    fn size(&self) -> u64 {
        self.sizes.last().map_or(0, |(_, size)| *size)
    }

    fn put_page(&mut self, at: usize, number: u64, page: Page) {
        let versions = self.pages.entry(number).or_default();
        // Without a sync between them, the older of many says nothing that the others do not.
        if versions.len() > 4 && versions.last().is_some_and(|last| last.0 > self.begun) {
            versions.pop();
        }
        versions.push((at, page));
        self.dirty.insert(number);
    }

    fn write(&mut self, at: usize, offset: u64, mut bytes: &[u8]) {
        let mut place = offset;
        while !bytes.is_empty() {
            let (number, within) = (place / PAGE as u64, (place % PAGE as u64) as usize);
            let length = bytes.len().min(PAGE - within);
            let mut page = self.latest(number).map_or([0; PAGE], |page| **page);
            page[within..within + length].copy_from_slice(&bytes[..length]);
            self.put_page(at, number, Arc::new(page));
            place += length as u64;
            bytes = &bytes[length..];
        }
        if place > self.size() {
            self.sizes.push((at, place));
        }
    }

    fn latest(&self, number: u64) -> Option<&Page> {
        Some(&self.pages.get(&number)?.last()?.1)
    }

    fn resize(&mut self, at: usize, size: u64) {
        if size < self.size() {
            self.shortened = Some(at);
            let cut: Vec<u64> = self.pages.range(size / PAGE as u64..).map(|(number, _)| *number).collect();
            for number in cut {
                let kept = size.saturating_sub(number * PAGE as u64).min(PAGE as u64) as usize;
                let mut page = self.latest(number).map_or([0; PAGE], |page| **page);
                page[kept..].fill(0);
                self.pages.get_mut(&number).unwrap().push((at, Arc::new(page)));
                self.dirty.insert(number);
            }
        }
        self.sizes.push((at, size));
    }

    fn settle(&mut self, begun: usize) {
        self.synced = self.synced.max(begun);
        let synced = self.synced;
        self.dirty.retain(|number| {
            let versions = self.pages.get_mut(number).unwrap();
            let certain = versions.iter().rposition(|(at, _)| *at <= synced).unwrap_or(0);
            versions.drain(..certain);
            versions.last().unwrap().0 > synced
        });
        let certain = self.sizes.iter().rposition(|(at, _)| *at <= synced).unwrap_or(0);
        self.sizes.drain(..certain);
        self.shortened = self.shortened.filter(|at| *at > synced);
    }

    /// The file as it is found: its size, and its pages.
    fn found(&self, loss: Loss, dice: &mut Dice) -> (u64, Vec<(u64, Page)>) {
        let percent = match loss {
            Loss::Strict => 0,
            Loss::Torn(percent) => percent,
            Loss::Sectors | Loss::Late => 50,
        };
        let (mut floor, mut ceiling) = (self.synced, usize::MAX);
        if let Some(at) = self.shortened {
            // Shortening is one change of the file system: it came through, or nothing after it did.
            if dice.within(0..100) < percent {
                floor = floor.max(at);
            } else {
                ceiling = at - 1;
            }
        }
        let choose = |count: usize, dice: &mut Dice| match dice.within(0..100) < percent {
            false => None,
            // Mostly the last: a page that is written back is written as it is then.
            true if dice.within(0..4) > 0 => Some(count - 1),
            true => Some(usize::try_from(dice.within(0..count as u64)).unwrap()),
        };
        let mut size = newest(&self.sizes, floor).copied().unwrap_or(0);
        let later: Vec<u64> = self
            .sizes
            .iter()
            .filter(|(at, _)| (floor + 1..=ceiling).contains(at))
            .map(|(_, size)| *size)
            .collect();
        if !later.is_empty()
            && let Some(chosen) = choose(later.len(), dice)
        {
            size = later[chosen];
        }
        let mut pages = Vec::with_capacity(self.pages.len());
        for (number, versions) in &self.pages {
            let mut page = newest(versions, floor).cloned();
            if self.dirty.contains(number) {
                let later: Vec<&Page> = versions
                    .iter()
                    .filter(|(at, _)| (floor + 1..=ceiling).contains(at))
                    .map(|(_, page)| page)
                    .collect();
                if loss == Loss::Sectors
                    && let Some(last) = later.last()
                {
                    page = Some(mixed(page.as_ref(), last, dice));
                } else if !later.is_empty()
                    && let Some(chosen) = choose(later.len(), dice)
                {
                    page = Some(later[chosen].clone());
                }
            }
            if let Some(page) = page
                && number * (PAGE as u64) < size
            {
                pages.push((*number, page));
            }
        }
        (size, pages)
    }

    /// The file as a process sees it.
    fn present(&self) -> (u64, Vec<(u64, Page)>) {
        let pages = self.pages.iter().map(|(number, versions)| (*number, versions.last().unwrap().1.clone()));
        (self.size(), pages.filter(|(number, _)| number * (PAGE as u64) < self.size()).collect())
    }
}

/// A change of names.
#[derive(Clone)]
enum Naming {
    Create(PathBuf, usize),
    MakeFolder(PathBuf),
    Remove(PathBuf),
    Rename(PathBuf, PathBuf),
}

/// Names, relative to the root; a folder has no inode here.
#[derive(Clone, Default)]
struct Names(BTreeMap<PathBuf, Option<usize>>);

impl Names {
    fn apply(&mut self, naming: &Naming) {
        match naming {
            Naming::Create(path, inode) => {
                self.0.insert(path.clone(), Some(*inode));
            }
            Naming::MakeFolder(path) => {
                self.0.insert(path.clone(), None);
            }
            Naming::Remove(path) => {
                self.0.remove(path);
            }
            Naming::Rename(from, to) => {
                self.0.retain(|path, _| !path.starts_with(to));
                let moved: Vec<PathBuf> =
                    self.0.keys().filter(|path| path.starts_with(from)).cloned().collect();
                for path in moved {
                    let inode = self.0.remove(&path).unwrap();
                    let rest = path.strip_prefix(from).unwrap();
                    let name = if rest.as_os_str().is_empty() { to.clone() } else { to.join(rest) };
                    self.0.insert(name, inode);
                }
            }
        }
    }
}

/// The disk up to one moment of a journal.
pub struct Disk {
    root: PathBuf,
    inodes: Vec<Inode>,
    by_number: HashMap<u64, usize>,
    /// Names that are certain, and what was done to them since.
    certain: Names,
    uncertain: Vec<(usize, Naming)>,
    syncs: HashMap<u64, (usize, Option<usize>)>,
    /// Events that were taken in.
    pub moment: usize,
}

impl Disk {
    pub fn new(root: &Path) -> Disk {
        Disk {
            root: root.to_owned(),
            inodes: Vec::new(),
            by_number: HashMap::new(),
            certain: Names::default(),
            uncertain: Vec::new(),
            syncs: HashMap::new(),
            moment: 0,
        }
    }

    fn name(&self, path: &Path) -> PathBuf {
        path.strip_prefix(&self.root).unwrap_or_else(|_| panic!("{} is elsewhere", path.display())).to_owned()
    }

    fn rename(&mut self, naming: Naming) {
        self.uncertain.push((self.moment, naming));
    }

    /// Takes in everything before a moment.
    pub fn advance(&mut self, journal: &Journal, until: usize) {
        while self.moment < until {
            let event = &journal.events[self.moment];
            self.moment += 1;
            self.take(journal, event);
        }
    }

    fn take(&mut self, journal: &Journal, event: &Event) {
        let at = self.moment;
        match event {
            Event::Create { inode, path } => {
                let place = self.inodes.len();
                self.inodes.push(Inode::default());
                self.by_number.insert(*inode, place);
                self.rename(Naming::Create(self.name(path), place));
            }
            Event::Write { inode, offset, bytes } => {
                let place = self.by_number[inode];
                self.inodes[place].write(at, *offset, journal.bytes(bytes));
            }
            Event::Resize { inode, size } => {
                let place = self.by_number[inode];
                self.inodes[place].resize(at, *size);
            }
            Event::SyncBegin { number, inode } => {
                let place = self.by_number.get(inode).copied();
                if let Some(place) = place {
                    self.inodes[place].begun = at;
                }
                self.syncs.insert(*number, (at, place));
            }
            Event::SyncEnd { number } => {
                let (begun, place) = self.syncs.remove(number).expect("a sync that had begun");
                if let Some(place) = place {
                    self.inodes[place].settle(begun);
                }
                let certain = self.uncertain.iter().take_while(|(at, _)| *at <= begun).count();
                for (_, naming) in self.uncertain.drain(..certain) {
                    self.certain.apply(&naming);
                }
            }
            Event::MakeFolder { path } => self.rename(Naming::MakeFolder(self.name(path))),
            Event::Unlink { path } | Event::RemoveFolder { path } => {
                self.rename(Naming::Remove(self.name(path)));
            }
            Event::Rename { from, to } => self.rename(Naming::Rename(self.name(from), self.name(to))),
            Event::Unknown { call, path } => panic!("the layer met call {call} on {}", path.display()),
            // A sync that the end of its process cut off promises nothing.
            Event::Start => self.syncs.clear(),
            Event::Send { .. } => {}
        }
    }

    fn names(&self, count: usize) -> Names {
        let mut names = self.certain.clone();
        for (_, naming) in &self.uncertain[..count] {
            names.apply(naming);
        }
        names
    }

    /// Whether a ledger's journals have some bytes that are not certain yet, and have them nowhere else on that page.
    pub fn only_unsynced(&self, bytes: &[u8]) -> bool {
        let has = |page: Option<&Page>| {
            page.is_some_and(|page| page.windows(bytes.len()).any(|window| window == bytes))
        };
        let names = self.names(self.uncertain.len()).0;
        let journals = names.iter().filter(|(name, _)| name.extension().is_some_and(|kind| kind == "jnl"));
        journals.filter_map(|(_, inode)| *inode).any(|place| {
            let inode = &self.inodes[place];
            inode.dirty.iter().any(|number| {
                let versions = &inode.pages[number];
                has(versions.last().map(|(_, page)| page)) && !has(newest(versions, inode.synced))
            })
        })
    }

    /// Puts what is found after a power cut at this moment into an empty folder, which becomes the root.
    pub fn cut(&self, loss: Loss, dice: &mut Dice, into: &Path) {
        let count = match loss {
            Loss::Late => usize::try_from(dice.within(0..self.uncertain.len() as u64 + 1)).unwrap(),
            _ => self.uncertain.len(),
        };
        for (name, inode) in &self.names(count).0 {
            let path = if name.as_os_str().is_empty() { into.to_owned() } else { into.join(name) };
            match inode {
                None => fs::create_dir_all(path).unwrap(),
                Some(place) => {
                    let (size, pages) = self.inodes[*place].found(loss, dice);
                    let file = fs::File::create(&path).unwrap();
                    for (number, page) in pages {
                        file.write_all_at(&page[..], number * PAGE as u64).unwrap();
                    }
                    file.set_len(size).unwrap();
                }
            }
        }
    }

    /// That the disk, with all that was ever written, is what lies in the real folder: nothing went past the layer.
    pub fn equals(&self, real: &Path) -> Result<usize, String> {
        let names = self.names(self.uncertain.len());
        let mut there = BTreeSet::new();
        collect(real, real, &mut there);
        let known: BTreeSet<PathBuf> =
            names.0.keys().filter(|name| !name.as_os_str().is_empty()).cloned().collect();
        if there != known {
            return Err(format!(
                "names differ: {:?}",
                there.symmetric_difference(&known).collect::<Vec<_>>()
            ));
        }
        for (name, inode) in names.0.iter().filter_map(|(name, inode)| Some((name, (*inode)?))) {
            let bytes = fs::read(real.join(name)).unwrap();
            let (size, pages) = self.inodes[inode].present();
            let mut expected = vec![0; usize::try_from(size).unwrap()];
            for (number, page) in pages {
                let from = usize::try_from(number).unwrap() * PAGE;
                let to = (from + PAGE).min(expected.len());
                expected[from..to].copy_from_slice(&page[..to - from]);
            }
            if bytes != expected {
                return Err(format!("{} differs ({} bytes, {size} known)", name.display(), bytes.len()));
            }
        }
        Ok(known.len())
    }
}

fn collect(folder: &Path, root: &Path, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        found.insert(entry.path().strip_prefix(root).unwrap().to_owned());
        if entry.file_type().unwrap().is_dir() {
            collect(&entry.path(), root, found);
        }
    }
}
