#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use proptest::prelude::*;
use trunkline_adapter::Secrets;

use super::*;

const ACCOUNT: &str = "AC00000000000000000000000000000001";
const KEY: &str = "SK00000000000000000000000000000001";
const SERVICE: &str = "IS00000000000000000000000000000001";
const NOW: i64 = 1_800_000_000;

fn now() -> Timestamp {
    Timestamp::from_seconds(NOW)
}

fn wanted() -> Wanted<'static> {
    Wanted {
        account: ACCOUNT,
        key: KEY,
        identity: "zoë @/?&=+% 😀",
        service: Some(SERVICE),
        life: Duration::from_secs(3600),
    }
}

fn claims() -> Value {
    json!({
        "iss": KEY, "sub": ACCOUNT, "exp": NOW + 3600,
        "grants": { "identity": "ada", "chat": { "service_sid": SERVICE } },
    })
}

fn header() -> Value {
    json!({ "typ": "JWT", "alg": "HS256", "cty": CONTENT })
}

fn token(header: &Value, claims: &Value) -> String {
    let signed = format!("{}.{}", encoded(header), encoded(claims));
    let algorithm = match header["alg"].as_str() {
        Some("HS384") => hmac::HMAC_SHA384,
        Some("HS512") => hmac::HMAC_SHA512,
        _ => hmac::HMAC_SHA256,
    };
    let key = hmac::Key::new(algorithm, b"secret");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, signed.as_bytes())))
}

fn check(token: &str) -> Result<Verified, u32> {
    let secrets = Secrets::new(vec![Secret::new("newer"), Secret::new("secret")]).unwrap();
    let read = || {
        let token = Unverified::read(token)?;
        token.issuer()?;
        token.signer(secrets.all())?;
        token.verified(now())
    };
    read().map_err(|denied| {
        assert_eq!(denied.status, 401);
        denied.code
    })
}

fn with(path: &str, value: Value) -> Result<Verified, u32> {
    let mut claims = claims();
    let spot = claims.pointer_mut(path);
    match spot {
        Some(spot) => *spot = value,
        None => {
            let (parent, name) = path.rsplit_once('/').unwrap();
            claims.pointer_mut(parent).unwrap()[name] = value;
        }
    }
    check(&token(&header(), &claims))
}

#[test]
fn what_is_signed_here_is_read_here() {
    let made = sign(&wanted(), &Secret::new("secret"), now());
    let read = check(&made).unwrap();
    assert_eq!(read.identity, wanted().identity);
    assert_eq!(read.service.as_deref(), Some(SERVICE));
    assert_eq!(read.expires, Timestamp::from_seconds(NOW + 3600));
    let unnamed = sign(&Wanted { service: None, ..wanted() }, &Secret::new("secret"), now());
    assert_eq!(check(&unnamed).unwrap().service, None);
    let other = sign(&wanted(), &Secret::new("somebody else's"), now());
    assert_eq!(check(&other), Err(20107));
}

#[test]
fn every_way_to_be_wrong_has_its_code() {
    for (path, value, code) in [
        ("/iss", Value::Null, 20103),
        ("/sub", Value::Null, 20103),
        ("/nbf", json!(NOW + 120), 20105),
        ("/exp", json!(NOW), 20104),
        ("/exp", json!(NOW - 1), 20104),
        ("/exp", Value::Null, 20104),
        ("/exp", json!("tomorrow"), 20101),
        ("/exp", json!(NOW + 86_400 + 61), 20104),
        ("/grants", Value::Null, 20106),
        ("/grants/chat", Value::Null, 20106),
        ("/grants/identity", Value::Null, 50204),
        ("/grants/identity", json!(""), 50204),
        ("/grants/identity", json!("x".repeat(257)), 50207),
    ] {
        assert_eq!(with(path, value.clone()), Err(code), "{path} {value}");
    }
    for (path, value) in [
        ("/nbf", json!(NOW + 50)),
        ("/nbf", json!(NOW - 3600)),
        ("/exp", json!(NOW + 86_400)),
        ("/exp", json!(f64::from(3600) + NOW as f64 + 0.5)),
        ("/grants/video", json!({ "room": "x" })),
    ] {
        assert!(with(path, value.clone()).is_ok(), "{path} {value}");
    }
    // A life is counted from its beginning, where that is told.
    let mut long = claims();
    long["nbf"] = json!(NOW - 7200);
    long["exp"] = json!(NOW + 86_400 - 3600);
    assert_eq!(check(&token(&header(), &long)), Err(20104));
}

#[test]
fn the_older_name_of_the_grant_is_as_good() {
    let mut claims = claims();
    claims["grants"] = json!({
        "identity": "ada",
        "ip_messaging": { "service_sid": SERVICE, "push_credential_sid": "CR1", "endpoint_id": "x" },
    });
    let read = check(&token(&header(), &claims)).unwrap();
    assert_eq!((read.service.as_deref(), read.push_credential.as_deref()), (Some(SERVICE), Some("CR1")));
}

#[test]
fn the_header_decides_nothing_that_a_stranger_could_use() {
    for (alg, code) in [("none", 20102), ("None", 20102), ("RS256", 20102), ("ES256", 20102), ("", 20102)] {
        let mut header = header();
        header["alg"] = json!(alg);
        assert_eq!(check(&token(&header, &claims())), Err(code), "{alg}");
    }
    for alg in ["HS384", "HS512"] {
        let mut header = header();
        header["alg"] = json!(alg);
        assert!(check(&token(&header, &claims())).is_ok(), "{alg}");
        // What one algorithm signed is no signature of another.
        let made = token(&header, &claims());
        let (_, rest) = made.split_once('.').unwrap();
        assert_eq!(check(&format!("{}.{rest}", encoded(&self::header()))), Err(20107), "{alg}");
    }
    for cty in [Value::Null, json!("twilio-fpa;v=2")] {
        let mut header = header();
        header["cty"] = cty;
        assert_eq!(check(&token(&header, &claims())), Err(20102));
    }
    let unsigned = format!("{}.{}.", encoded(&header()), encoded(&claims()));
    assert_eq!(check(&unsigned), Err(20107));
}

#[test]
fn what_is_no_token() {
    for text in ["", ".", "..", "a.b.c", "...", "e30.e30.", &"x".repeat(LONGEST + 1)] {
        assert_eq!(check(text), Err(20101), "{text}");
    }
    let made = token(&header(), &claims());
    assert_eq!(check(&format!("{made}.x")), Err(20101));
    assert_eq!(check(&made[..made.len() - 1]), Err(20101), "a signature that ends within a byte");
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(text in "[ -~]{0,80}", parts in proptest::collection::vec(".{0,40}", 0..5)) {
        let _ = check(&text);
        let joined: Vec<String> = parts.iter().map(|part| URL_SAFE_NO_PAD.encode(part)).collect();
        let _ = check(&joined.join("."));
    }
}
