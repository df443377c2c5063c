//! Work that ends whether or not somebody still waits for it.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_util::future::BoxFuture;
use tokio::runtime::Handle;

/// A future that goes on in a task of its own when whoever awaited it goes away. Nearly nobody does, so nearly nobody
/// pays for a task and for being woken by one.
pub struct Lasting<T: Send + 'static>(Option<BoxFuture<'static, T>>);

impl<T: Send + 'static> Lasting<T> {
    pub fn new(work: impl Future<Output = T> + Send + 'static) -> Lasting<T> {
        Lasting(Some(Box::pin(work)))
    }
}

impl<T: Send + 'static> Future for Lasting<T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        // Taken out while it works: what panics must not go on afterwards.
        let Some(mut work) = self.0.take() else { return Poll::Pending };
        let polled = work.as_mut().poll(context);
        if polled.is_pending() {
            self.0 = Some(work);
        }
        polled
    }
}

impl<T: Send + 'static> Drop for Lasting<T> {
    fn drop(&mut self) {
        // Without a runtime the process is at its end, and nothing could go on.
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use futures_util::FutureExt;
    use std::panic::AssertUnwindSafe;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn it_ends_with_and_without_somebody_who_waits() {
        assert_eq!(Lasting::new(async { 7 }).await, 7);
        for polled in [true, false] {
            let (go, gone) = oneshot::channel::<()>();
            let (say, said) = oneshot::channel();
            let mut work = Lasting::new(async move {
                gone.await.unwrap();
                say.send("done").unwrap();
            });
            if polled {
                assert_eq!((&mut work).now_or_never(), None);
            }
            drop(work);
            go.send(()).unwrap();
            assert_eq!(said.await, Ok("done"));
        }
    }

    #[tokio::test]
    async fn what_panicked_does_not_go_on() {
        let mut work = Lasting::new(async { panic!("on purpose") });
        assert!(AssertUnwindSafe(&mut work).catch_unwind().await.is_err());
        assert!(work.0.is_none());
    }
}
