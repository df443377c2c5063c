//! Lists in pages: the cursor is an opaque token, `Page` is only echoed.
//!
//! A token carries the place after which the page begins, and the places of the pages before it, so that
//! `previous_page_url` works without asking the ledger to walk backwards.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::{self, ApiError};
use super::form::Form;

/// The size of a page when the caller names none.
const DEFAULT: usize = 50;
/// How many pages back a token remembers, unless places are so long that it would grow too long itself.
const REMEMBERED: usize = 15;
/// A token we made is never longer.
const LONGEST_TOKEN: usize = 1024;

/// Which page a caller asks for. Most lists are in the order of a number; some are in that of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<P = u64> {
    /// How many records.
    pub size: usize,
    /// The record after which it begins; `None` for the first page.
    pub after: Option<P>,
    number: u64,
    past: Vec<P>,
    token: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(bound(deserialize = "P: DeserializeOwned"))]
struct Token<P> {
    after: P,
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    past: Vec<P>,
}

impl<P: Clone + Serialize + DeserializeOwned> Page<P> {
    /// Reads `PageSize`, `Page` and `PageToken`. A size over `most` is lowered to it.
    pub fn read(query: &Form, most: usize) -> Result<Page<P>, ApiError> {
        let number = |name: &str| match query.filled(name) {
            None => Ok(None),
            Some(text) if text.bytes().all(|byte| byte.is_ascii_digit()) => {
                Ok(Some(text.parse::<u64>().unwrap_or(u64::MAX)))
            }
            Some(_) => Err(ApiError::parameter(format!("{name} is not a number"))),
        };
        let size = number("PageSize")?.map_or(DEFAULT, |size| usize::try_from(size).unwrap_or(most));
        let token = query.filled("PageToken");
        let read = token.map(Token::<P>::read).transpose()?;
        Ok(Page {
            size: size.clamp(1, most),
            number: number("Page")?.unwrap_or(0),
            after: read.as_ref().map(|token| token.after.clone()),
            past: read.map(|token| token.past).unwrap_or_default(),
            token: token.map(str::to_owned),
        })
    }

    /// How many records to fetch: one more than shown, which tells whether there is a next page.
    pub fn fetch(&self) -> usize {
        self.size + 1
    }

    /// Cuts what was fetched to the page, and says where the next page begins.
    pub fn cut<T>(&self, records: &mut Vec<T>, place: impl Fn(&T) -> P) -> Option<P> {
        if records.len() <= self.size {
            return None;
        }
        records.truncate(self.size);
        records.last().map(place)
    }

    /// The answer: the records under their key, and `meta`. `address` is absolute, without a query; `filters` are
    /// kept in every URL.
    pub fn answer(
        &self,
        key: &str,
        records: Vec<Value>,
        next: Option<P>,
        address: &str,
        filters: &[(&str, &str)],
    ) -> Value {
        let url = |number: u64, token: Option<&str>| {
            let mut query = form_urlencoded::Serializer::new(String::new());
            query.extend_pairs(filters);
            query.append_pair("PageSize", &self.size.to_string()).append_pair("Page", &number.to_string());
            if let Some(token) = token {
                query.append_pair("PageToken", token);
            }
            format!("{address}?{}", query.finish())
        };
        let first = url(0, None);
        let next = next.map(|after| url(self.number.saturating_add(1), Some(&self.next_token(after))));
        let previous = self.previous(&first, &url);
        json!({
            key: records,
            "meta": {
                "page": self.number,
                "page_size": self.size,
                "first_page_url": first,
                "previous_page_url": previous,
                "url": url(self.number, self.token.as_deref()),
                "next_page_url": next,
                "key": key,
            },
        })
    }

    fn next_token(&self, after: P) -> String {
        let mut past = self.past.clone();
        past.extend(self.after.clone());
        let forgotten = past.len().saturating_sub(REMEMBERED);
        past.drain(..forgotten);
        let mut token = Token { after, past };
        loop {
            let written = token.write();
            if written.len() <= LONGEST_TOKEN || token.past.is_empty() {
                return written;
            }
            token.past.remove(0);
        }
    }

    fn previous(&self, first: &str, url: &impl Fn(u64, Option<&str>) -> String) -> Option<String> {
        self.after.as_ref()?;
        match self.past.split_last() {
            Some((last, rest)) => {
                let token = Token { after: last.clone(), past: rest.to_vec() }.write();
                Some(url(self.number.saturating_sub(1), Some(&token)))
            }
            None => (self.number == 1).then(|| first.to_owned()),
        }
    }
}

impl<P: Serialize + DeserializeOwned> Token<P> {
    fn write(&self) -> String {
        let json = json!(self).to_string();
        format!("PT{}", URL_SAFE_NO_PAD.encode(json))
    }

    fn read(text: &str) -> Result<Token<P>, ApiError> {
        if text
            .strip_prefix('-')
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
        {
            return Err(error::NEGATIVE_PAGE_TOKEN.into());
        }
        let token = || {
            let encoded = text.strip_prefix("PT").filter(|rest| rest.len() <= LONGEST_TOKEN)?;
            let json = URL_SAFE_NO_PAD.decode(encoded).ok()?;
            let token: Token<P> = serde_json::from_slice(&json).ok()?;
            (token.past.len() <= REMEMBERED).then_some(token)
        };
        token().ok_or_else(|| error::PAGE_TOKEN.into())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use proptest::prelude::*;

    fn page(query: &str) -> Result<Page, ApiError> {
        Page::read(&Form::parse(query.as_bytes()).unwrap(), 100)
    }

    fn follow(url: &str) -> Page {
        page(url.split_once('?').unwrap().1).unwrap()
    }

    /// One page of the numbers 1 to `total`, as a list handler makes it.
    fn serve(page: &Page, total: u64) -> Value {
        let mut records: Vec<u64> = (page.after.unwrap_or(0) + 1..=total).take(page.fetch()).collect();
        let next = page.cut(&mut records, |record| *record);
        let records = records.into_iter().map(Value::from).collect();
        page.answer("numbers", records, next, "https://example.com/v1/Numbers", &[("State", "a b")])
    }

    #[test]
    fn sizes_are_clamped_and_never_refused() {
        assert_eq!(page("").unwrap().size, 50);
        assert_eq!(page("PageSize=500").unwrap().size, 100);
        assert_eq!(page("PageSize=99999999999999999999999").unwrap().size, 100);
        assert_eq!(page("PageSize=0").unwrap().size, 1);
        assert_eq!(page("PageSize=many").unwrap_err().code(), 20001);
        assert_eq!(page("Page=-1").unwrap_err().code(), 20001);
    }

    #[test]
    fn tokens_that_are_not_ours() {
        assert_eq!(page("PageToken=-5").unwrap_err().code(), 19038);
        for token in ["5", "PT", "PTxx", "PTe30", "-", "PT%20", &"P".repeat(9000)] {
            assert_eq!(page(&format!("PageToken={token}")).unwrap_err().code(), 20001, "{token}");
        }
    }

    #[test]
    fn the_first_and_only_page() {
        let shown = serve(&page("PageSize=20").unwrap(), 20);
        assert_eq!(
            shown["meta"],
            json!({
                "page": 0,
                "page_size": 20,
                "first_page_url": "https://example.com/v1/Numbers?State=a+b&PageSize=20&Page=0",
                "previous_page_url": null,
                "url": "https://example.com/v1/Numbers?State=a+b&PageSize=20&Page=0",
                "next_page_url": null,
                "key": "numbers",
            })
        );
    }

    #[test]
    fn places_may_be_names_and_tokens_stay_short() {
        let mut page: Page<String> = Page::read(&Form::parse(b"PageSize=1").unwrap(), 50).unwrap();
        for number in 0..40 {
            assert_eq!(page.after.is_some(), number > 0);
            let place = format!("CH{number:032}MB{number:032}");
            let shown = page.answer("names", Vec::new(), Some(place.clone()), "https://example.com", &[]);
            let next = shown["meta"]["next_page_url"].as_str().unwrap();
            assert!(next.len() < LONGEST_TOKEN + 100, "{}", next.len());
            page = Page::read(&Form::parse(next.split_once('?').unwrap().1.as_bytes()).unwrap(), 50).unwrap();
            assert_eq!(page.after, Some(place));
        }
        assert!(page.past.len() >= 5, "{} pages back", page.past.len());
    }

    proptest! {
        #[test]
        fn following_the_urls_visits_everything_once_and_back_again(total in 0u64..200, size in 1usize..30) {
            let mut page = page(&format!("PageSize={size}")).unwrap();
            let (mut seen, mut pages) = (Vec::new(), Vec::new());
            loop {
                let shown = serve(&page, total);
                seen.extend(shown["numbers"].as_array().unwrap().iter().map(|n| n.as_u64().unwrap()));
                pages.push(shown["numbers"].clone());
                match shown["meta"]["next_page_url"].as_str() {
                    Some(url) => page = follow(url),
                    None => break,
                }
            }
            prop_assert_eq!(seen, (1..=total).collect::<Vec<_>>());
            prop_assert_eq!(pages.len() as u64, total.div_ceil(size as u64).max(1));
            pages.pop();
            for _ in 0..REMEMBERED {
                let shown = serve(&page, total);
                let Some(expected) = pages.pop() else {
                    prop_assert!(shown["meta"]["previous_page_url"].is_null());
                    break;
                };
                page = follow(shown["meta"]["previous_page_url"].as_str().unwrap());
                prop_assert_eq!(&serve(&page, total)["numbers"], &expected);
            }
        }
    }
}
