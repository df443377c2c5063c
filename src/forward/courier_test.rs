#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use super::*;

fn forwarded() -> Forwarded {
    Forwarded {
        kind: "test".to_owned(),
        id: "1".to_owned(),
        from: Address::parse("+13035550001").unwrap(),
        name: None,
        to: Address::parse("+12025550001").unwrap(),
        parts: Vec::new(),
        rest: serde_json::Map::new(),
    }
}

#[test]
fn answers_leave_from_ours_to_somebody_on_the_same_channel() {
    let address = |text: &str| Address::parse(text).unwrap();
    let today =
        Target { proxies: [address("+12025550001"), address("+12025550002")].into(), ..Target::default() };
    let ends = |from: Option<&str>, to: Option<&str>| {
        let reply = Reply { text: "x".to_owned(), to: to.map(str::to_owned), from: from.map(str::to_owned) };
        super::ends(&today, &forwarded(), &reply)
    };
    let (ours, theirs) = (address("+12025550001"), address("+13035550001"));
    assert_eq!(ends(None, None), Some((ours.clone(), theirs.clone())));
    assert_eq!(ends(Some("+1 202 555 0002"), None), Some((address("+12025550002"), theirs)));
    assert_eq!(ends(None, Some("+13035550002")), Some((ours, address("+13035550002"))));
    for (from, to) in [
        (Some("+12025559999"), None),
        (Some("nobody?"), None),
        (None, Some("whatsapp:+13035550001")),
        (None, Some("BANK")),
        (None, Some("+12025550001")),
    ] {
        assert_eq!(ends(from, to), None, "{from:?} {to:?}");
    }
}
