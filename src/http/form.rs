//! `application/x-www-form-urlencoded`: the parameters of a body or a query, bounded and strictly UTF-8.

use http::HeaderMap;
use http::header::CONTENT_TYPE;
use percent_encoding::percent_decode;

use super::error::{self, ApiError};

/// The most parameters in one request.
const MOST: usize = 1000;

/// Parameters in the order they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Form {
    fields: Vec<(String, String)>,
}

impl Form {
    /// Reads a body, whose type must say that it is a form if it says anything.
    pub fn from_body(headers: &HeaderMap, body: &[u8]) -> Result<Form, ApiError> {
        if body.is_empty() {
            return Ok(Form::default());
        }
        if let Some(given) = headers.get(CONTENT_TYPE) {
            let essence = given.as_bytes().split(|byte| *byte == b';').next().unwrap_or_default();
            if !essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded") {
                return Err(error::NOT_FORM.into());
            }
        }
        Form::parse(body)
    }

    /// Parameters that came in another shape than a form's.
    pub fn of(fields: Vec<(String, String)>) -> Form {
        Form { fields }
    }

    /// The same and one more.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Form {
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Reads encoded text.
    pub fn parse(encoded: &[u8]) -> Result<Form, ApiError> {
        let mut fields = Vec::new();
        for pair in encoded.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty()) {
            if fields.len() == MOST {
                return Err(error::TOO_MANY_PARAMETERS.into());
            }
            let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
            let value = pair.get(at + 1..).unwrap_or_default();
            fields.push((decode(&pair[..at])?, decode(value)?));
        }
        Ok(Form { fields })
    }

    /// The value of a parameter: under exactly this name first, then in any case. The first of repeated ones.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    /// A value that is there and not empty.
    pub fn filled(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Every value of a repeated parameter.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let exact = self.fields.iter().any(|(given, _)| given == name);
        self.fields
            .iter()
            .filter(move |(given, _)| if exact { given == name } else { given.eq_ignore_ascii_case(name) })
            .map(|(_, value)| value.as_str())
    }

    /// What a repeated parameter lists. An empty value alone is an empty list.
    pub fn each<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.all(name).filter(|value| !value.is_empty())
    }

    /// What one of a few words stands for, in any case; nothing where the parameter is missing or empty.
    pub fn word<T: Copy>(
        &self,
        name: &str,
        words: &[(&str, T)],
        otherwise: impl FnOnce() -> ApiError,
    ) -> Result<Option<T>, ApiError> {
        let Some(given) = self.filled(name) else { return Ok(None) };
        let known = words.iter().find(|(word, _)| word.eq_ignore_ascii_case(given));
        known.map(|(_, meant)| Some(*meant)).ok_or_else(otherwise)
    }

    /// Whether any of these parameters is there, with whatever value.
    pub fn any(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.get(name).is_some())
    }

    /// Refuses parameters of the original that are not there yet: a caller who sends one relies on it.
    pub fn refuse(&self, names: &[&str]) -> Result<(), ApiError> {
        match names.iter().find(|name| self.get(name).is_some()) {
            Some(name) => Err(ApiError::unsupported(name)),
            None => Ok(()),
        }
    }
}

fn decode(text: &[u8]) -> Result<String, ApiError> {
    let spaced: Vec<u8> = text.iter().map(|byte| if *byte == b'+' { b' ' } else { *byte }).collect();
    let bytes: Vec<u8> = percent_decode(&spaced).collect();
    String::from_utf8(bytes).map_err(|_| error::NOT_UTF8.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn form(text: &str) -> Form {
        Form::parse(text.as_bytes()).unwrap()
    }

    #[test]
    fn names_match_exactly_first_and_then_in_any_case() {
        let form = form("messagingBinding.address=a&Body=x&body=y&Empty=&Bare");
        assert_eq!(form.get("MessagingBinding.Address"), Some("a"));
        assert_eq!(form.get("Body"), Some("x"));
        assert_eq!(form.get("body"), Some("y"));
        assert_eq!(form.get("BODY"), Some("x"));
        assert_eq!((form.get("Empty"), form.filled("Empty")), (Some(""), None));
        assert_eq!((form.get("Bare"), form.get("Missing")), (Some(""), None));
    }

    #[test]
    fn values_are_decoded_and_repeated_keys_kept() {
        let form = form("Body=a+b%26c%3D%E2%9C%93%2B1&Filters=x&Filters=y&&");
        assert_eq!(form.get("Body"), Some("a b&c=✓+1"));
        assert_eq!(form.all("Filters").collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(form.all("filters").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn words_stand_for_something_in_any_case() {
        let words = [("asc", 1), ("desc", 2)];
        let read = |text: &str| form(text).word("Order", &words, || error::NOT_UTF8.into());
        for (text, meant) in [("Order=DESC", Some(2)), ("order=asc", Some(1)), ("Order=", None), ("", None)] {
            assert_eq!(read(text).unwrap(), meant, "{text}");
        }
        assert_eq!(read("Order=up").unwrap_err(), error::NOT_UTF8.into());
        assert_eq!(form("a=&a=x&a=y").each("a").collect::<Vec<_>>(), ["x", "y"]);
    }

    #[test]
    fn what_is_refused() {
        assert_eq!(Form::parse(b"Body=%FF").unwrap_err(), error::NOT_UTF8.into());
        assert_eq!(Form::parse(b"Bo\xffdy=1").unwrap_err(), error::NOT_UTF8.into());
        let many = "a=1&".repeat(1000);
        assert!(Form::parse(many.as_bytes()).is_ok());
        assert_eq!(
            Form::parse(format!("{many}a=1").as_bytes()).unwrap_err(),
            error::TOO_MANY_PARAMETERS.into()
        );
        assert!(form("MediaSid=ME1").refuse(&["MediaSid"]).is_err());
        assert!(form("Body=1").refuse(&["MediaSid"]).is_ok());
    }

    #[test]
    fn a_body_must_be_a_form_unless_it_is_empty() {
        let typed = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            headers
        };
        assert!(Form::from_body(&typed("application/json"), b"").is_ok());
        assert_eq!(Form::from_body(&typed("application/json"), b"{}").unwrap_err(), error::NOT_FORM.into());
        assert!(Form::from_body(&typed("Application/X-WWW-form-urlencoded; charset=UTF-8"), b"a=1").is_ok());
        assert!(Form::from_body(&HeaderMap::new(), b"a=1").is_ok());
    }

    proptest! {
        #[test]
        fn whatever_a_library_encodes_comes_back(pairs in proptest::collection::vec(("[^\\x00]{0,8}", ".{0,20}"), 0..20)) {
            let encoded = form_urlencoded::Serializer::new(String::new()).extend_pairs(&pairs).finish();
            let read = Form::parse(encoded.as_bytes()).unwrap();
            prop_assert_eq!(read.fields, pairs);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&bytes);
        }
    }
}
