//! The threads of one generation, on which its handlers may block. Made when needed, joined when it stops.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The most handlers of one generation that may block at the same time.
pub const MAX_THREADS: usize = 32;

/// How long a request waits for one of them to come free. Handlers that return soon are worth the wait, those that hang are not.
const PATIENCE: Duration = Duration::from_millis(250);

type Job = Box<dyn FnOnce() + Send>;

/// The threads of a generation.
pub struct Threads {
    shared: Arc<Shared>,
    seats: Arc<Semaphore>,
    joins: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    name: String,
    state: Mutex<State>,
    work: Condvar,
    /// Told when a job has ended.
    done: Condvar,
}

#[derive(Default)]
struct State {
    jobs: VecDeque<Job>,
    idle: usize,
    threads: usize,
    stopped: bool,
}

/// A thread that is free or about to be, for one job.
pub struct Seat(#[expect(dead_code, reason = "held")] OwnedSemaphorePermit);

/// All threads are busy, or the generation has been stopped.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

impl Threads {
    /// No thread yet. `name` is that of the generation.
    pub fn new(name: String) -> Threads {
        let shared = Shared { name, state: Mutex::default(), work: Condvar::new(), done: Condvar::new() };
        Threads { shared: Arc::new(shared), seats: Arc::new(Semaphore::new(MAX_THREADS)), joins: Mutex::default() }
    }

    /// The name of the generation.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Waits for a free thread, a quarter of a second at most.
    pub async fn seat(&self) -> Result<Seat, Busy> {
        match tokio::time::timeout(PATIENCE, self.seats.clone().acquire_owned()).await {
            Ok(Ok(permit)) => Ok(Seat(permit)),
            _ => Err(Busy),
        }
    }

    /// Runs `job` on an idle thread, a new one, or the one that has just given its seat up and is idle in a moment.
    pub fn run(&self, seat: Seat, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let mut state = self.shared.state.lock();
        if state.stopped {
            return Err(Busy);
        }
        if state.idle <= state.jobs.len() && state.threads < MAX_THREADS {
            self.spawn(&mut state)?;
        }
        state.jobs.push_back(Box::new(move || {
            job();
            drop(seat);
        }));
        self.shared.work.notify_one();
        Ok(())
    }

    fn spawn(&self, state: &mut State) -> Result<(), Busy> {
        let shared = self.shared.clone();
        let thread = std::thread::Builder::new().name(format!("{}-{}", shared.name, state.threads + 1));
        let join = thread.spawn(move || shared.work()).map_err(|error| {
            log::error!("{}: no thread for a request: {error}", self.shared.name);
            Busy
        })?;
        self.joins.lock().push(join);
        state.threads += 1;
        // It counts as idle until it takes its first job.
        state.idle += 1;
        Ok(())
    }

    /// Ends all threads and joins them, if they come to the end of their jobs within `patience`. Answers how many are still busy;
    /// those end after their job. A job that no thread has begun is dropped.
    pub fn stop(&self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        self.seats.close();
        let mut state = self.shared.state.lock();
        state.stopped = true;
        let left = std::mem::take(&mut state.jobs);
        self.shared.work.notify_all();
        // Without the lock: what a job owns may come back here.
        drop(state);
        drop(left);
        let mut state = self.shared.state.lock();
        while state.threads > state.idle {
            if self.shared.done.wait_until(&mut state, deadline).timed_out() {
                break;
            }
        }
        let busy = state.threads - state.idle;
        drop(state);
        if busy == 0 {
            for join in self.joins.lock().drain(..) {
                // The funnel lets no panic through: there is nothing to learn from the result.
                let _ = join.join();
            }
        }
        busy
    }
}

impl Shared {
    fn work(&self) {
        let mut state = self.state.lock();
        loop {
            if let Some(job) = state.jobs.pop_front() {
                state.idle -= 1;
                drop(state);
                job();
                state = self.state.lock();
                state.idle += 1;
                self.done.notify_all();
            } else if state.stopped {
                return;
            } else {
                self.work.wait(&mut state);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn jobs_run_side_by_side_up_to_the_bound() {
        let threads = Threads::new("test".into());
        let (started, starts) = mpsc::channel();
        let gate = Arc::new((Mutex::new(false), Condvar::new()));
        for _ in 0..MAX_THREADS {
            let (started, gate) = (started.clone(), gate.clone());
            let job = move || {
                started.send(()).unwrap();
                let mut open = gate.0.lock();
                while !*open {
                    gate.1.wait(&mut open);
                }
            };
            assert_eq!(threads.run(threads.seat().await.unwrap(), job), Ok(()));
        }
        for _ in 0..MAX_THREADS {
            starts.recv().unwrap();
        }
        assert_eq!(threads.seat().await.err(), Some(Busy));
        *gate.0.lock() = true;
        gate.1.notify_all();
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
    }

    #[tokio::test]
    async fn nothing_runs_after_the_stop() {
        let threads = Threads::new("test".into());
        let seat = threads.seat().await.unwrap();
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
        assert_eq!(threads.run(seat, || unreachable!()), Err(Busy));
        assert_eq!(threads.seat().await.err(), Some(Busy));
    }

    /// As many clients as threads, each asking again as soon as it is answered, and answered before its job has returned.
    #[tokio::test]
    async fn nobody_is_turned_away_while_a_thread_is_about_to_be_free() {
        let threads = Threads::new("test".into());
        let (answer, mut answers) = tokio::sync::mpsc::unbounded_channel();
        for asked in 0..2_000 {
            if asked >= MAX_THREADS {
                answers.recv().await.unwrap();
            }
            let answer = answer.clone();
            let job = move || {
                answer.send(()).unwrap();
                std::thread::yield_now();
            };
            assert_eq!(threads.run(threads.seat().await.expect("a seat"), job), Ok(()), "request {asked}");
        }
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
    }

    #[tokio::test]
    async fn a_job_that_does_not_end_is_left_behind() {
        let threads = Threads::new("test".into());
        let (go, wait) = mpsc::channel::<()>();
        threads.run(threads.seat().await.unwrap(), move || assert!(wait.recv().is_err())).unwrap();
        while !threads.shared.state.lock().jobs.is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(threads.stop(Duration::from_millis(1)), 1);
        drop(go);
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
    }

    /// Comes back to the threads when it is dropped.
    struct ComesBack(Arc<Threads>, Option<Seat>);

    impl Drop for ComesBack {
        fn drop(&mut self) {
            assert_eq!(self.0.run(self.1.take().expect("dropped once"), || ()), Err(Busy));
        }
    }

    #[tokio::test]
    async fn a_job_that_was_not_begun_is_dropped_without_the_lock() {
        let threads = Arc::new(Threads::new("test".into()));
        let (done, ended) = mpsc::channel();
        let (left, stopped) = (ComesBack(threads.clone(), threads.seat().await.ok()), threads.clone());
        threads.shared.state.lock().jobs.push_back(Box::new(move || drop(left)));
        std::thread::spawn(move || done.send(stopped.stop(Duration::from_secs(30))).unwrap());
        assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(0), "it waits for its own lock");
    }

    #[tokio::test]
    async fn an_idle_thread_is_used_again() {
        let threads = Threads::new("test".into());
        let (done, dones) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            let seat = threads.seat().await.unwrap();
            threads.run(seat, move || done.send(std::thread::current().id()).unwrap()).unwrap();
            dones.recv().unwrap();
            while threads.shared.state.lock().idle == 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(threads.shared.state.lock().threads, 1);
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
    }
}
