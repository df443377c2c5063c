//! Twilio's error codes: what kind of failure each is, in one table.

use trunkline_adapter::{Blame, Class, Outcome};

/// Whether a permanent failure is about the person: then every message to them fails alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum About {
    Person,
    Other,
}

use About::{Other, Person};
use Class::{Auth, Block, Config, File, Permanent, Retry, Throttle, Window};

/// Code, class, what it is about, and what it means in our words; sorted by code.
#[rustfmt::skip]
const TABLE: [(u32, Class, About, &str); 106] = [
    (20003, Auth, Other, "wrong credentials"),
    (20008, Auth, Other, "test credentials cannot send"),
    (20403, Auth, Other, "the account may not do this"),
    (20404, Config, Other, "no such account or resource"),
    (20423, Config, Other, "the resource is locked"),
    (20429, Throttle, Other, "too many requests"),
    (20500, Retry(0), Other, "Twilio had an internal error"),
    (20503, Retry(0), Other, "Twilio is not available"),
    (21211, Permanent, Person, "not a number that can be written to"),
    (21212, Config, Other, "the sender is not valid"),
    (21214, Permanent, Person, "not a number that can be written to"),
    (21408, Config, Other, "sending to this region is not permitted"),
    (21602, Permanent, Other, "there is no text"),
    (21603, Config, Other, "no sender was given"),
    (21604, Permanent, Person, "not a number that can be written to"),
    (21606, Config, Other, "the sender is not a number of this account"),
    (21607, Config, Other, "the sender is not a number of this account"),
    (21608, Config, Other, "a trial account writes to verified numbers only"),
    (21609, Config, Other, "the status callback is not a valid URL"),
    (21610, Block, Other, "the recipient opted out"),
    (21611, Throttle, Other, "the sender's queue is full"),
    (21612, Permanent, Person, "the recipient cannot be reached from this sender"),
    (21614, Permanent, Person, "the recipient is no mobile number"),
    (21616, Config, Other, "the sender matches several numbers"),
    (21617, Permanent, Other, "the text is too long"),
    (21618, Permanent, Other, "the text cannot be sent"),
    (21619, Permanent, Other, "there is neither text nor media"),
    (21620, File, Other, "the media URL is not valid"),
    (21621, File, Other, "the sender cannot send media"),
    (21622, File, Other, "the sender cannot send media"),
    (21623, File, Other, "too many media files"),
    (21626, Config, Other, "the status callback is not a valid URL"),
    (21654, Permanent, Other, "the template or its variables are not valid"),
    (21655, Permanent, Other, "the template or its variables are not valid"),
    (21656, Permanent, Other, "the template or its variables are not valid"),
    (21659, Config, Other, "the sender is not of the right country or account"),
    (30001, Throttle, Other, "the sender's queue is full"),
    (30002, Auth, Other, "the account is suspended"),
    (30003, Retry(2), Other, "the handset is unreachable"),
    (30004, Block, Other, "the recipient or carrier blocks this sender"),
    (30005, Permanent, Person, "the number does not exist or is not in service"),
    (30006, Permanent, Person, "the number is a landline or an unreachable carrier"),
    (30007, Config, Other, "the carrier filtered the message"),
    (30008, Retry(2), Other, "the carrier gave no reason"),
    (30009, Retry(2), Other, "a segment got lost"),
    (30010, Permanent, Other, "the price is above the limit set"),
    (30011, File, Other, "media is not supported there"),
    (30012, Permanent, Other, "the time allowed for delivery has passed"),
    (30013, Permanent, Other, "the time allowed for delivery has passed"),
    (30014, Config, Other, "sender and recipient do not go together"),
    (30015, Config, Other, "sender and recipient do not go together"),
    (30016, Config, Other, "sender and recipient do not go together"),
    (30017, Retry(2), Other, "the carrier is congested"),
    (30018, Config, Other, "sender and recipient do not go together"),
    (30019, File, Other, "the media is too large"),
    (30022, Throttle, Other, "the campaign's rate is exceeded"),
    (30023, Throttle, Other, "the campaign's daily limit is exceeded"),
    (30024, Config, Other, "the sender is not registered or provisioned with the carrier"),
    (30026, Config, Other, "the carrier filtered the message"),
    (30027, Throttle, Other, "the campaign's daily limit is exceeded"),
    (30032, Config, Other, "the sender is not registered or provisioned with the carrier"),
    (30034, Config, Other, "the sender is not registered or provisioned with the carrier"),
    (30036, Permanent, Other, "the time allowed for delivery has passed"),
    (30410, Retry(0), Other, "Twilio's own peer timed out"),
    (30440, Config, Other, "the toll-free number's verification was rejected"),
    (30441, Config, Other, "the toll-free number's verification was rejected"),
    (30442, Config, Other, "the toll-free number's verification was rejected"),
    (30443, Config, Other, "the toll-free number's verification was rejected"),
    (30444, Config, Other, "the toll-free number's verification was rejected"),
    (30445, Config, Other, "the toll-free number's verification was rejected"),
    (30446, Config, Other, "the toll-free number's verification was rejected"),
    (30447, Config, Other, "the toll-free number's verification was rejected"),
    (30448, Config, Other, "the toll-free number's verification was rejected"),
    (30449, Config, Other, "the toll-free number's verification was rejected"),
    (63001, Config, Other, "the channel's credentials are not accepted"),
    (63002, Config, Other, "the channel's sender is not set up"),
    (63003, Permanent, Person, "the recipient does not exist on the channel"),
    (63005, File, Other, "the channel does not take this content"),
    (63006, File, Other, "the channel does not take this content"),
    (63007, Config, Other, "the channel's sender is not set up"),
    (63008, Config, Other, "the channel's sender is not set up"),
    (63009, Retry(0), Other, "the channel's provider had an error"),
    (63010, Retry(0), Other, "the channel's provider had an error"),
    (63012, Retry(0), Other, "the channel's provider had an error"),
    (63013, Permanent, Other, "the content violates the channel's policy"),
    (63014, Block, Other, "the recipient blocked this sender"),
    (63016, Window, Other, "outside the customer service window"),
    (63017, Throttle, Other, "the channel's rate is exceeded"),
    (63018, Throttle, Other, "the channel's rate is exceeded"),
    (63019, Retry(1), Other, "the media could not be fetched or uploaded"),
    (63020, Config, Other, "the channel's sender is not set up"),
    (63021, File, Other, "the channel does not take this content"),
    (63024, Permanent, Person, "the recipient cannot receive on the channel"),
    (63027, Config, Other, "the template does not exist or is paused"),
    (63028, Permanent, Other, "the template's parameters do not fit"),
    (63029, Permanent, Other, "the template's parameters do not fit"),
    (63030, Permanent, Other, "the template's parameters do not fit"),
    (63031, Permanent, Other, "sender and recipient are the same"),
    (63032, Permanent, Other, "WhatsApp does not deliver this to the recipient"),
    (63033, Block, Other, "the recipient blocked this sender"),
    (63034, File, Other, "the media is too large for the channel"),
    (63036, Permanent, Person, "the recipient cannot receive on the channel"),
    (63037, Retry(1), Other, "the media could not be fetched or uploaded"),
    (63038, Throttle, Other, "the channel's daily limit is exceeded"),
    (63041, Config, Other, "the template does not exist or is paused"),
    (63049, Permanent, Other, "WhatsApp does not deliver this to the recipient"),
];

fn row(code: u32) -> Option<&'static (u32, Class, About, &'static str)> {
    TABLE.binary_search_by_key(&code, |row| row.0).ok().and_then(|at| TABLE.get(at))
}

/// The class of a code, if we know it.
pub(crate) fn known(code: u32) -> Option<Class> {
    row(code).map(|row| row.1)
}

/// The class of a code that came with a status, after the message was taken: an unknown one is final.
pub(crate) fn class(code: u32) -> Class {
    known(code).unwrap_or(Permanent)
}

/// What a code means, for when Twilio gives no words.
pub(crate) fn meaning(code: u32) -> &'static str {
    row(code).map_or("no reason was given", |row| row.3)
}

/// Lays a permanent failure at the person's door where the code is about them.
pub(crate) fn blame(outcome: Outcome) -> Outcome {
    match outcome {
        Outcome::Rejected { blame: Blame::Message, cause }
            if row(cause.code).is_some_and(|row| row.2 == Person) =>
        {
            Outcome::Rejected { blame: Blame::Recipient, cause }
        }
        other => other,
    }
}

/// A provider's words, safe to store and log: cut to 200 characters, without controls, and every run of seven or more
/// digits (with whatever stands between the digits of a written number) replaced.
pub(crate) fn clean(text: &str) -> String {
    let mut cleaned = String::new();
    // A number in the making: how it was written so far, and its digits.
    let (mut run, mut digits) = (String::new(), 0_usize);
    let mut characters = text.chars();
    for character in characters.by_ref().take(400) {
        let between = digits > 0 && matches!(character, ' ' | '-' | '.' | '(' | ')');
        if character.is_ascii_digit() || between {
            digits += usize::from(character.is_ascii_digit());
            run.push(character);
            continue;
        }
        settle(&mut cleaned, &mut run, &mut digits);
        cleaned.push(if character.is_control() { ' ' } else { character });
    }
    // A number that is not read to its end may be one to mask.
    if digits > 0 && characters.next().is_some() {
        digits = digits.max(MASKED);
    }
    settle(&mut cleaned, &mut run, &mut digits);
    cleaned.trim().chars().take(200).collect()
}

/// As many digits may be somebody's number.
const MASKED: usize = 7;

fn settle(cleaned: &mut String, run: &mut String, digits: &mut usize) {
    if *digits >= MASKED {
        let tail = run.trim_end_matches(|c: char| !c.is_ascii_digit()).len();
        cleaned.push('…');
        cleaned.push_str(&run[tail..]);
    } else {
        cleaned.push_str(run);
    }
    run.clear();
    *digits = 0;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use trunkline_adapter::{Cause, Failure};

    #[test]
    fn the_table_is_sorted_and_whole() {
        assert!(TABLE.windows(2).all(|pair| pair[0].0 < pair[1].0));
        // How many codes of each class the reference names.
        let count = |wanted: fn(&Class) -> bool| TABLE.iter().filter(|row| wanted(&row.1)).count();
        assert_eq!(count(|class| *class == Auth), 4);
        assert_eq!(count(|class| *class == Config), 38);
        assert_eq!(count(|class| matches!(class, Throttle)), 9);
        assert_eq!(count(|class| matches!(class, Retry(_))), 12);
        assert_eq!(count(|class| matches!(class, Permanent | File)), 38);
        assert_eq!(count(|class| *class == File), 10);
        assert_eq!(count(|class| *class == Block), 4);
        assert_eq!(count(|class| *class == Window), 1);
    }

    #[test]
    fn spot_checks() {
        for (code, class) in [
            (20003, Auth),
            (21610, Block),
            (21611, Throttle),
            (30003, Retry(2)),
            (30445, Config),
            (63016, Window),
            (63041, Config),
        ] {
            assert_eq!(known(code), Some(class), "{code}");
        }
        assert_eq!(known(99999), None);
        assert_eq!(class(99999), Permanent);
    }

    #[test]
    fn a_dead_number_is_the_persons_and_a_long_text_the_messages() {
        for (code, expected) in
            [(21211, Blame::Recipient), (30005, Blame::Recipient), (21617, Blame::Message)]
        {
            let failure = Failure { class: class(code), code, text: String::new(), after: None };
            let cause = Cause { code, text: String::new() };
            assert_eq!(blame(failure.outcome()), Outcome::Rejected { blame: expected, cause });
        }
    }

    #[test]
    fn no_number_survives_in_words() {
        for (words, cleaned) in [
            ("The 'To' number +15550001111 is not valid", "The 'To' number +… is not valid"),
            ("to (555) 000-1111.", "to (…."),
            ("whatsapp:+15550001111", "whatsapp:+…"),
            ("error 21211, twice", "error 21211, twice"),
            ("line\nbreak", "line break"),
        ] {
            assert_eq!(clean(words), cleaned, "{words}");
        }
        assert_eq!(clean(&"é".repeat(900)).chars().count(), 200);
        // The number is cut where reading ends, and moves into sight because the one before it is masked.
        assert_eq!(clean(&format!("{}: +15550001111", "1".repeat(394))), "…: +…");
    }
}
