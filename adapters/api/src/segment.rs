//! SMS segments: how many pieces a text becomes on the air.

/// How a text travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encoding {
    /// The 7-bit alphabet: 160 in one message, 153 per piece of several.
    Gsm7,
    /// 16-bit units: 70 in one message, 67 per piece of several.
    Ucs2,
}

/// The 7-bit basic alphabet.
const BASIC: &str = "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà";
/// Its extension: each costs two septets and may not be torn apart.
const EXTENSION: &str = "\u{c}^{}\\[~]|€";

/// How a text travels and how many segments it takes. An empty text takes one.
///
/// ```
/// use trunkline_adapter::segment::{segments, Encoding};
/// assert_eq!(segments("hello"), (Encoding::Gsm7, 1));
/// assert_eq!(segments(&"x".repeat(161)), (Encoding::Gsm7, 2));
/// assert_eq!(segments("olá 👋").0, Encoding::Ucs2);
/// ```
pub fn segments(text: &str) -> (Encoding, usize) {
    let septets: Option<Vec<usize>> = text.chars().map(septets).collect();
    match septets {
        Some(costs) => (Encoding::Gsm7, pieces(&costs, 160, 153)),
        None => (Encoding::Ucs2, pieces(&text.chars().map(char::len_utf16).collect::<Vec<_>>(), 70, 67)),
    }
}

fn septets(character: char) -> Option<usize> {
    if BASIC.contains(character) {
        Some(1)
    } else if EXTENSION.contains(character) {
        Some(2)
    } else {
        None
    }
}

/// Pieces of units that may not straddle a border.
fn pieces(costs: &[usize], single: usize, several: usize) -> usize {
    if costs.iter().sum::<usize>() <= single {
        return 1;
    }
    let (mut count, mut used) = (1, 0);
    for cost in costs {
        if used + cost > several {
            count += 1;
            used = 0;
        }
        used += cost;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn borders() {
        for (text, expected) in [
            (String::new(), (Encoding::Gsm7, 1)),
            ("a".repeat(160), (Encoding::Gsm7, 1)),
            ("a".repeat(161), (Encoding::Gsm7, 2)),
            ("a".repeat(306), (Encoding::Gsm7, 2)),
            ("a".repeat(307), (Encoding::Gsm7, 3)),
            ("€".repeat(80), (Encoding::Gsm7, 1)),
            // 152 septets, then a pair that may not straddle: the 77th euro sign opens the second piece.
            ("€".repeat(81), (Encoding::Gsm7, 2)),
            ("€".repeat(153), (Encoding::Gsm7, 3)),
            ("я".repeat(70), (Encoding::Ucs2, 1)),
            ("я".repeat(71), (Encoding::Ucs2, 2)),
            ("👋".repeat(35), (Encoding::Ucs2, 1)),
            ("👋".repeat(36), (Encoding::Ucs2, 2)),
            ("👋".repeat(67), (Encoding::Ucs2, 3)),
            ("`".to_owned(), (Encoding::Ucs2, 1)),
        ] {
            assert_eq!(segments(&text), expected, "{} characters", text.chars().count());
        }
    }
}
