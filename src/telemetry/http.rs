//! What the listeners tell.

use std::time::Duration;

use http::StatusCode;
use metrics::{counter, histogram};

use super::names;

/// Every value of the label `code`: the status' class, so that the set stays closed.
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];

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
    match status.as_u16() / 100 {
        0..=2 => "2xx",
        3 => "3xx",
        4 => "4xx",
        _ => "5xx",
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
            assert_eq!(class, expected);
            assert!(CLASSES.contains(&class));
        }
    }
}
