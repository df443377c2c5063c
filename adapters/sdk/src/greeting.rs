//! Before somebody is known: one `init` with a token, in time.

use std::sync::Arc;
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};
use tokio::time::{Instant, timeout, timeout_at};
use trunkline_adapter::{BoxFuture, Caller, Denied, Member, Reception};

use crate::frame::{self, Frame};
use crate::header::{self, Header, Status};
use crate::registry::{Registry, Seat};
use crate::wire::{Came, Wire};

/// How long somebody may take to say who they are.
const GREETING: Duration = Duration::from_secs(20);
/// Frames that may come before it is known.
const FRAMES: usize = 8;
/// How long a token's verification, or a session's making, may take.
const VERDICT: Duration = Duration::from_secs(20);
/// Those who are too many are told to come again after so many milliseconds, and up to twice as many.
const COME_AGAIN: u64 = 5_000;

/// Somebody who was let in.
pub(crate) struct Guest {
    pub(crate) caller: Caller,
    pub(crate) member: Arc<dyn Member>,
    pub(crate) seat: Seat,
}

/// Why somebody was not.
enum Refused {
    Denied(Denied),
    /// Come again after so many milliseconds.
    Full(u64),
}

/// Waits for the `init`; `None` when the socket came to nothing, and is dropped.
pub(crate) async fn greet(
    mut wire: Wire,
    reception: &Reception,
    registry: &Arc<Registry>,
) -> Option<(Wire, Guest)> {
    let deadline = Instant::now() + GREETING;
    let mut phase = registry.phase();
    for _ in 0..FRAMES {
        let came = tokio::select! {
            biased;
            // An error cannot be: the registry is here.
            _ = phase.wait_for(|phase| phase.draining) => return None,
            came = timeout_at(deadline, wire.read()) => came.ok()?.ok()?,
        };
        let message = match came {
            Came::Frame(message) => message,
            Came::Sign => continue,
            Came::Goodbye => return None,
        };
        let Frame { header, payload } = frame::decode(message).ok()?;
        let header = Header::read(&header, &payload)?;
        let (written, guest) = match header.method.as_ref() {
            "init" => match admit(&header, reception, registry).await {
                Ok((guest, returning)) => {
                    let token = format!("{:032x}", guest.seat.token);
                    (header::welcome(&header.id, &token, returning), Some(guest))
                }
                Err(Refused::Denied(denied)) => {
                    (header::reply(&header.id, &Status::denied(&denied), b""), None)
                }
                Err(Refused::Full(wait)) => {
                    (header::reply(&header.id, &Status::http(429), &header::backoff(wait)), None)
                }
            },
            "reply" | "telemetry.v1" => continue,
            "close" => return None,
            _ => (header::reply(&header.id, &Status::http(401), b""), None),
        };
        wire.write(written).await.ok()?;
        wire.flush().await.ok()?;
        if let Some(guest) = guest {
            return Some((wire, guest));
        }
    }
    None
}

/// Lets somebody in, and says whether they had been in before.
async fn admit(
    header: &Header<'_>,
    reception: &Reception,
    registry: &Arc<Registry>,
) -> Result<(Guest, bool), Refused> {
    let token = header.token.as_deref().unwrap_or_default();
    let caller = in_time(reception.tokens.verify(token)).await.map_err(Refused::Denied)?;
    let returning =
        header.continuation_token.as_deref().and_then(|token| u128::from_str_radix(token, 16).ok());
    let fresh = chance().map_err(Refused::Denied)?;
    let seat = registry.seat(&caller, returning, fresh, reception.crowd).map_err(|_| {
        Refused::Full(COME_AGAIN + u64::try_from(fresh % u128::from(COME_AGAIN)).unwrap_or(0))
    })?;
    let opened = in_time(reception.host.open(caller.clone(), reception.visit.clone())).await;
    let member = opened.map_err(Refused::Denied)?;
    Ok((Guest { caller, member, seat }, returning.is_some()))
}

/// What is decided, or that it is not decided in time.
pub(crate) async fn in_time<T>(verdict: BoxFuture<'_, Result<T, Denied>>) -> Result<T, Denied> {
    timeout(VERDICT, verdict).await.unwrap_or_else(|_| Err(unavailable()))
}

fn unavailable() -> Denied {
    Denied { status: 503, code: 20503, text: "Service unavailable".to_owned() }
}

/// A number that nobody can guess.
fn chance() -> Result<u128, Denied> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).map_err(|_| unavailable())?;
    Ok(u128::from_le_bytes(bytes))
}
