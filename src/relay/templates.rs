//! Templates: what a `ContentSid` stands for, and how its blanks are filled in.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};

use super::RelayError;
use crate::model::Templated;

/// One template of the configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Template {
    /// Its text, with blanks such as `{{1}}` or `{{name}}`.
    pub body: String,
    /// Name and language by which WhatsApp knows it.
    pub whatsapp: Option<(String, String)>,
}

impl Template {
    /// The names of its blanks, each once.
    pub fn blanks(&self) -> BTreeSet<&str> {
        let blank = |piece| match piece {
            Piece::Blank(name) => Some(name),
            Piece::Text(_) => None,
        };
        pieces(&self.body).into_iter().filter_map(blank).collect()
    }
}

/// The templates of the running configuration, by SID.
#[derive(Default)]
pub struct Templates(RwLock<Arc<HashMap<String, Template>>>);

impl Templates {
    pub fn replace(&self, templates: HashMap<String, Template>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(templates);
    }

    /// All of them, in the order of their SIDs.
    pub fn all(&self) -> Vec<(String, Template)> {
        let templates = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let mut all: Vec<_> = templates.iter().map(|(sid, one)| (sid.clone(), one.clone())).collect();
        all.sort_by(|one, other| one.0.cmp(&other.0));
        all
    }

    /// A template with its blanks filled in.
    ///
    /// # Errors
    /// When there is no such template, or nothing is given for one of its blanks. What is given for blanks that it does
    /// not have is left out.
    pub fn fill(&self, sid: &str, given: &HashMap<String, String>) -> Result<Templated, RelayError> {
        let templates = Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner));
        let template = templates.get(sid).ok_or(RelayError::TemplateNotFound)?;
        let mut text = String::new();
        let mut variables: Vec<(String, String)> = Vec::new();
        for piece in pieces(&template.body) {
            match piece {
                Piece::Text(words) => text.push_str(words),
                Piece::Blank(name) => {
                    let value =
                        given.get(name).ok_or_else(|| RelayError::VariableMissing(name.to_owned()))?;
                    text.push_str(value);
                    if !variables.iter().any(|(known, _)| known == name) {
                        variables.push((name.to_owned(), value.clone()));
                    }
                }
            }
        }
        // Numbers first, by what they are: providers are told them in this order.
        variables.sort_by_key(|(name, _)| name.parse::<u32>().unwrap_or(u32::MAX));
        Ok(Templated { sid: sid.to_owned(), variables, named: template.whatsapp.clone(), text })
    }
}

enum Piece<'a> {
    Text(&'a str),
    Blank(&'a str),
}

/// Cuts a template's text into words and blanks. What only looks like a blank is text.
fn pieces(body: &str) -> Vec<Piece<'_>> {
    let (mut rest, mut pieces) = (body, Vec::new());
    while let Some(open) = rest.find("{{") {
        let behind = &rest[open + 2..];
        let Some((name, tail)) = behind.split_once("}}") else { break };
        let name = name.trim();
        let word = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        if word {
            pieces.push(Piece::Text(&rest[..open]));
            pieces.push(Piece::Blank(name));
            rest = tail;
        } else {
            pieces.push(Piece::Text(&rest[..open + 2]));
            rest = behind;
        }
    }
    pieces.push(Piece::Text(rest));
    pieces
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filled(body: &str, given: &[(&str, &str)]) -> Result<Templated, String> {
        let templates = Templates::default();
        let template = Template { body: body.to_owned(), whatsapp: None };
        templates.replace(HashMap::from([("HX1".to_owned(), template)]));
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        templates.fill("HX1", &given).map_err(|error| error.to_string())
    }

    #[test]
    fn blanks_are_filled_in_and_told_in_order() {
        let given = [("1", "Ann"), ("2", "A-17"), ("10", "x"), ("who", "Bob"), ("spare", "!")];
        let made = filled("{{ who }}: {{2}} for {{1}}, {{10}} {{1}}", &given).unwrap();
        assert_eq!(made.text, "Bob: A-17 for Ann, x Ann");
        let names: Vec<&str> = made.variables.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["1", "2", "10", "who"]);
        // What is put in is not read again.
        assert_eq!(filled("{{1}}", &[("1", "{{2}}")]).unwrap().text, "{{2}}");
    }

    #[test]
    fn what_is_no_blank_is_text() {
        for text in ["{{", "}}", "{{}}", "{{a b}}", "{1}", "{{ü}}", "a {{ {{"] {
            assert_eq!(filled(text, &[]).unwrap().text, text);
        }
        assert_eq!(filled("{{{{1}}", &[("1", "x")]).unwrap().text, "{{x");
    }

    #[test]
    fn what_is_missing_is_said() {
        assert!(filled("{{1}} {{2}}", &[("1", "x")]).unwrap_err().contains('2'));
        assert!(Templates::default().fill("HX1", &HashMap::new()).is_err());
    }
}
