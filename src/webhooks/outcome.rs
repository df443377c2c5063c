//! What an answer, or none, means for an event.

use std::time::Duration;

use crate::egress::{Answer, CallError};
use crate::model::Mint;

/// The first and the longest wait between two tries.
const BACKOFF: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));

/// How a try ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The receiver took it.
    Taken,
    /// Nobody knows, or not now: tried again.
    Again(String, Fault),
    /// The receiver will not have it: trying again leads to the same.
    Refused(String),
}

/// Whose trouble it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Of the way there, or of a receiver that cannot do anything now.
    Way,
    /// The receiver's own, with this event.
    Own,
}

/// Reads an answer. A receiver that is up and answers with an error of the caller's, or sends us elsewhere, has decided
/// about this event and must not hold up those behind it. Anything else is tried again.
pub fn ended(answer: &Result<Answer, CallError>) -> Ended {
    match answer {
        Ok(answer) => match answer.status {
            200..=299 => Ended::Taken,
            status @ (408 | 425 | 429 | 502..=504) => Ended::Again(format!("answered {status}"), Fault::Way),
            status @ 500.. => Ended::Again(format!("answered {status}"), Fault::Own),
            status => Ended::Refused(format!("answered {status}")),
        },
        // What came was a whole head with a good status, or nobody would have read on.
        Err(CallError::TooLarge) => Ended::Taken,
        Err(error @ CallError::Url) => Ended::Refused(error.to_string()),
        Err(error) => Ended::Again(error.to_string(), Fault::Way),
    }
}

/// Half of the wait is fixed, half is chance, so that those who failed together do not come back together.
pub fn backoff(attempts: u32, mint: &Mint) -> Duration {
    let whole = BACKOFF.0.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1))).min(BACKOFF.1);
    let [high, low, ..] = mint.bytes();
    let chance = f64::from(u16::from_be_bytes([high, low])) / f64::from(u16::MAX);
    whole.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    #[test]
    fn answers() {
        let with = |status| ended(&Ok(Answer { status, content_type: String::new(), body: Bytes::new() }));
        for status in [200, 204, 299] {
            assert_eq!(with(status), Ended::Taken);
        }
        for (status, fault) in [
            (408, Fault::Way),
            (425, Fault::Way),
            (429, Fault::Way),
            (500, Fault::Own),
            (501, Fault::Own),
            (502, Fault::Way),
            (503, Fault::Way),
            (504, Fault::Way),
            (599, Fault::Own),
        ] {
            assert_eq!(with(status), Ended::Again(format!("answered {status}"), fault));
        }
        for status in [301, 304, 400, 403, 404, 410] {
            assert_eq!(with(status), Ended::Refused(format!("answered {status}")));
        }
        assert!(matches!(ended(&Err(CallError::TimedOut)), Ended::Again(_, Fault::Way)));
        assert!(matches!(ended(&Err(CallError::Url)), Ended::Refused(_)));
    }

    #[test]
    fn waits_grow_to_ten_minutes() {
        let mint = Mint::seeded(1);
        for (attempts, least, most) in
            [(1, 0.5, 1.0), (4, 4.0, 8.0), (11, 300.0, 600.0), (1000, 300.0, 600.0)]
        {
            let wait = backoff(attempts, &mint).as_secs_f64();
            assert!((least..=most).contains(&wait), "{attempts}: {wait}");
        }
    }
}
