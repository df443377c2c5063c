//! What cargo-fuzz runs. The same files are part of the test `corpus` of the workspace above, which runs every kept
//! input once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub mod targets;

/// Makes a program of a target.
#[macro_export]
macro_rules! target {
    ($target:ident) => {
        libfuzzer_sys::fuzz_target!(init: $crate::seed(stringify!($target)), |data: &[u8]| {
            $crate::targets::$target::run(data)
        });
    };
}

/// Writes a target's seeds into the folder that `TRUNKLINE_FUZZ_SEEDS` names, if it names one.
pub fn seed(target: &str) {
    let Some(folder) = std::env::var_os("TRUNKLINE_FUZZ_SEEDS") else { return };
    for (number, seed) in targets::seeds::of(target).into_iter().enumerate() {
        let file = std::path::Path::new(&folder).join(format!("seed-{number:03}"));
        std::fs::write(file, seed).expect("the folder of the seeds can be written");
    }
}
