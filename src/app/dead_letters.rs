//! What operators ask about events that were given up.

use serde_json::{Value, json};

use crate::http::operator::DeadLetterCall;
use crate::ledger::LedgerError;
use crate::model::AccountSid;
use crate::webhooks::{DeadLetter, DeadLetters};

/// Letters shown in one list; the oldest ones.
const SHOWN: usize = 1000;

/// Answers, for every account.
pub(super) async fn answer(
    letters: &DeadLetters,
    accounts: Vec<AccountSid>,
    asked: DeadLetterCall,
) -> Result<Value, String> {
    let failed = |error: LedgerError| format!("the store does not answer: {error}");
    match asked {
        DeadLetterCall::List => {
            let mut shown = Vec::new();
            for account in &accounts {
                let found = letters.list(account, SHOWN - shown.len()).await.map_err(failed)?;
                shown.extend(found.iter().map(|(number, letter)| line(account, *number, letter)));
            }
            Ok(json!({ "dead_letters": shown, "count": letters.count() }))
        }
        DeadLetterCall::Show(number) => {
            for account in &accounts {
                if let Some(letter) = letters.get(account, number).await.map_err(failed)? {
                    return Ok(whole(account, number, &letter));
                }
            }
            Err(format!("there is no dead letter {number}"))
        }
        DeadLetterCall::Retry(number) => each(letters, &accounts, number, true).await,
        DeadLetterCall::Drop(number) => each(letters, &accounts, number, false).await,
    }
}

/// Lets go or drops one, or all that there are at this moment.
async fn each(
    letters: &DeadLetters,
    accounts: &[AccountSid],
    number: Option<u64>,
    retry: bool,
) -> Result<Value, String> {
    let failed = |error: LedgerError| format!("the store does not answer: {error}");
    let mut handled = 0;
    for account in accounts {
        // All means those that there are now: what is given up again meanwhile has another number.
        let numbers = match number {
            Some(number) => vec![number],
            None => letters.numbers(account).await.map_err(failed)?,
        };
        for number in numbers {
            let done = if retry {
                letters.retry(account, number).await
            } else {
                letters.drop(account, number).await
            };
            handled += usize::from(done.map_err(failed)?);
        }
    }
    match number {
        Some(number) if handled == 0 => Err(format!("there is no dead letter {number}")),
        _ => Ok(json!({ "handled": handled })),
    }
}

fn line(account: &AccountSid, number: u64, letter: &DeadLetter) -> Value {
    json!({
        "id": number,
        "account": account,
        "event": letter.event.event,
        "url": letter.event.url,
        "since": letter.since.rfc3339(),
        "given_up": letter.at.rfc3339(),
        "attempts": letter.attempts,
        "reason": letter.reason,
    })
}

fn whole(account: &AccountSid, number: u64, letter: &DeadLetter) -> Value {
    let mut value = line(account, number, letter);
    value["token"] = letter.event.token.as_str().into();
    value["method"] = letter.event.method.name().into();
    let pairs = letter.event.params.iter().map(|(name, value)| json!([name, value]));
    value["parameters"] = pairs.collect();
    value
}
