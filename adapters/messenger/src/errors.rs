//! The Messenger Platform's error codes and subcodes, as data.

use trunkline_adapter::Class::{Auth, Block, Config, File, Permanent, Retry, Throttle, Unknown, Window};
use trunkline_graph::{Codebook, Rule};

/// How each code is to be taken.
pub(crate) const CODEBOOK: Codebook = Codebook::new(RULES);

const RULES: &[Rule] = &[
    Rule::code(0, Auth),
    // An answer that broke inside the platform after the message had gone on.
    Rule::pair(1, 1_357_046, Unknown),
    Rule::code(1, Retry(1)),
    Rule::pair(2, 2_018_344, Config),
    Rule::code(2, Retry(3)),
    Rule::code(3, Auth),
    Rule::code(4, Throttle),
    Rule::pair(10, 2_018_065, Window),
    Rule::pair(10, 2_018_278, Window),
    Rule::pair(10, 2_018_108, Block),
    Rule::pair(10, 1_893_063, Config),
    // Another app owns the thread.
    Rule::pair(10, 2_018_300, Config),
    Rule::code(10, Auth),
    Rule::code(32, Throttle),
    Rule::code(33, Config),
    Rule::pair(100, 2_018_008, Retry(2)),
    Rule::pair(100, 2_018_047, Retry(2)),
    Rule::pair(100, 2_018_001, Permanent),
    Rule::pair(100, 2_018_109, File),
    Rule::code(100, Permanent),
    Rule::code(190, Auth),
    Rule::pair(200, 1_545_041, Block),
    Rule::pair(200, 2_018_028, Config),
    Rule::range(200..=299, Auth),
    Rule::code(368, Config),
    Rule::code(551, Block),
    Rule::code(613, Throttle),
    Rule::code(1200, Retry(0)),
    Rule::code(10_303, Permanent),
    Rule::code(80_006, Throttle),
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use http::StatusCode;
    use serde_json::json;

    #[test]
    fn every_documented_code_has_its_class() {
        for (code, subcode, class) in [
            (1, None, Retry(1)),
            (1, Some(99), Retry(1)),
            (1, Some(1_357_046), Unknown),
            (2, None, Retry(3)),
            (2, Some(2_018_344), Config),
            (4, None, Throttle),
            (4, Some(2_018_022), Throttle),
            (10, None, Auth),
            (10, Some(2_018_065), Window),
            (10, Some(2_018_278), Window),
            (10, Some(2_018_108), Block),
            (10, Some(1_893_063), Config),
            (10, Some(2_018_300), Config),
            (32, None, Throttle),
            (80_006, None, Throttle),
            (100, None, Permanent),
            (100, Some(2_018_001), Permanent),
            (100, Some(2_018_109), File),
            (100, Some(2_018_047), Retry(2)),
            (100, Some(2_018_008), Retry(2)),
            (190, None, Auth),
            (190, Some(463), Auth),
            (200, None, Auth),
            (200, Some(1_545_041), Block),
            (200, Some(2_018_028), Config),
            (368, None, Config),
            (551, None, Block),
            (551, Some(1_545_041), Block),
            (613, None, Throttle),
            (1200, None, Retry(0)),
            (10_303, None, Permanent),
        ] {
            assert_eq!(CODEBOOK.class(code, subcode), Some(class), "{code}/{subcode:?}");
        }
        assert_eq!(CODEBOOK.class(9_999, None), None);
    }

    #[test]
    fn a_transient_error_is_tried_again_but_not_one_that_may_have_sent() {
        let class =
            |error| CODEBOOK.failure(StatusCode::BAD_REQUEST, Some(&json!({ "error": error })), None).class;
        assert_eq!(class(json!({"code": 10, "is_transient": true})), Retry(0));
        assert_eq!(class(json!({"code": 1, "error_subcode": 1_357_046, "is_transient": true})), Unknown);
    }
}
