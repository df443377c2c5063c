//! A provider's words, made fit to keep: short, on one line, and without people's numbers or tokens.

/// Longest text kept.
const LONGEST: usize = 200;
/// As many digits in a row may be somebody's number.
const DIGITS: usize = 7;
/// As many letters and digits in a row may be a token.
const TOKEN: usize = 24;

/// At most 200 characters of a text, with runs of seven and more digits, and of 24 and more letters and digits, masked.
pub fn words(text: &str) -> String {
    let mut masked = String::new();
    let mut run = String::new();
    let mut characters = text.chars();
    // A little beyond what is kept, so that a run that crosses the end is still seen as one.
    for character in characters.by_ref().take(LONGEST + TOKEN) {
        if character.is_ascii_alphanumeric() {
            run.push(character);
            continue;
        }
        close(&mut run, &mut masked);
        masked.push(if character.is_control() { ' ' } else { character });
    }
    // Where masks have made the text shorter, the last run may be shown; nobody saw how long it would have been.
    match characters.next() {
        Some(next) if next.is_ascii_alphanumeric() => masked.push('…'),
        _ => close(&mut run, &mut masked),
    }
    masked.truncate(masked.trim_end().len());
    masked.chars().take(LONGEST).collect()
}

fn close(run: &mut String, masked: &mut String) {
    if run.len() >= TOKEN {
        masked.push('…');
        run.clear();
        return;
    }
    let mut rest = run.as_str();
    while let Some(first) = rest.chars().next() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits >= DIGITS {
            masked.push('…');
            rest = &rest[digits..];
        } else if digits > 0 {
            masked.push_str(&rest[..digits]);
            rest = &rest[digits..];
        } else {
            masked.push(first);
            rest = &rest[1..];
        }
    }
    run.clear();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_tokens_are_masked_and_codes_stay() {
        assert_eq!(words("(#131030) +15550001111 not allowed"), "(#131030) +… not allowed");
        assert_eq!(words("id5550001111x 123456"), "id…x 123456");
        assert_eq!(words(&format!("token EAAG{}", "b".repeat(40))), "token …");
        assert_eq!(words("two\nlines\u{0}"), "two lines");
    }

    #[test]
    fn long_text_is_cut_and_a_number_at_the_cut_is_still_masked() {
        assert_eq!(words(&"é ".repeat(500)).chars().count(), 200);
        let text = format!("{} 15550001111", "b ".repeat(96));
        assert!(!words(&text).contains("155"), "{}", words(&text));
    }

    #[test]
    fn what_moves_into_sight_because_of_a_mask_is_masked_too() {
        // 201 characters become two, so the end of what was read is shown: 23 letters of a token.
        let text = format!("{} {}", "1".repeat(200), "T".repeat(100));
        assert_eq!(words(&text), "… …");
        assert_eq!(
            words(&format!("{} {}", "1".repeat(200), "T".repeat(23))),
            format!("… {}", "T".repeat(23))
        );
    }
}
