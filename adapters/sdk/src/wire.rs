//! The WebSocket: whole messages in and out, and patience with those who read slowly, but not for ever.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::timeout;
use trunkline_adapter::Stream;

use crate::websocket::{Broken, Code, Incoming, WebSocket};

/// The longest message of a client: a message's text and attributes are 50 KB at most, and JSON may double that.
pub(crate) const LONGEST: usize = 256 * 1024;
/// How long what was written may take to leave. Who takes nothing for so long is cut off.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Bytes that may wait to leave while there is more to be written.
const ENOUGH: usize = 8 * 1024;
/// How long a client may take to answer our goodbye.
const GOODBYE: Duration = Duration::from_secs(5);

pub(crate) struct Wire {
    socket: WebSocket<Box<dyn Stream>>,
    /// Something was written that may not have left.
    pub(crate) unsent: bool,
    /// The last thing to leave is our goodbye.
    farewell: bool,
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
        Wire { socket: WebSocket::new(stream, LONGEST), unsent: false, farewell: false, frames: 0 }
    }

    /// The id of our next frame.
    pub(crate) fn next_id(&mut self) -> String {
        self.frames += 1;
        format!("TM{}", self.frames)
    }

    /// What comes next. Dropping the future loses nothing.
    pub(crate) async fn read(&mut self) -> Result<Came, Lost> {
        match poll_fn(|context| self.socket.poll_read(context)).await {
            Ok(Incoming::Message(message)) => Ok(Came::Frame(message)),
            Ok(Incoming::Sign) => {
                // A ping's answer waits in line with everything else we write.
                self.unsent = true;
                Ok(Came::Sign)
            }
            Ok(Incoming::Goodbye) => {
                self.farewell = true;
                Ok(Came::Goodbye)
            }
            Err(Broken::Closed(code)) => {
                tracing::debug!(?code, "What came on a socket is against the protocol");
                self.socket.close(code);
                self.farewell = true;
                Err(Lost)
            }
            Err(Broken::Lost(error)) => {
                tracing::debug!(%error, "A socket broke");
                Err(Lost)
            }
        }
    }

    /// Writes a frame; it leaves with the next [`Wire::flush`] at the latest.
    pub(crate) async fn write(&mut self, frame: Bytes) -> Result<(), Lost> {
        if self.socket.waiting() >= ENOUGH {
            self.flush().await?;
        }
        self.unsent = true;
        self.socket.write(frame);
        Ok(())
    }

    pub(crate) fn ping(&mut self) {
        self.unsent = true;
        self.socket.ping();
    }

    /// Waits until everything written has left.
    pub(crate) async fn flush(&mut self) -> Result<(), Lost> {
        match timeout(PATIENCE, poll_fn(|context| self.socket.poll_flush(context))).await {
            Ok(Ok(())) => {
                self.unsent = false;
                Ok(())
            }
            _ => Err(Lost),
        }
    }

    /// Ends a socket that is of no use any more, with what is left to say.
    pub(crate) async fn leave(mut self) {
        if self.farewell {
            // Whatever comes of it, the socket is dropped.
            let _ = timeout(GOODBYE, poll_fn(|context| self.socket.poll_flush(context))).await;
        }
    }

    /// Says goodbye and waits a little for the other side to do so, too: what was written last is read then.
    pub(crate) async fn close(mut self, code: Code) {
        self.socket.close(code);
        let goodbye = async {
            poll_fn(|context| self.socket.poll_flush(context)).await.ok()?;
            while poll_fn(|context| self.socket.poll_read(context)).await.ok()? != Incoming::Goodbye {}
            Some(())
        };
        // Whatever comes of it, the socket is dropped.
        let _ = timeout(GOODBYE, goodbye).await;
    }
}
