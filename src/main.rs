//! The `trunkline` command.

use std::process::ExitCode;

/// A message is some hundred small allocations that begin on one thread and end on another, which the C library's
/// allocator is slow at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    trunkline::cli::run()
}
