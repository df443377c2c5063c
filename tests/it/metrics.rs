//! The exposition: the contract's names, types and labels, all there from the start, none that tells on anybody, and each
//! one moving when it should.

use std::collections::{BTreeMap, BTreeSet};

use trunkline_adapter::DeliveryStatus;

use crate::harness::{Act, Metrics, Sent, World};

const ANN: &str = "+15557770001";
const BOB: &str = "whatsapp:+15557770002";
const CAT: &str = "messenger:7770003";

/// What the contract promises of what there is, and the labels of each.
const PROMISED: &[(&str, &str, &[&str])] = &[
    ("trunkline_inbound_messages_total", "counter", &["adapter", "outcome"]),
    ("trunkline_last_inbound_timestamp_seconds", "gauge", &["adapter"]),
    ("trunkline_http_requests_total", "counter", &["code", "route"]),
    ("trunkline_http_request_duration_seconds", "histogram", &["code", "route"]),
    ("trunkline_outbound_messages_total", "counter", &["adapter", "outcome", "proxy"]),
    ("trunkline_provider_request_duration_seconds", "histogram", &["adapter"]),
    ("trunkline_delivery_status_total", "counter", &["adapter", "status"]),
    ("trunkline_relay_duration_seconds", "histogram", &["adapter"]),
    ("trunkline_rate_wait_duration_seconds", "histogram", &["adapter"]),
    ("trunkline_lane_messages", "gauge", &["adapter", "proxy"]),
    ("trunkline_lane_oldest_message_age_seconds", "gauge", &["adapter", "proxy"]),
    ("trunkline_lanes", "gauge", &["adapter", "state"]),
    ("trunkline_duplicate_sends_total", "counter", &["adapter"]),
    ("trunkline_overload_rejections_total", "counter", &["route"]),
    ("trunkline_commit_duration_seconds", "histogram", &[]),
    ("trunkline_commit_batch_size", "histogram", &[]),
    ("trunkline_commit_conflicts_total", "counter", &[]),
    ("trunkline_bindings", "gauge", &[]),
    ("trunkline_sdk_sessions", "gauge", &[]),
    ("trunkline_inbox_messages", "gauge", &[]),
    ("trunkline_media_fetches_total", "counter", &["adapter", "outcome"]),
    ("trunkline_event_webhooks_total", "counter", &["hook", "outcome"]),
    ("trunkline_event_webhook_queue_messages", "gauge", &[]),
    ("trunkline_dead_letters", "gauge", &[]),
    ("trunkline_config_reloads_total", "counter", &["outcome"]),
    ("trunkline_config_last_reload_successful", "gauge", &[]),
    ("trunkline_config_last_reload_success_timestamp_seconds", "gauge", &[]),
    ("trunkline_store_bytes", "gauge", &["part"]),
    ("trunkline_disk_free_bytes", "gauge", &["part"]),
    ("trunkline_build_info", "gauge", &["revision", "store_format", "version"]),
];

/// Each family's label sets, without the buckets of histograms.
fn families(metrics: &Metrics) -> BTreeMap<String, BTreeSet<Vec<(String, String)>>> {
    let mut families: BTreeMap<String, BTreeSet<Vec<(String, String)>>> = BTreeMap::new();
    for series in &metrics.series {
        let base = ["_bucket", "_sum", "_count"]
            .iter()
            .filter_map(|end| series.name.strip_suffix(end))
            .find(|base| metrics.types.get(*base).is_some_and(|kind| kind == "histogram"));
        let labels = series.labels.iter().filter(|(key, _)| *key != "le");
        let labels = labels.map(|(key, value)| (key.clone(), value.clone())).collect();
        families.entry(base.unwrap_or(&series.name).to_owned()).or_default().insert(labels);
    }
    families
}

fn values(
    families: &BTreeMap<String, BTreeSet<Vec<(String, String)>>>,
    name: &str,
    label: &str,
) -> BTreeSet<String> {
    let sets = families[name].iter().flatten();
    sets.filter(|(key, _)| key == label).map(|(_, value)| value.clone()).collect()
}

fn set(words: &[&str]) -> BTreeSet<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_promised_is_there_from_the_start() {
    let world = World::start().await;
    world.daemon.log().line("the binding table equals the ledger").await;
    let metrics = world.daemon.metrics().await;
    let families = families(&metrics);
    for (name, kind, labels) in PROMISED {
        assert_eq!(metrics.types.get(*name).map(String::as_str), Some(*kind), "{name}");
        let sets = families.get(*name).unwrap_or_else(|| panic!("no series of {name}"));
        for found in sets {
            let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
            assert_eq!(keys, *labels, "{name}");
        }
    }
    // And nothing else of ours that nobody documented, but for one that says a lane had to be started again.
    let known: BTreeSet<&str> =
        PROMISED.iter().map(|(name, ..)| *name).chain(["trunkline_lane_restarts_total"]).collect();
    let others: Vec<_> = families
        .keys()
        .filter(|name| !name.starts_with("process_") && !known.contains(name.as_str()))
        .collect();
    assert!(others.is_empty(), "{others:?}");
    assert!(families.keys().any(|name| name == "process_resident_memory_bytes"));

    let adapters = set(&["us", "wa", "pages"]);
    for (name, _, labels) in PROMISED.iter().filter(|(_, _, labels)| labels.contains(&"adapter")) {
        assert_eq!(values(&families, name, "adapter"), adapters, "{name}");
        if labels.contains(&"proxy") {
            assert_eq!(values(&families, name, "proxy"), set(&[""]), "{name}");
        }
    }
    for (name, label, expected) in [
        (
            "trunkline_inbound_messages_total",
            "outcome",
            &["accepted", "duplicate", "unbound", "refused", "unreadable"][..],
        ),
        (
            "trunkline_outbound_messages_total",
            "outcome",
            &["accepted", "retryable", "throttled", "rejected", "unknown"],
        ),
        (
            "trunkline_delivery_status_total",
            "status",
            &["sent", "delivered", "read", "failed", "undelivered"],
        ),
        ("trunkline_lanes", "state", &["idle", "sending", "waiting", "held"]),
        ("trunkline_config_reloads_total", "outcome", &["taken", "refused"]),
    ] {
        assert_eq!(values(&families, name, label), set(expected), "{name}");
    }
    // Full products, at zero.
    assert_eq!(families["trunkline_inbound_messages_total"].len(), 15);
    assert_eq!(families["trunkline_outbound_messages_total"].len(), 15);
    for series in metrics.series.iter().filter(|series| {
        let counts = series.name.ends_with("_total") || series.name.ends_with("_count");
        counts && series.name.starts_with("trunkline_") && !series.name.starts_with("trunkline_commit")
    }) {
        assert_eq!(series.value, 0.0, "{series:?}");
    }
    for (name, kind, _) in PROMISED.iter().filter(|(_, kind, _)| *kind == "histogram") {
        let buckets = metrics.series.iter().filter(|series| series.name == format!("{name}_bucket"));
        assert!(buckets.clone().any(|bucket| bucket.labels["le"] == "+Inf"), "{name} is a {kind}");
        assert!(buckets.count() > 4, "{name}");
    }
}

/// Whether a label's value could name a person, a thing of theirs or a place.
fn telltale(value: &str) -> bool {
    let digits = value.chars().filter(char::is_ascii_digit).count();
    let sid = value.len() >= 34 && value.chars().rev().take(32).all(|c| c.is_ascii_hexdigit());
    digits >= 5 || sid || value.contains("://") || value.contains('+') || value.contains("%")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_label_tells_who_wrote_to_whom() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    world.write(&world.sms(ANN), "hello").await.expect(200);
    world.write(&world.sms("+15557779999"), "hello from nobody").await.expect(200);
    for path in [
        format!("/v1/Conversations/{}", talk.sid),
        format!("/v1/Conversations/{}/Participants/{}", talk.sid, talk.participants[0]),
        "/v1/Conversations/CH00000000000000000000000000000000".to_owned(),
        "/+15557770001/http://example.com".to_owned(),
        "/webhooks/+15557770001".to_owned(),
    ] {
        world.client.get(&path).await;
    }
    world.sink.taken(2).await;
    let metrics = world.daemon.metrics().await;
    for series in metrics.series.iter().filter(|series| series.name.starts_with("trunkline_")) {
        for (key, value) in &series.labels {
            let open = matches!(key.as_str(), "le" | "version" | "revision");
            assert!(open || !telltale(value), "{series:?}");
        }
    }
    for secret in [ANN, "7770003", talk.sid.as_str(), "hello"] {
        assert!(!metrics.text.contains(secret), "{secret}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_is_counted() {
    let world = World::start().await;
    let talk = world.three(ANN, BOB, CAT).await;
    let mut asked = [0, 0];
    world.sink.script(move |attempt| match attempt.place {
        "wa" => {
            asked[0] += 1;
            if asked[0] == 1 { Act::Throttle(Some(1)) } else { Act::Accept }
        }
        "pages" => {
            asked[1] += 1;
            if asked[1] == 1 { Act::TakeAndDrop } else { Act::Accept }
        }
        _ => Act::Accept,
    });
    let phone = world.sms(ANN);
    let id = world.message_id(&phone);
    world.webhook(phone.text(&id, "counted")).await.expect(200);
    world.webhook(phone.text(&id, "counted")).await.expect(200);
    world.write(&world.sms("+15557779999"), "nobody's").await.expect(200);
    // Bob's once, Cat's twice: the first time nobody knew.
    let twice = |sent: &[Sent]| {
        sent.iter().filter(|sent| sent.taken() && sent.to() == CAT).count() == 2
            && sent.iter().any(|sent| sent.taken() && sent.to() == BOB)
    };
    world.sink.wait("both", twice).await;
    world.quiet().await;
    let to_bob = world.sink.taken_for(BOB)[0].clone();
    assert!(world.report(&to_bob, DeliveryStatus::Delivered, None).await);
    world.client.get(&format!("/v1/Conversations/{}", talk.sid)).await.expect(200);
    world.client.get("/v1/Conversations/nothing").await.expect(404);
    world.daemon.reload();

    let metrics = world.daemon.metrics().await;
    let inbound = |adapter, outcome| {
        metrics.value("trunkline_inbound_messages_total", &[("adapter", adapter), ("outcome", outcome)])
    };
    assert_eq!(
        [inbound("us", "accepted"), inbound("us", "duplicate"), inbound("us", "unbound")],
        [1.0, 1.0, 1.0]
    );
    let outbound = |adapter, outcome| {
        metrics.value("trunkline_outbound_messages_total", &[("adapter", adapter), ("outcome", outcome)])
    };
    assert_eq!([outbound("wa", "throttled"), outbound("wa", "accepted")], [1.0, 1.0]);
    assert_eq!([outbound("pages", "unknown"), outbound("pages", "accepted")], [1.0, 1.0]);
    let duplicates = |adapter| metrics.value("trunkline_duplicate_sends_total", &[("adapter", adapter)]);
    assert_eq!([duplicates("us"), duplicates("wa"), duplicates("pages")], [0.0, 0.0, 1.0]);
    let delivered = [("adapter", "wa"), ("status", "delivered")];
    assert_eq!(metrics.value("trunkline_delivery_status_total", &delivered), 1.0);
    for adapter in ["wa", "pages"] {
        let labels = [("adapter", adapter)];
        assert_eq!(metrics.value("trunkline_relay_duration_seconds_count", &labels), 1.0, "{adapter}");
        assert_eq!(metrics.value("trunkline_provider_request_duration_seconds_count", &labels), 2.0);
        assert!(metrics.value("trunkline_rate_wait_duration_seconds_count", &labels) >= 1.0);
        assert_eq!(metrics.sum("trunkline_lanes", &labels), 1.0);
        assert_eq!(metrics.value("trunkline_lane_messages", &labels), 0.0);
    }
    assert_eq!(metrics.value("trunkline_bindings", &[]), 3.0);
    assert!(metrics.value("trunkline_commit_duration_seconds_count", &[]) > 0.0);
    assert!(metrics.value("trunkline_commit_batch_size_sum", &[]) > 0.0);
    assert!(metrics.value("trunkline_store_bytes", &[("part", "ledger")]) > 0.0);
    assert!(metrics.value("trunkline_disk_free_bytes", &[("part", "store")]) > 0.0);
    let route = "/v1/Conversations/{conversation}";
    let requests = |code| metrics.value("trunkline_http_requests_total", &[("route", route), ("code", code)]);
    assert_eq!([requests("2xx"), requests("4xx")], [1.0, 1.0]);
    // A reload forgets none of it.
    assert!(metrics.value("trunkline_last_inbound_timestamp_seconds", &[("adapter", "us")]) > 1.7e9);
    assert_eq!(metrics.value("trunkline_config_reloads_total", &[("outcome", "taken")]), 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_overloaded_daemon_says_so_and_counts() {
    let world = World::start_with(|config| config.limits.push("concurrent_requests = 1".to_owned())).await;
    let slow = std::sync::Mutex::new(Vec::new());
    // A caller who is not done yet has the only place, unless it comes while another one is there: then the next does.
    let busy = || async {
        let mut caller = tokio::net::TcpStream::connect(world.daemon.address).await.unwrap();
        let head = "POST /webhooks/us HTTP/1.1\r\nhost: b\r\ncontent-length: 10\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut caller, head.as_bytes()).await.unwrap();
        slow.lock().unwrap().push(caller);
        let answer = world.client.get("/v1/Conversations").await;
        (answer.status == 503).then_some(answer)
    };
    let answer = world.daemon.eventually("an overload", busy).await;
    assert!(answer.headers.contains_key("retry-after"));
    assert!(answer.code() > 0);
    slow.lock().unwrap().clear();
    let idle = || async { (world.client.get("/v1/Conversations").await.status == 200).then_some(()) };
    world.daemon.eventually("room again", idle).await;
    let metrics = world.daemon.metrics().await;
    assert!(metrics.value("trunkline_overload_rejections_total", &[("route", "/v1/Conversations")]) >= 1.0);
}
