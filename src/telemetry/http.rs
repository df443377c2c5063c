//! What the listeners tell.

use std::time::Duration;

use http::StatusCode;
use metrics::{counter, histogram};

use super::names;

/// Every value of the label `code`: the status' class, so that the set stays closed.
const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// Makes every series of these routes, at zero.
pub fn routes_at_zero(routes: impl Iterator<Item = &'static str>) {
    for route in routes {
        counter!(names::OVERLOAD, "route" => route).increment(0);
        for class in CLASSES {
            counter!(names::HTTP_REQUESTS, "route" => route, "code" => class).increment(0);
            let _ = histogram!(names::HTTP_DURATION, "route" => route, "code" => class);
        }
    }
}

/// A request was answered.
pub fn answered(route: &'static str, status: StatusCode, took: Duration) {
    let class = class(status);
    counter!(names::HTTP_REQUESTS, "route" => route, "code" => class).increment(1);
    histogram!(names::HTTP_DURATION, "route" => route, "code" => class).record(took.as_secs_f64());
}

/// A request was turned away because too many were being answered.
pub fn overloaded(route: &'static str) {
    counter!(names::OVERLOAD, "route" => route).increment(1);
}

fn class(status: StatusCode) -> &'static str {
    let index = usize::from(status.as_u16() / 100).saturating_sub(1);
    CLASSES.get(index).copied().unwrap_or("5xx")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_fall_into_closed_classes() {
        for (status, expected) in [(100, "1xx"), (204, "2xx"), (404, "4xx"), (599, "5xx"), (999, "5xx")] {
            assert_eq!(StatusCode::from_u16(status).map(class).ok(), Some(expected));
        }
    }
}
