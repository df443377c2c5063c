//! A dump's lines. `l` is a line as somebody may have written it; `r` is a row, whose line must give it back: lengths of
//! account and partition, the space, the length of the key's rest, all of them, and the payload.

use bytes::Bytes;
use trunkline::ledger::dump;
use trunkline::ledger::engine::Row;
use trunkline::ledger::key::{Key, Space};
use trunkline::ledger::restore::{self, Said};

use super::choice;

pub fn run(data: &[u8]) {
    match choice(data) {
        Some((b'l', line)) => read(line),
        Some((b'r', row)) => written(row),
        _ => {}
    }
}

fn read(line: &[u8]) {
    let Ok(Said::Row(key, row)) = restore::read(line) else { return };
    assert!(row.created <= row.changed);
    back(&key, &row);
}

fn back(key: &Key, row: &Row) {
    let mut line = Vec::new();
    dump::write(&mut line, key, row).expect("a row of ours");
    assert_eq!(line.pop(), Some(b'\n'));
    assert!(!line.contains(&b'\n'), "a row of two lines");
    match restore::read(&line) {
        Ok(Said::Row(again, found)) => assert_eq!((&again, &found), (key, row)),
        other => panic!("{other:?}"),
    }
}

fn written(data: &[u8]) {
    let Some((lengths, rest)) = data.split_first_chunk::<4>() else { return };
    let [account, partition, space, key] = lengths.map(usize::from);
    let take = |at: usize, length: usize| rest.get(at..at + length);
    let (Some(names), Some(behind)) = (take(0, account + partition), take(account + partition, key)) else {
        return;
    };
    let (Ok(account), Ok(partition)) =
        (std::str::from_utf8(&names[..account]), std::str::from_utf8(&names[account..]))
    else {
        return;
    };
    let space = Space::ALL[space % Space::ALL.len()];
    let payload = Bytes::copy_from_slice(&rest[account.len() + partition.len() + key..]);
    back(&Key::new(account, partition, space, behind), &Row { created: 5, changed: 9, payload });
}
