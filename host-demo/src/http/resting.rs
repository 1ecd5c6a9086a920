//! Futures that are looked at whenever a connection does anything, and seldom have anything to say: its timer, the end of the server. To poll one
//! takes locks, which other connections want too. So one that was polled rests until it may be ready, or somebody else waits for it.

use std::{
    pin::Pin,
    task::{Context, Poll, Waker},
};

use tokio::task::unconstrained;

/// A future that rests.
pub struct Resting<F> {
    future: Pin<Box<F>>,
    /// Who is woken when it is ready.
    waiting: Option<Waker>,
}

impl<F: Future> Resting<F> {
    /// One that nobody waits for yet.
    pub fn new(future: F) -> Resting<F> {
        Resting { future: Box::pin(future), waiting: None }
    }

    /// The future.
    pub fn get(&self) -> &F {
        &self.future
    }

    /// Changes it: whoever waits is to poll again.
    pub fn change(&mut self, change: impl FnOnce(Pin<&mut F>)) {
        change(self.future.as_mut());
        self.waiting = None;
    }

    /// As [`Future::poll`]. `may_be_ready`: whether it is worth to look. It must be so before the future wakes anybody.
    pub fn poll(&mut self, cx: &mut Context<'_>, may_be_ready: impl FnOnce(&F) -> bool) -> Poll<F::Output> {
        let is_waiting = self.waiting.as_ref().is_some_and(|waiting| waiting.will_wake(cx.waker()));
        if is_waiting && !may_be_ready(&self.future) {
            return Poll::Pending;
        }
        // Else tokio might put it off to give others a turn, and nobody would be woken when it is ready.
        let polled = Pin::new(&mut unconstrained(self.future.as_mut())).poll(cx);
        self.waiting = polled.is_pending().then(|| cx.waker().clone());
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::poll_fn,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use super::*;

    #[test]
    fn it_is_polled_for_whoever_waits_and_when_it_may_be_ready() {
        let polls = AtomicUsize::new(0);
        let mut resting = Resting::new(poll_fn(|_| {
            let before = polls.fetch_add(1, Ordering::Relaxed);
            if before < 3 { Poll::Pending } else { Poll::Ready(before) }
        }));
        let waker = |woken: fn()| Waker::from(std::sync::Arc::new(Woken(woken)));
        let (first, second) = (waker(|| {}), waker(|| {}));
        let mut poll = |waker: &Waker, may_be_ready| {
            let polled = resting.poll(&mut Context::from_waker(waker), |_| may_be_ready);
            (polled, polls.load(Ordering::Relaxed))
        };
        assert_eq!(poll(&first, false), (Poll::Pending, 1));
        assert_eq!(poll(&first, false), (Poll::Pending, 1), "it rests");
        assert_eq!(poll(&second, false), (Poll::Pending, 2), "somebody else waits");
        assert_eq!(poll(&second, true), (Poll::Pending, 3), "it may be ready");
        assert_eq!(poll(&second, false), (Poll::Pending, 3));
        resting.change(|_| ());
        assert_eq!(resting.poll(&mut Context::from_waker(&second), |_| false), Poll::Ready(3), "it was changed");
    }

    struct Woken(fn());

    impl std::task::Wake for Woken {
        fn wake(self: std::sync::Arc<Self>) {
            (self.0)();
        }
    }
}
