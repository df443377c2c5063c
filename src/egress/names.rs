//! What names stand for.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

/// Knows the addresses of names.
pub trait Names: Send + Sync {
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>>;
}

/// Asks whatever the system asks.
pub(super) struct SystemNames;

impl Names for SystemNames {
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        async move { Ok(tokio::net::lookup_host((name, 0)).await?.map(|found| found.ip()).collect()) }.boxed()
    }
}

/// Names of which somebody wrote down what they stand for, one time after the other; the last answer stays. All others are
/// the system's.
#[derive(Default)]
pub struct ScriptedNames(Mutex<HashMap<String, VecDeque<Vec<IpAddr>>>>);

impl ScriptedNames {
    /// The next answer for a name.
    pub fn answer(&self, name: &str, addresses: Vec<IpAddr>) {
        let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        script.entry(name.to_owned()).or_default().push_back(addresses);
    }

    /// Reads `name=address,address|address …`: names apart by spaces, answers by bars. `None` where it is not that.
    pub fn read(text: &str) -> Option<ScriptedNames> {
        let names = ScriptedNames::default();
        for entry in text.split_whitespace() {
            let (name, answers) = entry.split_once('=')?;
            for answer in answers.split('|') {
                let addresses: Result<Vec<IpAddr>, _> = answer.split(',').map(str::parse).collect();
                names.answer(name, addresses.ok()?);
            }
        }
        Some(names)
    }

    fn next(&self, name: &str) -> Option<Vec<IpAddr>> {
        let mut script = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let answers = script.get_mut(name)?;
        if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() }
    }
}

impl Names for ScriptedNames {
    fn addresses<'a>(&'a self, name: &'a str) -> BoxFuture<'a, io::Result<Vec<IpAddr>>> {
        match self.next(name) {
            Some(addresses) => async move { Ok(addresses) }.boxed(),
            None => SystemNames.addresses(name),
        }
    }
}
