//! Names and small texts: addresses, correlation texts, the words of settings, what is masked and what is cut in pieces.
//! The first byte chooses.

use trunkline::model::Correlation;
use trunkline::relay::{KeywordSettings, Keywords};
use trunkline::telemetry::mask;
use trunkline_adapter::segment::segments;
use trunkline_adapter::{Address, Channel, OverLimit, Section, TextLimit, TextUnit, lookalike};

use super::choice;

pub fn run(data: &[u8]) {
    let Some((which, rest)) = choice(data) else { return };
    let text = String::from_utf8_lossy(rest);
    match which {
        b'a' => addresses(&text),
        b'c' => correlation(&text),
        b's' => settings(&text),
        b'w' => words(&text),
        b'p' => pieces(&text),
        b'k' => keyword(&text),
        _ => {}
    }
}

fn addresses(text: &str) {
    let mut found = vec![Address::parse(text)];
    for channel in Channel::ALL {
        found.extend([Address::from_digits(channel, text), Address::from_id(channel, text)]);
    }
    for address in found.into_iter().flatten() {
        assert!(address.as_str().len() <= Address::MAX);
        let json = serde_json::to_string(&address).expect("text");
        assert_eq!(serde_json::from_str::<Address>(&json).expect("our own"), address);
        let channel = address.channel().name();
        assert_eq!(format!("{address:?}"), format!("Address({channel}:…)"));
        // Longer than what a mask could hold by chance.
        if address.value().len() > 12 {
            assert!(!mask::address(&address).contains(address.value()), "not masked");
        }
        if let Some(other) = lookalike(&address) {
            assert_ne!(other, address);
            assert_eq!(lookalike(&other).as_ref(), Some(&address));
        }
    }
    if let Ok(address) = Address::parse(text) {
        assert_eq!(Address::parse(address.as_str()).as_ref(), Ok(&address), "not canonical");
    }
}

fn correlation(text: &str) {
    let Some(correlation) = Correlation::decode(text) else { return };
    let written = correlation.encode();
    assert!(written.len() <= 200 && written.bytes().all(|byte| byte.is_ascii_graphic()));
    assert_eq!(Correlation::decode(&written), Some(correlation));
}

/// Whatever stands in a file is read or told, never both and never neither.
fn settings(text: &str) {
    let read: [fn(&mut Section) -> bool; 5] = [
        |section| section.duration("key").is_some(),
        |section| section.size("key").is_some(),
        |section| section.address("key").is_some(),
        |section| section.rate("key").is_some_and(|rate| rate.burst > 0 && !rate.period.is_zero()),
        |section| !section.base_url("key", "https://b.example").ends_with('/'),
    ];
    for (place, read) in read.into_iter().enumerate() {
        let mut section = Section::of(&[("key", text)]);
        let there = read(&mut section);
        let problems = section.finish().0.iter().filter(|problem| !problem.note).count();
        assert!(there || problems > 0, "{place}: neither read nor told");
        assert!(place == 4 || !there || problems == 0, "{place}: read and told");
    }
}

/// A provider's words, made fit to keep.
fn words(text: &str) {
    let kept = trunkline_graph::words(text);
    assert!(kept.chars().count() <= 200 && !kept.contains(char::is_control));
    let (mut digits, mut letters) = (0, 0);
    for character in kept.chars() {
        digits = if character.is_ascii_digit() { digits + 1 } else { 0 };
        letters = if character.is_ascii_alphanumeric() { letters + 1 } else { 0 };
        assert!(digits < 7 && letters < 24, "shown: {kept}");
    }
    // Not even the beginning of a token, wherever the text is cut.
    for run in text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|run| run.len() >= 24) {
        let begin = &run[..12];
        if text.matches(begin).count() == 1 {
            assert!(!kept.contains(begin), "the beginning of a token is shown: {kept}");
        }
    }
}

/// No piece is too long, none is empty, and no letter is lost.
fn pieces(text: &str) {
    let Some((first, text)) = text.char_indices().nth(1).map(|(at, _)| text.split_at(at)) else { return };
    let most = first.bytes().next().map_or(1, usize::from).max(4);
    for unit in [TextUnit::Characters, TextUnit::Bytes] {
        let measure = |text: &str| if unit == TextUnit::Bytes { text.len() } else { text.chars().count() };
        let limit = TextLimit { most, unit, over: OverLimit::Split };
        let pieces = limit.pieces(text).expect("it may be split");
        assert!(pieces.iter().all(|piece| measure(piece) <= most), "too long");
        assert!(pieces.len() == 1 || pieces.iter().all(|piece| !piece.is_empty()), "an empty piece");
        let bare = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
        assert_eq!(bare(&pieces.concat()), bare(text), "a letter is lost");
        let fails = TextLimit { most, unit, over: OverLimit::Fail(1) };
        assert_eq!(fails.pieces(text).is_ok(), measure(text) <= most);
    }
    let (_, count) = segments(text);
    assert!(count >= 1 && count <= text.chars().count().max(1));
}

/// A keyword is one however it is written.
fn keyword(text: &str) {
    let keywords = Keywords::default();
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    keywords.replace(KeywordSettings {
        enabled: true,
        stop: words(&["STOP", "Стоп"]),
        start: words(&["START"]),
        help: words(&["HELP", "?"]),
    });
    let asked = keywords.asked(text);
    if text.len() < 60 {
        assert_eq!(keywords.asked(&format!(" {text}!")), asked);
    } else if text.len() > 64 {
        assert_eq!(asked, None);
    }
}
