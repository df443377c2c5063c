//! What the loader accepts, refuses and notes.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::sync::Arc;

use super::fake_kinds::{Named, kinds};
use super::load::{Loaded, from_text};
use super::*;

const ACCOUNT: &str =
    "[[account]]\nsid = \"ACabcdef00000000000000000000000001\"\nauth_token = { env = \"TOKEN\" }\n";
const ADAPTER: &str = "[[adapter]]\nname = \"us\"\nkind = \"twilio\"\n[adapter.settings]\n\
                       account_sid = { env = \"A\" }\nauth_token = { env = \"B\" }\n";

fn load(text: &str) -> Result<Loaded, Vec<String>> {
    let lines = |refused: Refused| refused.lines.iter().map(ToString::to_string).collect();
    from_text("t", text, &kinds(), Arc::new(Named)).map_err(lines)
}

/// What is said about lines put in front of a good file.
fn told(text: &str) -> Vec<String> {
    load(&format!("{text}\n{ACCOUNT}")).err().unwrap_or_default()
}

fn only(text: &str) -> String {
    let told = told(text);
    assert_eq!(told.len(), 1, "{text}: {told:?}");
    told[0].clone()
}

#[test]
fn an_empty_file_needs_an_account() {
    let hint = "add [[account]] with sid and auth_token: the credentials of your REST clients";
    assert_eq!(load("").unwrap_err(), [format!("t:1: account: at least one account is needed ({hint})")]);
}

#[test]
fn listeners_are_addresses_with_a_port() {
    let loaded = load(&format!("[server]\nlisten = [\"0.0.0.0:80\", \"[::]:80\"]\n{ACCOUNT}")).unwrap();
    assert_eq!(loaded.config.server.listen.len(), 2);
    assert_eq!(loaded.config.server.base_url(), "http://127.0.0.1:80");
    for (value, words) in [
        ("\":8080\"", "write \"0.0.0.0:8080\" or \"[::]:8080\""),
        ("\"localhost:80\"", "write \"127.0.0.1:80\""),
        ("\"127.0.0.1\"", "is not an address with a port"),
        ("[]", "at least one address"),
        ("[\n\"127.0.0.1:1\",\n\"127.0.0.1:1\"]", "t:4: server.listen: 127.0.0.1:1 is there twice"),
    ] {
        assert!(only(&format!("[server]\nlisten = {value}")).contains(words), "{value}");
    }
}

#[test]
fn values_out_of_bounds_or_of_the_wrong_form_are_refused() {
    for (text, words) in [
        ("[server]\npublic_url = \"bridge.example.com\"", "is not an http or https URL"),
        ("[server]\npublic_url = \"https://a.example/?q\"", "is not an http or https URL"),
        (
            "[server]\ntrusted_proxies = [\n\"10.0.0.0/8\",\n\"proxy\"]",
            "t:4: server.trusted_proxies: \"proxy\"",
        ),
        ("[server]\nadmin_socket = \"admin.sock\"", "must be an absolute path"),
        ("[store]\ndurability = \"powr\"", "must be one of \"power\", \"process\" (did you mean \"power\"?)"),
        ("[store]\nkeep_free = \"much\"", "is not a size"),
        ("[queue]\nexpire = \"0s\"", "must lie between 1s and"),
        ("[queue]\nexpire = \"9999d\"", "must lie between 1s and"),
        ("[queue]\nunknown = \"drop\"", "must be one of"),
        (
            "[opt_out]\nstop = []",
            "at least one word (to leave keywords to the provider, set enabled = false)",
        ),
        ("[opt_out]\nstop = [\"HALT\"]\nhelp = [\"halt\"]", "t:3: opt_out.help: HALT is already a keyword"),
        ("[limits]\nconcurrent_requests = 0", "must lie between 1 and"),
        ("[limits]\nwebhook_body = \"2TiB\"", "must lie between"),
        ("[limits]\nrequest_timeout = \"1ms\"", "must lie between"),
        ("[limits]\nconcurrent_requests = 99999999999999999999", "must be a whole number"),
    ] {
        assert!(only(text).contains(words), "{}", only(text));
    }
}

#[test]
fn accounts_are_well_formed_and_unique() {
    let said = load(&format!("{ACCOUNT}{}", ACCOUNT.replace("abcdef", "ABCDEF"))).unwrap_err();
    assert_eq!(said, ["t:5: account[1].sid: ACABCDEF00000000000000000000000001 is there twice"]);
    let key = "[[account.api_key]]\nsid = \"AC00000000000000000000000000000001\"\nsecret = \"s\"\n";
    let said = load(&format!("{ACCOUNT}{key}")).unwrap_err();
    assert!(
        said[0].starts_with("t:5: account[0].api_key[0].sid: must be SK and 32 hexadecimal digits"),
        "{said:?}"
    );
}

#[test]
fn adapters_names_and_addresses_are_unique() {
    let proxy = "[[adapter.proxy]]\naddress = \"+15550001111\"\nname = \"main\"\n";
    let text =
        format!("{ACCOUNT}{ADAPTER}{proxy}{ADAPTER}{}", proxy.replace("+1", "+1 (").replace("(555", "(555)"));
    let said = load(&text).unwrap_err();
    let words = [
        "another adapter is called us",
        "this address is there twice",
        "another proxy address is called main",
    ];
    assert_eq!(said.len(), 3, "{said:?}");
    for (line, words) in said.iter().zip(words) {
        assert!(line.contains(words), "{line}");
    }
    let said = load(&format!("{ACCOUNT}{}", ADAPTER.replace("\"us\"", "\"U S\""))).unwrap_err();
    assert_eq!(said, ["t:5: adapter[0].name: must be 1 to 40 of a-z, 0-9 and -"]);
}

#[test]
fn rates_are_the_proxys_own_or_the_adapters() {
    let two = "[[adapter.proxy]]\naddress = \"+15550001111\"\n[[adapter.proxy]]\naddress = \"+15550001112\"\n\
               rate = { per_minute = 6 }\n";
    let rated = ADAPTER.replace("kind", "rate = { per_second = 4, burst = 2 }\nkind");
    let config = load(&format!("{ACCOUNT}{rated}{two}")).unwrap().config;
    let rates: Vec<_> = config.adapters[0].proxies.iter().map(|proxy| proxy.rate.unwrap()).collect();
    assert_eq!(rates[0], trunkline_adapter::Rate::per_second(4.0, 2));
    assert_eq!(rates[1], trunkline_adapter::Rate::per_minute(6.0, 1));
    let names: Vec<_> = config.adapters[0].proxies.iter().map(|proxy| proxy.name.as_str()).collect();
    assert_eq!(names, ["", ""]);
    for rate in ["{ per_second = 0 }", "{}", "{ per_second = 1, per_minute = 1 }", "{ per_hour = 1 }", "5"] {
        let rated = ADAPTER.replace("kind", &format!("rate = {rate}\nkind"));
        assert!(load(&format!("{ACCOUNT}{rated}")).is_err(), "{rate}");
    }
}

#[test]
fn notes_refuse_nothing() {
    let text = ACCOUNT.replace("{ env = \"TOKEN\" }", "[\"literal\", { credential = \"token\" }]");
    let loaded = load(&format!("{text}{ADAPTER}")).unwrap();
    let notes: Vec<_> = loaded.notes.iter().map(ToString::to_string).collect();
    assert_eq!(
        notes,
        [
            "t:3: account[0].auth_token: a literal",
            "t:3: account[0].auth_token: token is not readable here",
            "t:4: adapter.us.proxy: has no [[adapter.proxy]]: nothing can be sent or received here",
        ]
    );
}

#[test]
fn files_with_secrets_are_remembered_when_refused_too() {
    let text = ACCOUNT.replace("env = \"TOKEN\"", "file = \"/a/MISSING\"");
    let refused = from_text("t", &text, &kinds(), Arc::new(Named)).unwrap_err();
    assert_eq!(refused.secret_files, [std::path::PathBuf::from("/a/MISSING")]);
    assert_eq!(refused.to_string(), "t:3: account[0].auth_token: /a/MISSING is not there");
}

#[test]
fn headers_of_the_wrong_form_are_told_and_read() {
    let single = ACCOUNT.replace("[[account]]", "[account]").replace("sid =", "sidd =");
    let said = load(&single).unwrap_err();
    assert!(
        said.iter().any(|line| line.contains("must be a list of tables (write [[account]])")),
        "{said:?}"
    );
    assert!(
        said.iter().any(|line| line.starts_with("t:2: ") && line.contains("did you mean sid?")),
        "{said:?}"
    );
    assert!(only("[[server]]\nwatch = true").contains("there is only one of these (write [server])"));
    assert!(
        only("[proxy]\naddress = \"+1555\"").contains("unknown header (it is written [[adapter.proxy]])")
    );
    assert!(only("[weather]\nrain = 1").ends_with("weather: unknown header"));
    assert!(only("listen = \"127.0.0.1:1\"").contains("listen: unknown key (belongs under [server])"));
}

#[test]
fn a_place_of_files_that_is_none_is_told() {
    assert!(only("[media]\nurl = \"/srv/files\"").contains("must be \"file:\" or \"s3://bucket/prefix\""));
    assert!(only("[media]\nlink_ttl = \"1s\"").contains("must lie between"));
}

#[test]
fn an_unknown_kind_is_told_without_guessing_at_its_keys() {
    let said = load(&format!("{ACCOUNT}{}", ADAPTER.replace("twilio", "carrier-pigeon"))).unwrap_err();
    assert_eq!(
        said,
        ["t:6: adapter.us.kind: there is no kind \"carrier-pigeon\", only twilio, whatsapp, messenger, sdk"]
    );
    let near = ADAPTER.replace("twilio", "twillio").replace("auth_token", "auth_tokn");
    let said = load(&format!("{ACCOUNT}{near}")).unwrap_err();
    assert!(said[0].contains("did you mean \"twilio\"?"), "{said:?}");
    assert!(
        said.iter().any(|line| line.contains("auth_tokn: unknown key (did you mean auth_token?)")),
        "{said:?}"
    );
}

#[test]
fn the_file_itself_is_bounded_and_text() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.toml");
    let said = || super::load(&path, &kinds(), Arc::new(Named)).unwrap_err().lines[0].to_string();
    let name = path.display();
    assert_eq!(said(), format!("{name}: cannot be read: No such file or directory (os error 2)"));
    std::fs::write(&path, [b"[log]\n# ".as_slice(), &[0xff], b"\n"].concat()).unwrap();
    assert_eq!(said(), format!("{name}:2: is not UTF-8 text"));
    std::fs::write(&path, "#".repeat(1 << 21)).unwrap();
    assert_eq!(said(), format!("{name}: is longer than 1048576 bytes"));
    std::fs::write(&path, format!("\u{feff}[log]\r\nlevel = \"debug\"\r\n{ACCOUNT}")).unwrap();
    assert_eq!(super::load(&path, &kinds(), Arc::new(Named)).unwrap().config.log.level, LogLevel::Debug);
}

proptest::proptest! {
    /// Whatever a file holds, it is read or refused, and refused with a reason.
    #[test]
    fn no_text_panics(text in "([\\[\\]{}=\"'.,# \\n]|sid|account|adapter|proxy|[a-z0-9]{1,3}){0,60}") {
        if let Err(lines) = load(&text) {
            proptest::prop_assert!(!lines.is_empty());
        }
    }
}

#[test]
fn templates_are_told_apart_by_their_sid() {
    let one = |sid: &str| format!("[[template]]\nsid = \"{sid}\"\nbody = \"Hi {{{{1}}}}\"\n");
    let (first, second) = (format!("HX{}", "1".repeat(32)), format!("HX{}", "2".repeat(32)));
    let named = "whatsapp = { name = \"n\", language = \"de\" }\n";
    let loaded = load(&format!("{}{named}{}{ACCOUNT}", one(&first), one(&second))).unwrap();
    let read: Vec<_> = loaded.config.templates.iter().map(|one| (&one.sid, &one.whatsapp)).collect();
    assert_eq!(read, [(&first, &Some(("n".to_owned(), "de".to_owned()))), (&second, &None)]);
    assert_eq!(loaded.config.templates[0].body, "Hi {{1}}");
    assert!(only(&format!("{}{}", one(&first), one(&first))).contains("is there twice"));
    assert!(only(&one("HX1")).contains("must be HX and 32"));
    assert!(only(&format!("{}whatsapp = {{ name = \"n\" }}", one(&first))).contains("language is missing"));
    let empty = one(&first).replace("Hi {{1}}", "");
    assert!(only(&empty).contains("template[0].body"));
}
