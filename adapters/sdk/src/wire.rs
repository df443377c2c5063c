//! The WebSocket: whole messages in and out, and patience with those who read slowly, but not for ever.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::time::timeout;
use tokio_websockets::{CloseCode, Limits, Message, ServerBuilder, WebSocketStream};
use trunkline_adapter::Stream;

/// The longest message of a client: a message's text and attributes are 50 KB at most, and JSON may double that.
pub(crate) const LONGEST: usize = 256 * 1024;
/// How long what was written may take to leave. Who takes nothing for so long is cut off.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// How long a client may take to answer our goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

pub(crate) struct Wire {
    socket: WebSocketStream<Box<dyn Stream>>,
    /// Something was written that may not have left.
    pub(crate) unsent: bool,
    /// Frames of ours are numbered; clients give the number back.
    frames: u64,
}

/// What came in.
#[derive(Debug)]
pub(crate) enum Came {
    Frame(Bytes),
    /// A sign of life that says nothing.
    Sign,
    /// The other side is going, and the socket with it.
    Goodbye,
}

/// The socket is of no use any more.
#[derive(Debug)]
pub(crate) struct Lost;

impl Wire {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Wire {
        let limits = Limits::default().max_payload_len(Some(LONGEST));
        let socket = ServerBuilder::new().limits(limits).serve(stream);
        Wire { socket, unsent: false, frames: 0 }
    }

    /// The id of our next frame.
    pub(crate) fn next_id(&mut self) -> String {
        self.frames += 1;
        format!("TM{}", self.frames)
    }

    /// What comes next. Dropping the future loses nothing.
    pub(crate) async fn read(&mut self) -> Result<Came, Lost> {
        let message = self.socket.next().await.ok_or(Lost)?.map_err(|error| {
            tracing::debug!(%error, "A socket broke");
            Lost
        })?;
        if message.is_close() {
            return Ok(Came::Goodbye);
        }
        // A ping's answer waits in line with everything else we write.
        self.unsent |= message.is_ping();
        let frame = message.is_binary() || message.is_text();
        Ok(if frame { Came::Frame(message.into_payload().into()) } else { Came::Sign })
    }

    /// Writes a frame; it leaves with the next [`Wire::flush`] at the latest.
    pub(crate) async fn write(&mut self, frame: Bytes) -> Result<(), Lost> {
        self.unsent = true;
        self.send(Message::binary(frame)).await
    }

    pub(crate) async fn ping(&mut self) -> Result<(), Lost> {
        self.unsent = true;
        self.send(Message::ping("")).await
    }

    async fn send(&mut self, message: Message) -> Result<(), Lost> {
        match timeout(PATIENCE, self.socket.feed(message)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Lost),
        }
    }

    /// Waits until everything written has left.
    pub(crate) async fn flush(&mut self) -> Result<(), Lost> {
        match timeout(PATIENCE, self.socket.flush()).await {
            Ok(Ok(())) => {
                self.unsent = false;
                Ok(())
            }
            _ => Err(Lost),
        }
    }

    /// Says goodbye and waits a little for the other side to do so, too: what was written last is read then.
    pub(crate) async fn close(mut self, code: CloseCode) {
        let goodbye = async {
            self.socket.send(Message::close(Some(code), "")).await.ok()?;
            while self.socket.next().await?.is_ok() {}
            Some(())
        };
        // Whatever comes of it, the socket is dropped.
        let _ = timeout(GOODBYE, goodbye).await;
    }
}
