//! A connection whose other end has to read. The deadline of a request ends with the making of its answer; an answer that is
//! made while it leaves, such as an export, would otherwise wait for a reader who has stopped for ever.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// See the module. Costs nothing while the other end reads.
pub struct Patience<S> {
    stream: S,
    longest: Duration,
    /// Since something could not be written.
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> Patience<S> {
    /// Fails writing when nothing could be written for so long.
    pub fn new(stream: S, longest: Duration) -> Patience<S> {
        Patience { stream, longest, stuck: None }
    }

    /// The connection without it.
    pub fn into_inner(self) -> S {
        self.stream
    }

    fn judge<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let longest = self.longest;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(longest)));
        ready!(stuck.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patience<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patience<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.judge(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.judge(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.judge(context, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_stops_reading_is_waited_for_so_long_and_who_reads_slowly_is_not_cut_off() {
        let longest = Duration::from_secs(30);
        let (ours, mut theirs) = duplex(8);
        let mut ours = Patience::new(ours, longest);
        let slow = tokio::spawn(async move {
            let mut read = [0; 8];
            for _ in 0..10 {
                tokio::time::sleep(Duration::from_secs(29)).await;
                theirs.read_exact(&mut read).await.unwrap();
            }
            theirs
        });
        ours.write_all(&[1; 80]).await.unwrap();
        let theirs = slow.await.unwrap();
        ours.write_all(&[1; 8]).await.unwrap();
        let begun = Instant::now();
        let stuck = ours.write_all(&[1; 8]).await.unwrap_err();
        assert_eq!((stuck.kind(), begun.elapsed().as_secs()), (io::ErrorKind::TimedOut, 30));
        drop(theirs);
    }
}
