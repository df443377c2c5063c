//! Large stores, quickly: the daemon's own decisions committed to its own ledger, without a daemon in front.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use trunkline::ledger::Ledger;
use trunkline::ledger::engine::Durability;
use trunkline::ledger::store::{Store, StoreSettings};
use trunkline::model::{AccountSid, Conversation, Mint, ServiceSid};
use trunkline::relay::command::{NewConversation, NewParticipant, Who};
use trunkline::relay::decide::messages::Draft;
use trunkline::relay::decide::{self, Context, Decision};
use trunkline_adapter::{Address, Timestamp};

use super::Failure;
use super::rest::ACCOUNT;
use super::rest::Binding;

/// Decisions that are committed side by side: they share the commits' groups.
const SIDE_BY_SIDE: usize = 256;
/// Messages in one decision: three rows each, and a commit takes 256.
const AT_ONCE: usize = 80;

/// What a store is filled with: so many conversations, each of some people, each with messages queued to them.
#[derive(Clone)]
pub struct Plan {
    pub conversations: usize,
    pub people: Arc<dyn Fn(usize) -> Vec<Binding> + Send + Sync>,
    pub messages: usize,
}

struct Writer {
    ledger: Ledger,
    account: AccountSid,
    service: ServiceSid,
    mint: Mint,
    now: Timestamp,
}

/// Fills the store of a daemon that is not running.
pub fn fill(store: &Path, service: &str, plan: &Plan) -> Result<(), Failure> {
    let now = u64::try_from(std::time::UNIX_EPOCH.elapsed()?.as_micros())?;
    let settings = StoreSettings {
        path: store.to_owned(),
        durability: Durability::Process,
        keep_free: 0,
        cache_bytes: 256 << 20,
    };
    let store = Store::open(settings, now, Vec::new())?;
    let writer = Arc::new(Writer {
        ledger: Ledger::new(store.engine()),
        account: AccountSid::parse(ACCOUNT).ok_or("no account")?,
        service: ServiceSid::parse(service).ok_or("no service")?,
        mint: Mint::system(),
        now: Timestamp(i64::try_from(now)?),
    });
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let next = Arc::new(AtomicUsize::new(0));
    runtime.block_on(async {
        let mut tasks = tokio::task::JoinSet::new();
        for _ in 0..SIDE_BY_SIDE.min(plan.conversations) {
            let (writer, next, plan) = (Arc::clone(&writer), Arc::clone(&next), plan.clone());
            tasks.spawn(async move {
                loop {
                    let at = next.fetch_add(1, Relaxed);
                    if at >= plan.conversations {
                        return Ok::<_, Failure>(());
                    }
                    writer.conversation((plan.people)(at), plan.messages).await?;
                }
            });
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    })
}

impl Writer {
    fn context(&self) -> Context<'_> {
        Context {
            account: &self.account,
            now: self.now,
            mint: &self.mint,
            births: &self.ledger,
            again: false,
            most: trunkline::relay::decide::Roster::default(),
        }
    }

    async fn commit(&self, mut decision: Decision) -> Result<Conversation, Failure> {
        let committed = self.ledger.commit(std::mem::take(&mut decision.batch)).await?;
        Ok(decision.settle(committed))
    }

    async fn conversation(&self, people: Vec<Binding>, messages: usize) -> Result<(), Failure> {
        let new = NewConversation { friendly_name: Some("bench".to_owned()), ..NewConversation::default() };
        let mut conversation = self.commit(decide::create(&self.context(), &self.service, new)).await?;
        for (address, proxy) in people {
            let who = Who::Bound { address: Address::parse(&address)?, proxy: Address::parse(&proxy)? };
            let new = NewParticipant { who, role_sid: None, attributes: None, created: None, updated: None };
            let (decision, _) = decide::roster::join(&self.context(), &conversation, new, None)?;
            conversation = self.commit(decision).await?;
        }
        let mut left = messages;
        while left > 0 {
            let count = left.min(AT_ONCE);
            let drafts = (0..count).map(|_| self.draft()).collect();
            let (decision, _) = decide::messages::append(&self.context(), &conversation, drafts)?;
            conversation = self.commit(decision).await?;
            left -= count;
        }
        Ok(())
    }

    fn draft(&self) -> Draft {
        Draft {
            author: "bench".to_owned(),
            participant: None,
            has_it: None,
            body: Some("A message to a provider that is not there".to_owned()),
            parts: Vec::new(),
            attributes: None,
            created: None,
            updated: None,
            source: None,
            subject: None,
            reply_to: None,
            template: None,
            media: Vec::new(),
        }
    }
}
