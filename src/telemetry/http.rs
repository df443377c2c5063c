//! What the listeners tell.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use metrics::{Counter, Histogram, counter, histogram};

use super::names;
use super::series::Shelf;

/// Every value of the label `code`: the status' class, so that the set stays closed.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

/// What is counted about one route; by class in the order of `CLASSES`.
struct Series {
    overload: Counter,
    answers: [(Counter, Histogram); CLASSES.len()],
}

static ROUTES: Shelf<Series> = Shelf::new();

fn series(route: &'static str) -> Arc<Series> {
    ROUTES.of(route, || Series {
        overload: counter!(names::OVERLOAD, "route" => route),
        answers: CLASSES.map(|class| {
            let requests = counter!(names::HTTP_REQUESTS, "route" => route, "code" => class);
            (requests, histogram!(names::HTTP_DURATION, "route" => route, "code" => class))
        }),
    })
}

/// Makes every series of these routes, at zero.
pub fn routes_at_zero(routes: impl Iterator<Item = &'static str>) {
    for route in routes {
        let series = series(route);
        series.overload.increment(0);
        series.answers.iter().for_each(|(requests, _)| requests.increment(0));
    }
}

/// A request was answered.
pub fn answered(route: &'static str, status: StatusCode, took: Duration) {
    let series = series(route);
    let (requests, duration) = &series.answers[class(status)];
    requests.increment(1);
    duration.record(took.as_secs_f64());
}

/// A request was turned away because too many were being answered.
pub fn overloaded(route: &'static str) {
    series(route).overload.increment(1);
}

/// The place in `CLASSES` of a status.
fn class(status: StatusCode) -> usize {
    match status.as_u16() / 100 {
        0..=2 => 0,
        3 => 1,
        4 => 2,
        _ => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_fall_into_closed_classes() {
        for (status, expected) in
            [(100, "2xx"), (204, "2xx"), (304, "3xx"), (404, "4xx"), (599, "5xx"), (999, "5xx")]
        {
            let class = StatusCode::from_u16(status).map(class).unwrap_or_default();
            assert_eq!(CLASSES[class], expected);
        }
    }
}
