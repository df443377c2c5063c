//! The Cloud API's error codes, as data.

use trunkline_adapter::Class::{
    Auth, Block, Config, File, Permanent, Retry, Throttle, ThrottleRecipient, Window,
};
use trunkline_graph::{Codebook, Rule};

/// How each code is to be taken, in sends and in failed statuses alike.
pub(crate) const CODEBOOK: Codebook = Codebook::new(RULES);

/// A rule for one code stands before the range around it.
const RULES: &[Rule] = &[
    // Graph itself.
    Rule::code(0, Auth),
    Rule::code(1, Retry(2)),
    Rule::code(2, Retry(0)),
    Rule::code(3, Auth),
    Rule::code(4, Throttle),
    Rule::code(10, Auth),
    Rule::code(33, Config),
    Rule::code(100, Permanent),
    Rule::code(190, Auth),
    Rule::range(200..=299, Auth),
    Rule::code(368, Config),
    Rule::code(613, Throttle),
    // Limits of the account and of the number.
    Rule::code(80_007, Throttle),
    Rule::code(130_429, Throttle),
    Rule::code(130_472, Permanent),
    Rule::code(130_497, Config),
    // Messages.
    Rule::code(131_000, Retry(0)),
    Rule::code(131_005, Auth),
    Rule::code(131_008, Permanent),
    Rule::code(131_009, Permanent),
    Rule::code(131_016, Retry(0)),
    Rule::code(131_020, Permanent),
    Rule::code(131_021, Permanent),
    Rule::code(131_026, Permanent),
    Rule::code(131_030, Config),
    Rule::code(131_031, Config),
    Rule::code(131_037, Config),
    Rule::code(131_041, Permanent),
    Rule::code(131_042, Config),
    Rule::code(131_044, Config),
    Rule::code(131_045, Config),
    Rule::code(131_047, Window),
    // Quality, not speed: the number is restricted for a while.
    Rule::code(131_048, Throttle).pausing(900),
    Rule::code(131_049, Permanent),
    Rule::code(131_050, Block),
    Rule::code(131_051, File),
    Rule::code(131_052, File),
    // Most often a link of ours that was slow to fetch.
    Rule::code(131_053, Retry(3)),
    Rule::code(131_055, Permanent),
    Rule::code(131_056, ThrottleRecipient),
    // The number is being upgraded, which takes about a minute.
    Rule::code(131_057, Retry(0)).pausing(60),
    Rule::code(131_059, Permanent),
    Rule::code(131_060, Permanent),
    Rule::code(131_062, Permanent),
    Rule::code(131_063, Config),
    // A limit over 24 hours: trying every second would be pointless.
    Rule::code(131_064, Throttle).pausing(3_600),
    Rule::code(131_208, Throttle),
    Rule::range(131_201..=131_215, Permanent),
    // Templates and flows.
    Rule::code(132_000, Permanent),
    Rule::code(132_001, Config),
    Rule::code(132_005, Permanent),
    Rule::code(132_007, Config),
    Rule::code(132_008, Permanent),
    Rule::code(132_012, Permanent),
    Rule::code(132_015, Config),
    Rule::code(132_016, Config),
    Rule::code(132_068, Config),
    Rule::code(132_069, Throttle),
    // Registration of the number.
    Rule::code(133_000, Retry(0)),
    Rule::code(133_004, Retry(0)),
    Rule::code(133_005, Config),
    Rule::code(133_006, Config),
    Rule::code(133_008, Config),
    Rule::code(133_009, Config),
    Rule::code(133_010, Config),
    Rule::code(133_015, Throttle),
    Rule::code(133_016, Throttle),
    Rule::code(134_011, Config),
    Rule::code(135_000, Permanent),
    Rule::code(137_000, Permanent),
    // Calls, which we never make; listed so that a stray one is not taken for news.
    Rule::range(138_000..=138_018, Permanent),
    Rule::range(139_000..=139_004, Config),
    Rule::range(139_102..=139_103, Retry(3)),
    Rule::range(139_100..=139_103, Config),
    Rule::range(147_001..=147_005, Config),
    // Template creation, migration, maintenance, history.
    Rule::range(2_388_000..=2_388_999, Config),
    Rule::range(2_494_000..=2_494_999, Config),
    Rule::range(2_593_107..=2_593_108, Config),
];

#[cfg(test)]
mod tests {
    use super::*;
    use trunkline_adapter::Class;

    /// The reference table once more, by class instead of by code: a slip would have to be made twice.
    const BY_CLASS: &[(Class, &[u32])] = &[
        (Auth, &[0, 3, 10, 190, 200, 230, 299, 131_005]),
        (Retry(2), &[1]),
        (Retry(0), &[2, 131_000, 131_016, 131_057, 133_000, 133_004]),
        (Retry(3), &[131_053, 139_102, 139_103]),
        (Throttle, &[4, 613, 80_007, 130_429, 131_048, 131_064, 131_208, 132_069, 133_015, 133_016]),
        (ThrottleRecipient, &[131_056]),
        (Window, &[131_047]),
        (Block, &[131_050]),
        (File, &[131_051, 131_052]),
        (
            Config,
            &[
                33, 368, 130_497, 131_030, 131_031, 131_037, 131_042, 131_044, 131_045, 131_063, 132_001,
                132_007, 132_015, 132_016, 132_068, 133_005, 133_006, 133_008, 133_009, 133_010, 134_011,
                139_000, 139_004, 139_100, 139_101, 147_001, 147_005, 2_388_000, 2_388_019, 2_388_999,
                2_494_010, 2_593_107, 2_593_108,
            ],
        ),
        (
            Permanent,
            &[
                100, 130_472, 131_008, 131_009, 131_020, 131_021, 131_026, 131_041, 131_049, 131_055,
                131_059, 131_060, 131_062, 131_201, 131_207, 131_209, 131_215, 132_000, 132_005, 132_008,
                132_012, 135_000, 137_000, 138_000, 138_018,
            ],
        ),
    ];

    #[test]
    fn every_documented_code_has_its_class() {
        for (class, codes) in BY_CLASS {
            for code in *codes {
                assert_eq!(CODEBOOK.class(*code, None), Some(*class), "{code}");
            }
        }
    }

    #[test]
    fn codes_beside_the_ranges_are_unknown() {
        for code in [5, 199, 300, 131_200, 131_216, 138_019, 139_005, 139_104, 2_387_999, 2_389_000] {
            assert_eq!(CODEBOOK.class(code, None), None, "{code}");
        }
    }
}
