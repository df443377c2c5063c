#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
use std::sync::Arc;

use super::*;
use crate::announce::To;
use crate::ledger::memory::Memory;
use crate::model::HookMethod;

fn letter(number: u64) -> DeadLetter {
    let event = EventJob {
        event: "onMessageAdded".to_owned(),
        to: To::Account,
        url: "https://a.example/".to_owned(),
        method: HookMethod::Post,
        token: number.to_string(),
        params: Vec::new(),
        replay: None,
    };
    DeadLetter {
        event,
        message: None,
        subject: "CH1/A".to_owned(),
        since: Timestamp(1),
        attempts: 3,
        reason: "answered 500".to_owned(),
        at: Timestamp(2),
        rest: Map::new(),
    }
}

fn letters(memory: &Arc<Memory>, kept: u64) -> DeadLetters {
    let ledger = Ledger::new(memory.clone());
    DeadLetters { kept, ..DeadLetters::new(ledger, Wakeups::default(), Clock::at(Timestamp(5))) }
}

async fn bury(letters: &DeadLetters, account: &AccountSid, numbers: std::ops::Range<u64>) {
    for number in numbers {
        let mut batch = Batch::default();
        letters.bury(account, &letter(number), &mut batch);
        letters.ledger.commit(batch).await.unwrap();
        letters.buried(account).await;
    }
}

async fn tokens(letters: &DeadLetters, account: &AccountSid) -> Vec<String> {
    letters.list(account, 100).await.unwrap().into_iter().map(|(_, letter)| letter.event.token).collect()
}

#[tokio::test]
async fn the_newest_of_each_account_are_kept_and_counted() {
    let memory = Arc::new(Memory::new(1));
    let first = AccountSid::parse("AC00000000000000000000000000000001").unwrap();
    let other = AccountSid::parse("AC00000000000000000000000000000002").unwrap();
    let before = letters(&memory, 5);
    bury(&before, &first, 0..8).await;
    bury(&before, &other, 0..2).await;
    assert_eq!(tokens(&before, &first).await, ["3", "4", "5", "6", "7"]);
    assert_eq!((tokens(&before, &other).await.len(), before.count()), (2, 7));
    let dropped = before.list(&first, 1).await.unwrap()[0].0;
    assert!(before.drop(&first, dropped).await.unwrap() && !before.drop(&first, dropped).await.unwrap());
    assert_eq!(before.count(), 6);
    // Another life that keeps fewer brings it down with the first that is buried.
    let after = letters(&memory, 3);
    after.recount(&first).await.unwrap();
    after.recount(&other).await.unwrap();
    assert_eq!(after.count(), 6);
    bury(&after, &first, 8..9).await;
    assert_eq!((tokens(&after, &first).await, after.count()), (vec!["6".into(), "7".into(), "8".into()], 5));
}
