//! What one message costs on our own side, piece by piece: verify and parse a webhook, find whose it is, decide, encode,
//! commit, and find the way of a request.
//!
//!     cargo bench --bench micro              # all, under two minutes
//!     cargo bench --bench micro -- decide    # those whose name has this in it
#![allow(clippy::expect_used, reason = "a bench whose own data is wrong should stop")]

mod bindings;
mod commit;
mod decide;
mod encode;
mod receive;
mod route;
mod scene;

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};

/// Long enough for two digits, short enough for all of them to be done before the coffee is.
fn settings() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(400))
        .measurement_time(Duration::from_millis(1_500))
        .sample_size(30)
        .without_plots()
}

criterion_group! {
    name = benches;
    config = settings();
    targets = receive::receive, receive::verify, bindings::look_up, decide::append, encode::records, commit::groups,
        route::paths, route::provider
}
criterion_main!(benches);
