//! Every input that fuzzing kept, and every seed, run once through its target: what was found once stays found, without
//! cargo-fuzz.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod targets;

use std::fs;
use std::path::{Path, PathBuf};

/// The kept inputs of a target, in the order of their names.
fn kept(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/corpus").join(target);
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().map(|file| (file.clone(), fs::read(file).unwrap())).collect()
}

fn replay(target: &str) {
    let (_, run) = targets::TARGETS.iter().find(|(name, _)| *name == target).unwrap();
    let kept = kept(target);
    assert!(!kept.is_empty(), "nothing is kept for {target}");
    let seeds = targets::seeds::of(target).into_iter().enumerate();
    let seeds = seeds.map(|(number, seed)| (PathBuf::from(format!("seed {number}")), seed));
    for (name, input) in kept.into_iter().chain(seeds) {
        let outcome = std::panic::catch_unwind(|| run(&input));
        assert!(outcome.is_ok(), "{target}: {}", name.display());
    }
}

macro_rules! replayed {
    ($($target:ident),* $(,)?) => {
        $(
            #[test]
            fn $target() {
                replay(stringify!($target));
            }
        )*

        #[test]
        fn every_target_is_replayed() {
            let names: Vec<_> = targets::TARGETS.iter().map(|(name, _)| *name).collect();
            assert_eq!(names, [$(stringify!($target)),*]);
        }
    };
}

replayed!(twilio, whatsapp, messenger, sdk, answers, rest, api, config, records, dump, names, forms);
