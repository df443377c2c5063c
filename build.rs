//! Names the revision a binary was built from, for `trunkline_build_info`.

use std::path::Path;
use std::process::Command;

#[expect(clippy::disallowed_methods, reason = "cargo talks to build scripts through the environment")]
fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Naming a file that is not there would build everything anew each time.
    for file in [".git/HEAD", ".git/refs/heads"].into_iter().filter(|file| Path::new(file).exists()) {
        println!("cargo:rerun-if-changed={file}");
    }
    println!("cargo:rerun-if-env-changed=TRUNKLINE_REVISION");
    // A source archive has no history; whoever builds from one may say so in the environment.
    let named = std::env::var("TRUNKLINE_REVISION").ok();
    let revision = named.or_else(|| {
        let said = Command::new("git").args(["rev-parse", "--short=12", "HEAD"]).output().ok()?;
        said.status.success().then(|| String::from_utf8_lossy(&said.stdout).trim().to_owned())
    });
    println!("cargo:rustc-env=TRUNKLINE_REVISION={}", revision.unwrap_or_else(|| "unknown".to_owned()));
}
