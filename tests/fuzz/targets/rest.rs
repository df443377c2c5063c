//! What REST requests are made of: forms, pages, paths, credentials, hosts and moments. The first byte chooses.

use std::cell::LazyCell;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use trunkline::http::form::Form;
use trunkline::http::paging::Page;
use trunkline::http::route::{self, Route};
use trunkline::http::{Account, Accounts, Base};
use trunkline::model::AccountSid;
use trunkline_adapter::{Secrets, Timestamp};

use super::{choice, house};

const MOST: usize = 100;
const TOKEN: &str = "token:with:colons";
const KEY: (&str, &str) = ("SK00000000000000000000000000000001", "key-secret");

thread_local! {
    static ACCOUNTS: LazyCell<Accounts> = LazyCell::new(|| {
        let sid = AccountSid::parse(house::ACCOUNT).expect("a SID");
        let keys = vec![(KEY.0.to_owned(), Secrets::one(KEY.1))];
        Accounts::new(vec![Account { sid, auth_token: Secrets::one(TOKEN), keys }])
    });
}

pub fn run(data: &[u8]) {
    let Some((which, rest)) = choice(data) else { return };
    match which {
        b'f' => form(rest),
        b'p' => page(rest),
        b'r' => path(&String::from_utf8_lossy(rest)),
        b'a' => credentials(rest),
        b'h' => host(rest),
        b't' => moment(&String::from_utf8_lossy(rest)),
        _ => {}
    }
}

/// As a stranger's decoder reads it, unless that had to guess.
fn form(data: &[u8]) {
    let theirs: Vec<(String, String)> = form_urlencoded::parse(data).into_owned().collect();
    let Ok(ours) = Form::parse(data) else {
        let guessed =
            theirs.iter().any(|(name, value)| name.contains('\u{fffd}') || value.contains('\u{fffd}'));
        assert!(guessed || theirs.len() > 1000, "a good form is refused");
        return;
    };
    assert!(theirs.len() <= 1000);
    for (name, _) in &theirs {
        let same: Vec<&str> =
            theirs.iter().filter(|(other, _)| other == name).map(|(_, value)| value.as_str()).collect();
        assert_eq!(ours.all(name).collect::<Vec<_>>(), same);
        assert_eq!(ours.get(name), same.first().copied());
        assert_eq!(ours.filled(name), same.first().copied().filter(|value| !value.is_empty()));
    }
}

/// Whatever page is asked for, the URLs of its answer can be asked for in turn.
fn page(data: &[u8]) {
    let Ok(query) = Form::parse(data) else { return };
    // Places that are names are read as well as those that are numbers.
    let _ = Page::<String>::read(&query, MOST);
    let Ok(page) = Page::<u64>::read(&query, MOST) else { return };
    assert!((1..=MOST).contains(&page.size) && page.fetch() == page.size + 1);
    let mut records: Vec<u64> = (0..page.fetch() as u64).map(|place| place * 7).collect();
    let next = page.cut(&mut records, |place| *place);
    assert_eq!((records.len(), next), (page.size, records.last().copied()));
    let shown = records.iter().map(|place| (*place).into()).collect();
    let answer = page.answer("records", shown, next, "https://b.example/v1/Things", &[("State", "a&b")]);
    let meta = &answer["meta"];
    let follow = |key: &str| {
        let url = meta[key].as_str()?;
        let query = url.split_once('?').expect("a query").1;
        let form = Form::parse(query.as_bytes()).expect("our own form");
        assert_eq!(form.get("State"), Some("a&b"));
        assert!(url.len() <= 2_000, "a long URL");
        Some(Page::<u64>::read(&form, MOST).expect("our own page"))
    };
    assert_eq!(follow("url").as_ref(), Some(&page));
    assert_eq!(follow("next_page_url").and_then(|next| next.after), next);
    assert_eq!(follow("first_page_url").map(|first| (first.after, first.size)), Some((None, page.size)));
    if let Some(previous) = follow("previous_page_url") {
        assert_eq!(previous.size, page.size);
    }
}

/// A path that names something names the same when it is written anew.
fn path(path: &str) {
    let shown = route::shown(path);
    assert!(path.ends_with(shown));
    let Some(found) = Route::find(path) else { return };
    assert!(route::labels().any(|label| label == found.label));
    assert_eq!(found.name(found.names.len()), "");
    let mut names = found.names.iter();
    // Some things are there with a service in front only; then their label says so.
    let label = match &found.service {
        Some(_) => found.label.replacen("/Services/{service}/", "/", 1),
        None => found.label.to_owned(),
    };
    let written: Vec<String> = label
        .split('/')
        .map(|piece| match piece.starts_with('{') {
            true => utf8_percent_encode(names.next().expect("a name"), NON_ALPHANUMERIC).to_string(),
            false => piece.to_owned(),
        })
        .collect();
    let written = written.join("/");
    let written = match &found.service {
        Some(service) => {
            let service = utf8_percent_encode(service, NON_ALPHANUMERIC);
            written.replacen("/v1/", &format!("/v1/Services/{service}/"), 1)
        }
        None => written,
    };
    assert_eq!(Route::find(&written).as_ref(), Some(&found), "{written}");
}

/// Only what is exactly right is let in.
fn credentials(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(AUTHORIZATION, value);
    let found = ACCOUNTS.with(|accounts| accounts.authenticate(&headers));
    let right = [(house::ACCOUNT, TOKEN), KEY];
    let right = right.iter().any(|(user, password)| {
        let expected = STANDARD.encode(format!("{user}:{password}"));
        data.len() > 6
            && data[..6].eq_ignore_ascii_case(b"basic ")
            && data[6..].trim_ascii() == expected.as_bytes()
    });
    assert_eq!(found.is_ok(), right);
}

/// A host that is shown again is one that can stand in a URL.
fn host(data: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(data) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(HOST, value);
    let root = Base::new(None).root(&headers, None);
    let name = root.strip_prefix("http://").expect("a URL");
    assert!((1..=255).contains(&name.len()));
    assert!(!name.contains(|c: char| c.is_whitespace() || c.is_control() || "/?#@\\\"<>".contains(c)));
}

/// A moment that we show is one that we read.
fn moment(text: &str) {
    let Some(read) = Timestamp::parse(text) else { return };
    let shown = read.rfc3339();
    let again = Timestamp::parse(&shown).expect("our own form");
    assert_eq!(again.seconds(), read.seconds(), "{shown}");
}
