//! A plugin's code that may never return, called on a thread of its own: if it hangs, that thread is lost, no other. And
//! words for those who wait meanwhile.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokio::sync::oneshot;

/// Why there is no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Overdue {
    /// It did not return in time. It may still do so later.
    Limit,
    /// The thread could not be made, or panicked.
    Failed(String),
}

/// Runs `work` and waits for it, `limit` at most. A result that comes later is given to `late`.
///
/// # Errors
/// There is none in time.
pub async fn within<T: Send + 'static>(
    name: &str,
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
    late: impl FnOnce(T) + Send + 'static,
) -> Result<T, Overdue> {
    let (answer, result) = oneshot::channel();
    let run = move || {
        if let Err(result) = answer.send(work()) {
            late(result);
        }
    };
    let spawned = thread::Builder::new().name(name.into()).spawn(run);
    spawned.map_err(|cause| Overdue::Failed(format!("no thread to be had: {cause}")))?;
    match tokio::time::timeout(limit, result).await {
        Ok(Ok(result)) => Ok(result),
        Ok(Err(_)) => Err(Overdue::Failed("a thread of this server panicked".into())),
        Err(_) => Err(Overdue::Limit),
    }
}

/// Waits for `work`, and calls `tell` with the time gone by, in seconds, each time another `period` is over.
pub async fn telling<T>(period: Duration, tell: impl Fn(u64), work: impl Future<Output = T>) -> T {
    let started = Instant::now();
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(period, &mut work).await {
            Ok(result) => return result,
            Err(_) => tell(started.elapsed().as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::mpsc::channel};

    use super::*;

    #[tokio::test]
    async fn a_result_in_time_comes_through() {
        assert_eq!(within("test", Duration::from_secs(30), || 7, |_| unreachable!()).await, Ok(7));
    }

    #[tokio::test]
    async fn a_late_result_is_handed_over() {
        let (go, wait) = channel::<()>();
        let (late, handed_over) = channel();
        let work = move || wait.recv().map(|()| 7);
        let result = within("test", Duration::from_millis(1), work, move |result| late.send(result).unwrap()).await;
        assert_eq!(result, Err(Overdue::Limit));
        go.send(()).unwrap();
        assert_eq!(handed_over.recv(), Ok(Ok(7)));
    }

    #[tokio::test]
    async fn a_long_wait_is_told_of_until_it_ends() {
        let (end, ended) = oneshot::channel();
        let (end, tells) = (Cell::new(Some(end)), Cell::new(0));
        let tell = |_| {
            tells.set(tells.get() + 1);
            if tells.get() == 3 {
                end.take().expect("told three times once").send(7).unwrap();
            }
        };
        assert_eq!(telling(Duration::from_millis(1), tell, ended).await, Ok(7));
        assert!(tells.get() >= 3);
        let silent = telling(Duration::from_secs(30), |_| unreachable!(), async { 7 });
        assert_eq!(silent.await, 7);
    }

    #[tokio::test]
    async fn a_panic_is_no_result() {
        let result: Result<(), _> = within("test", Duration::from_secs(30), || panic!("on purpose"), |()| {}).await;
        assert!(matches!(result, Err(Overdue::Failed(_))));
    }
}
