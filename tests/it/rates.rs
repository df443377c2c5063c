//! Rates and pair limits of several lanes, by the sink's own clock, over two kill -9 and a reload.
//!
//! In any window at most `burst + rate × length` may arrive. Arrivals are measured where the provider would measure
//! them, on a machine with fewer cores than processes that want them: now and then a request is held up on its way, and
//! the windows that begin with it look shorter than they were. So one permit of slack is given, and of a hundred arrivals
//! one may begin a window that is above even that, by what comes in [`HELD_UP`](crate::harness::limits::HELD_UP). A rate that is really higher would be
//! above in nearly all windows; and every lane uses its burst in the beginning and is then kept at its limit, so that
//! one which forgot a restart would be above by another burst, less what came back while it was away: fifty on the first
//! lane, and eight for each pair.
//!
//! At least 95 % of each limit must be used, kills included. Of 40 seconds a lane may so lose two. Its requests are
//! spread 1 % wider than the rate (0.4 s); the rest is for two restarts, each of which costs the time from the kill until
//! the lanes run again, and what had come back of the next permit by then, since buckets start empty. A lane that starts
//! again after 0.5 s with 10 permits a second loses up to 0.6 s twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::harness::limits::{Limit, above, exceeded};
use crate::harness::{Client, PAGE, Proxy, SMS, Sent, TURN, WHATSAPP, World};

/// How long the use of the limits is measured, from the moment at which all work is there.
const SPAN: Duration = Duration::from_secs(40);
/// From the start of the lanes to when every bucket is full.
const FULL: Duration = Duration::from_millis(3_200);
/// When the daemon is killed, told to reload, and killed again.
const KILLS: [Duration; 2] = [Duration::from_secs(11), Duration::from_secs(29)];
const RELOAD: Duration = Duration::from_secs(20);
/// Posts, each of which goes to every recipient: what keeps the busiest recipient busy until after the end.
const POSTS: usize = 240;
/// The share of each limit that must be used.
const USE: f64 = 0.95;

/// A second WhatsApp number, for the pair limits.
const PAIRED: &str = "whatsapp:+15550003333";

const LANES: [(&str, Limit); 4] = [
    (SMS, Limit { per_second: 20.0, burst: 60.0 }),
    (WHATSAPP, Limit { per_second: 30.0, burst: 5.0 }),
    (PAGE, Limit { per_second: 50.0, burst: 1.0 }),
    (PAIRED, Limit { per_second: 30.0, burst: 5.0 }),
];
/// 300 a minute, to each person.
const PAIR: Limit = Limit { per_second: 5.0, burst: 10.0 };

/// The share of the limit that was used from `start` on.
fn used(times: &[Instant], limit: Limit, start: Instant) -> f64 {
    let within = times.iter().filter(|time| (start..start + SPAN).contains(*time)).count();
    within as f64 / (limit.per_second * SPAN.as_secs_f64())
}

#[test]
fn the_check_tells_a_request_too_many_from_one_held_up() {
    let start = Instant::now();
    let at = |millis: u64| start + Duration::from_millis(millis);
    let steady = |range: std::ops::Range<u64>| range.map(move |n| at(50 * n));
    let verdict = |times: &[Instant], burst: f64| {
        let limit = Limit { per_second: 20.0, burst };
        exceeded(above(times, limit), limit)
    };

    let honest: Vec<Instant> = steady(0..600).collect();
    assert!(above(&honest, Limit { per_second: 20.0, burst: 1.0 }).0.abs() < 1e-6);
    assert!(!verdict(&honest, 1.0));
    // Two that were held up arrive with the third: seen, and forgiven.
    let mut held_up = honest.clone();
    held_up[100..102].fill(honest[102]);
    assert!(above(&held_up, Limit { per_second: 20.0, burst: 1.0 }).0 > 1.9);
    assert!(!verdict(&held_up, 1.0));
    // A little too fast, all the time.
    let fast: Vec<Instant> = (0..600).map(|n| at(49 * n)).collect();
    assert!(verdict(&fast, 1.0));

    let burst: Vec<Instant> = std::iter::repeat_n(start, 59).chain(steady(0..600)).collect();
    assert!(!verdict(&burst, 60.0));
    // Once more a whole burst, after half a second away.
    let forgetful: Vec<Instant> = std::iter::repeat_n(start, 59)
        .chain(steady(0..300))
        .chain(std::iter::repeat_n(at(15_500), 60))
        .chain(steady(311..600))
        .collect();
    assert!(verdict(&forgetful, 60.0));

    assert!(!verdict(&[], 1.0));
    // Half the rate is half used.
    let slow: Vec<Instant> = (0..400).map(|n| at(100 * n)).collect();
    assert!((used(&slow, Limit { per_second: 20.0, burst: 1.0 }, start) - 0.5).abs() < 0.01);
}

async fn world() -> World {
    World::start_with(|config| {
        let rate = |Limit { per_second, burst }: Limit| {
            format!("rate = {{ per_second = {per_second}, burst = {burst} }}")
        };
        for (name, lane) in [("us", 0), ("wa", 1), ("pages", 2)] {
            let lines = &mut config.adapter(name).proxies[0].lines;
            lines.push(rate(LANES[lane].1));
        }
        let wa = config.adapter("wa");
        wa.proxies.push(Proxy {
            address: PAIRED.to_owned(),
            lines: vec![
                "phone_number_id = \"106540352242933\"".to_owned(),
                "pair_rate = { per_minute = 300, burst = 10 }".to_owned(),
                rate(LANES[3].1),
            ],
        });
        // Two tokens, so that a reload can change which one is used while both are right.
        wa.settings.insert("access_token".to_owned(), "[\"first\", \"second\"]".to_owned());
    })
    .await
}

/// Everybody in one conversation: enough recipients that none of them alone slows a lane down.
async fn crowd(client: &Client) -> String {
    let mut people: Vec<(String, &str)> = Vec::new();
    people.extend((0..6).map(|n| (format!("+1555777{n:04}"), SMS)));
    people.extend((0..8).map(|n| (format!("whatsapp:+1555778{n:04}"), WHATSAPP)));
    people.extend((0..12).map(|n| (format!("messenger:77790{n:02}"), PAGE)));
    people.extend((0..3).map(|n| (format!("whatsapp:+1555776{n:04}"), PAIRED)));
    let people: Vec<(&str, &str)> = people.iter().map(|(who, proxy)| (who.as_str(), *proxy)).collect();
    client.conversation(&people).await.sid
}

async fn post_all(client: &Client, conversation: &str) {
    let mut posting = JoinSet::new();
    for lane in 0..4 {
        let (client, conversation) = (client.clone(), conversation.to_owned());
        posting.spawn(async move {
            for n in (lane..POSTS).step_by(4) {
                client.say(&conversation, "desk", &format!("message {n}")).await.expect(201);
            }
        });
    }
    while let Some(posted) = posting.join_next().await {
        posted.unwrap();
    }
}

/// Arrivals by what `key` says, each in the order of the sink's clock.
fn by<K: Ord>(sent: &[Sent], key: impl Fn(&Sent) -> Option<K>) -> BTreeMap<K, Vec<Instant>> {
    let mut groups: BTreeMap<K, Vec<Instant>> = BTreeMap::new();
    for sent in sent {
        if let Some(key) = key(sent) {
            groups.entry(key).or_default().push(sent.at);
        }
    }
    groups.values_mut().for_each(|times| times.sort_unstable());
    groups
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn limits_hold_and_are_used_over_two_kills_and_a_reload() {
    let _turn = TURN.lock().await;
    let mut world = world().await;
    let full = Instant::now() + FULL;
    let conversation = crowd(&world.client).await;
    tokio::time::sleep_until(full.into()).await;
    post_all(&world.client, &conversation).await;

    let start = Instant::now();
    let until = |after: Duration| tokio::time::sleep_until((start + after).into());
    let mut away = Vec::new();
    until(KILLS[0]).await;
    let killed = Instant::now();
    world.crash().await;
    away.push(killed.elapsed());
    until(RELOAD).await;
    let said = world.reconfigure(|config| {
        config.adapter("wa").settings.insert("access_token".to_owned(), "[\"second\", \"first\"]".to_owned());
        config.queue.push("expire = \"1h\"".to_owned());
    });
    assert!(said.contains("in force"), "{said}");
    until(KILLS[1]).await;
    let killed = Instant::now();
    world.crash().await;
    away.push(killed.elapsed());
    until(SPAN).await;

    // Otherwise the use of the limits would say nothing.
    for lane in world.daemon.lanes().await {
        assert!(lane["depth"].as_u64().unwrap() > 3, "no work left: {lane}");
    }
    world.daemon.kill9().await;
    let sent = world.sink.sent();
    println!("away for {away:?}, {} arrivals", sent.len());

    let lanes = by(&sent, |sent| Some(sent.from().to_owned()));
    let pairs = by(&sent, |sent| (sent.from() == PAIRED).then(|| sent.to().to_owned()));
    assert_eq!((lanes.len(), pairs.len()), (LANES.len(), 3));
    let limits = LANES.iter().map(|(proxy, limit)| (*proxy, *limit, &lanes[*proxy], *proxy != PAIRED));
    let limits = limits.chain(pairs.iter().map(|(to, times)| (to.as_str(), PAIR, times, true)));
    let mut failures = Vec::new();
    for (what, limit, times, exhausted) in limits {
        let (found, used) = (above(times, limit), used(times, limit, start));
        let ((worst, share), percent, arrivals) = (found, used * 100.0, times.len());
        println!(
            "{what}: {arrivals} arrivals, fullest window {worst:+.2}, {:.2} % above the slack, used {percent:.1} %",
            share * 100.0
        );
        if exceeded(found, limit) {
            failures.push(format!("{what} is above its limit, by {worst:.2} in the worst window"));
        }
        // The pair limits keep this lane below its own.
        if exhausted && used < USE {
            failures.push(format!("{what} uses {percent:.1} % of its limit"));
        }
    }
    assert!(failures.is_empty(), "{failures:#?}");
}
