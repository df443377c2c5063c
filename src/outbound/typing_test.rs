//! Typing is shown when nothing could be sent, by a permit that is not needed, and seldom.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use trunkline_adapter::{Typing, TypingDisplay, TypingIndicator};

use super::house_test::*;

const LASTS: Duration = Duration::from_secs(24);

/// A provider that shows typing, and answers as told.
struct Shower {
    sends: Arc<Scripted>,
    capabilities: Capabilities,
    shown: Mutex<Vec<(Duration, String)>>,
    answer: Mutex<Result<(), Outcome>>,
}

impl Adapter for Shower {
    fn capabilities(&self, _: &Address) -> Option<&Capabilities> {
        Some(&self.capabilities)
    }

    fn send<'a>(&'a self, outbound: &'a Outbound) -> BoxFuture<'a, Outcome> {
        self.sends.send(outbound)
    }

    fn typing(&self) -> Option<&dyn TypingDisplay> {
        Some(self)
    }
}

impl TypingDisplay for Shower {
    fn show<'a>(&'a self, indicator: &'a TypingIndicator) -> BoxFuture<'a, Result<(), Outcome>> {
        let at = self.sends.clock.elapsed();
        self.shown.lock().unwrap().push((at, format!("{} {}", indicator.to, indicator.answers)));
        Box::pin(std::future::ready(self.answer.lock().unwrap().clone()))
    }
}

impl Shower {
    fn shown(&self) -> Vec<String> {
        self.shown.lock().unwrap().iter().map(|(_, what)| what.clone()).collect()
    }
}

fn indicator(person: usize) -> TypingIndicator {
    let from = Address::parse(PROXY).unwrap();
    TypingIndicator { from, to: Address::parse(&number(person)).unwrap(), answers: format!("in-{person}") }
}

/// A house whose line may send so many at once, and shows typing.
async fn house(burst: u32) -> (House, Arc<Shower>, TypingIndicators) {
    let mut house = House::new(|_, _| unreachable!()).await;
    let sends = house.script(|_, number| (MILLI, accepted(number)));
    let capabilities = Capabilities { typing: Some(Typing { lasts: LASTS }), ..capabilities() };
    let (shown, answer) = (Mutex::default(), Mutex::new(Ok(())));
    let shower = Arc::new(Shower { sends, capabilities, shown, answer });
    house.plan.adapter = Arc::clone(&shower) as Arc<dyn Adapter>;
    house.plan.rate = Rate { period: SECOND, burst };
    house.start().await;
    // The burst is spent at a start.
    house.pass(SECOND * 60).await;
    let indicators = house.lanes().typing_indicators();
    (house, shower, indicators)
}

#[tokio::test(start_paused = true)]
async fn a_person_is_shown_it_once_in_a_while_and_others_beside_them() {
    let (house, shower, indicators) = house(10).await;
    let (proxy, to) = (&house.plan.proxy, indicator(1).to);
    assert!(indicators.wanted(proxy, &to));
    indicators.show(indicator(1));
    assert!(!indicators.wanted(proxy, &to), "shown just now");
    assert!(indicators.wanted(proxy, &indicator(2).to), "others are not");
    indicators.show(indicator(2));
    house.pass(SECOND).await;
    assert_eq!(shower.shown(), [format!("{} in-1", number(1)), format!("{} in-2", number(2))]);
    house.pass(LASTS / 3).await;
    assert!(indicators.wanted(proxy, &to), "it still shows there, and is to go on");
    let elsewhere = Address::parse("+15550009999").unwrap();
    assert!(!indicators.wanted(&elsewhere, &to), "no line of ours");
}

#[tokio::test(start_paused = true)]
async fn the_last_permit_is_the_messages() {
    let (mut house, shower, indicators) = house(3).await;
    for person in 1..=4 {
        indicators.show(indicator(person));
    }
    house.pass(MILLI).await;
    assert_eq!(shower.shown().len(), 2, "of three permits");
    house.post(&number(1), "hello").await;
    house.pass(MILLI * 10).await;
    assert_eq!(shower.sends.texts_to(&number(1)), ["hello"], "the third, at once");
    house.pass(SECOND * 60).await;
    assert_eq!(shower.shown().len(), 2, "what could not be shown is not kept");
}

#[tokio::test(start_paused = true)]
async fn a_line_of_one_shows_nothing_and_neither_does_one_with_something_to_send() {
    let (house, shower, indicators) = house(1).await;
    indicators.show(indicator(1));
    house.pass(SECOND * 5).await;
    assert!(shower.shown().is_empty());

    let (mut house, shower, indicators) = self::house(2).await;
    for text in ["one", "two", "three", "four"] {
        house.post(&number(1), text).await;
    }
    house.post(&number(2), "one").await;
    house.post(&number(3), "one").await;
    house.pass(MILLI * 10).await;
    indicators.show(indicator(4));
    house.pass(SECOND * 60).await;
    assert_eq!((shower.shown().len(), shower.sends.count()), (0, 6));
}

#[tokio::test(start_paused = true)]
async fn whoever_opted_out_or_is_held_is_shown_nothing() {
    let (house, shower, indicators) = house(10).await;
    house.around.opt_outs.add(&house.plan.proxy, &indicator(1).to);
    indicators.show(indicator(1));
    house.pass(SECOND).await;
    assert!(shower.shown().is_empty());
    // A line that is gone.
    house.lanes().apply(Vec::new(), house.policies).await.unwrap();
    assert!(!indicators.wanted(&house.plan.proxy, &indicator(2).to));
    indicators.show(indicator(2));
    house.pass(SECOND).await;
    assert!(shower.shown().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_wants_us_to_slow_down_is_left_alone_and_messages_go_on() {
    let (mut house, shower, indicators) = house(10).await;
    let slower = Outcome::Throttled { after: None, scope: Scope::Lane, cause: Cause::new("slow down") };
    *shower.answer.lock().unwrap() = Err(slower);
    indicators.show(indicator(1));
    house.pass(SECOND).await;
    *shower.answer.lock().unwrap() = Ok(());
    indicators.show(indicator(2));
    house.post(&number(2), "hello").await;
    house.pass(SECOND).await;
    assert_eq!((shower.shown().len(), shower.sends.count()), (1, 1));
    house.pass(SECOND * 60).await;
    indicators.show(indicator(3));
    house.pass(SECOND).await;
    assert_eq!(shower.shown().len(), 2);
}
