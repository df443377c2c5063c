//! STOP, START and HELP on channels where the words are ours to handle.

use std::sync::{Arc, PoisonError, RwLock};

/// Which words do what; compared without regard to case and surrounding punctuation, with the whole text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeywordSettings {
    pub enabled: bool,
    pub stop: Vec<String>,
    pub start: Vec<String>,
    pub help: Vec<String>,
}

/// What a text asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Stop,
    Start,
    Help,
}

/// The words of the running configuration.
#[derive(Default)]
pub struct Keywords(RwLock<Arc<KeywordSettings>>);

/// Answers to the three words. Said once per change, so a STOP that repeats gets no second answer.
pub const STOPPED: &str =
    "You are unsubscribed and will get no more messages from this number. Reply START to subscribe again.";
pub const STARTED: &str = "You are subscribed again. Reply STOP to unsubscribe, HELP for help.";
pub const HELPED: &str = "Messages from this number are part of a conversation. Reply STOP to unsubscribe.";

impl Keywords {
    pub fn replace(&self, settings: KeywordSettings) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(settings);
    }

    /// What a whole text asks for, if anything.
    pub fn asked(&self, text: &str) -> Option<Asked> {
        let settings = self.0.read().unwrap_or_else(PoisonError::into_inner).clone();
        // The longest keyword anybody configures is far shorter; a long text is not one.
        if !settings.enabled || text.len() > 64 {
            return None;
        }
        let word = bare(text);
        let among = |words: &[String]| words.iter().any(|candidate| bare(candidate) == word);
        if word.is_empty() {
            None
        } else if among(&settings.stop) {
            Some(Asked::Stop)
        } else if among(&settings.start) {
            Some(Asked::Start)
        } else if among(&settings.help) {
            Some(Asked::Help)
        } else {
            None
        }
    }
}

fn bare(text: &str) -> String {
    text.trim_matches(|c: char| c.is_whitespace() || c.is_ascii_punctuation() || "“”‘’«»¡¿…".contains(c))
        .to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_text_counts_and_its_dress_does_not() {
        let keywords = Keywords::default();
        assert_eq!(keywords.asked("STOP"), None, "off until configured");
        keywords.replace(KeywordSettings {
            enabled: true,
            stop: vec!["STOP".to_owned()],
            start: vec!["START".to_owned()],
            help: vec!["HELP".to_owned()],
        });
        for text in ["STOP", "stop", " Stop. ", "“STOP!”"] {
            assert_eq!(keywords.asked(text), Some(Asked::Stop), "{text}");
        }
        for text in ["please stop", "STOP IT", "", "...", &"stop ".repeat(40)] {
            assert_eq!(keywords.asked(text), None, "{text}");
        }
        assert_eq!(keywords.asked("help?"), Some(Asked::Help));
    }
}
