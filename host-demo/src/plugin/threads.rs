//! The threads of one generation, on which its handlers may block. Made when needed, joined when it stops.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread::JoinHandle,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// The most handlers of one generation that may block at the same time.
pub const MAX_THREADS: usize = 32;

type Job = Box<dyn FnOnce() + Send>;

/// The threads of a generation.
pub struct Threads {
    shared: Arc<Shared>,
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

/// All threads are busy, or the generation has been stopped.
#[derive(Debug, PartialEq, Eq)]
pub struct Busy;

impl Threads {
    /// No thread yet. `name` is that of the generation.
    pub fn new(name: String) -> Threads {
        let shared = Shared { name, state: Mutex::default(), work: Condvar::new(), done: Condvar::new() };
        Threads { shared: Arc::new(shared), joins: Mutex::default() }
    }

    /// The name of the generation.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// Runs `job` at once on an idle thread or a new one. Jobs do not wait for each other: with every thread busy the answer is
    /// [`Busy`].
    pub fn run(&self, job: impl FnOnce() + Send + 'static) -> Result<(), Busy> {
        let mut state = self.shared.state.lock();
        if state.stopped {
            return Err(Busy);
        }
        if state.idle == state.jobs.len() {
            if state.threads == MAX_THREADS {
                return Err(Busy);
            }
            self.spawn(&mut state)?;
        }
        state.jobs.push_back(Box::new(job));
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

    #[test]
    fn jobs_run_side_by_side_up_to_the_bound() {
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
            assert_eq!(threads.run(job), Ok(()));
        }
        for _ in 0..MAX_THREADS {
            starts.recv().unwrap();
        }
        assert_eq!(threads.run(|| ()), Err(Busy));
        *gate.0.lock() = true;
        gate.1.notify_all();
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
        assert_eq!(threads.run(|| ()), Err(Busy));
    }

    #[test]
    fn a_job_that_does_not_end_is_left_behind() {
        let threads = Threads::new("test".into());
        let (go, wait) = mpsc::channel::<()>();
        threads.run(move || assert!(wait.recv().is_err())).unwrap();
        while !threads.shared.state.lock().jobs.is_empty() {
            std::thread::yield_now();
        }
        assert_eq!(threads.stop(Duration::from_millis(1)), 1);
        drop(go);
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
    }

    /// Comes back to the threads when it is dropped.
    struct ComesBack(Arc<Threads>);

    impl Drop for ComesBack {
        fn drop(&mut self) {
            assert_eq!(self.0.run(|| ()), Err(Busy));
        }
    }

    #[test]
    fn a_job_that_was_not_begun_is_dropped_without_the_lock() {
        let threads = Arc::new(Threads::new("test".into()));
        let (done, ended) = mpsc::channel();
        let (left, stopped) = (ComesBack(threads.clone()), threads.clone());
        threads.shared.state.lock().jobs.push_back(Box::new(move || drop(left)));
        std::thread::spawn(move || done.send(stopped.stop(Duration::from_secs(30))).unwrap());
        assert_eq!(ended.recv_timeout(Duration::from_secs(30)), Ok(0), "it waits for its own lock");
    }

    #[test]
    fn an_idle_thread_is_used_again() {
        let threads = Threads::new("test".into());
        let (done, dones) = mpsc::channel();
        for _ in 0..100 {
            let done = done.clone();
            threads.run(move || done.send(std::thread::current().id()).unwrap()).unwrap();
            dones.recv().unwrap();
            while threads.shared.state.lock().idle == 0 {
                std::thread::yield_now();
            }
        }
        assert_eq!(threads.shared.state.lock().threads, 1);
        assert_eq!(threads.stop(Duration::from_secs(30)), 0);
    }
}
