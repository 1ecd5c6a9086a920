//! The one thread that writes, with group commit.
//!
//! It takes every job that waits, runs each in a savepoint of its own, commits them together and only then answers: a
//! job that fails undoes itself and no other, and a hundred callers share one `fsync`. After the database failed nothing
//! of the group is acknowledged, the connection is opened anew and what is held in memory is read again, because a
//! transaction whose commit failed may or may not be on the disk.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use rusqlite::Connection;
use tokio::sync::oneshot;

use super::{StoreError, memory::Memory, schema, status};

/// The most jobs that share a commit, so that the first of them does not wait for an endless queue.
const GROUP: usize = 1024;

/// How long until the log is emptied that a reader, a backup for instance, kept from it.
const LOG_DELAY: Duration = Duration::from_secs(2);
/// How long a last status may wait for company. Half of the second that may be lost, the rest is for a slow disk.
const STATUS_DELAY: Duration = Duration::from_millis(500);

/// How long the last statuses wait after they could not be written.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The calling end of the writer thread.
pub(super) struct Writer {
    messages: Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

enum Message {
    Job(Box<dyn Job>),
    StatusWaiting,
    EmptyLog(oneshot::Sender<()>),
    Close,
}

/// A change on its way: run inside the transaction, finished after it.
trait Job: Send {
    /// Runs the change. If it fails, its savepoint must be undone; the error is kept for `finish`, too.
    fn run(&mut self, db: &Connection) -> Result<(), StoreError>;
    /// Publishes and answers, knowing how the commit went.
    fn finish(self: Box<Self>, memory: &Memory, commit: Result<(), StoreError>);
}

struct Change<T, W, P> {
    work: Option<W>,
    publish: P,
    outcome: Option<Result<T, StoreError>>,
    answer: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W, P> Job for Change<T, W, P>
where
    T: Send,
    W: FnOnce(&Connection) -> Result<T, StoreError> + Send,
    P: FnOnce(&Memory, &T) + Send,
{
    fn run(&mut self, db: &Connection) -> Result<(), StoreError> {
        let Some(work) = self.work.take() else { return Ok(()) };
        let outcome = work(db);
        let verdict = outcome.as_ref().map(drop).map_err(StoreError::clone);
        self.outcome = Some(outcome);
        verdict
    }

    fn finish(self: Box<Self>, memory: &Memory, commit: Result<(), StoreError>) {
        let outcome = match (commit, self.outcome) {
            (Ok(()), Some(Ok(value))) => {
                (self.publish)(memory, &value);
                Ok(value)
            }
            (_, Some(Err(cause))) | (Err(cause), _) => Err(cause),
            (Ok(()), None) => Err(StoreError::Closed),
        };
        // A caller that no longer listens was answered by its own end.
        let _ = self.answer.send(outcome);
    }
}

impl Writer {
    /// Starts the thread on an open connection.
    pub(super) fn start(path: PathBuf, db: Connection, memory: Arc<Memory>) -> std::io::Result<Writer> {
        let (messages, inbox) = mpsc::channel();
        let writing = Writing {
            path,
            db: Some(db),
            memory,
            inbox,
            status_due: None,
            is_unsynced: false,
            to_empty_log: Vec::new(),
            log_due: None,
            closing: false,
        };
        let thread = thread::Builder::new().name("store-writer".into()).spawn(move || writing.run())?;
        Ok(Writer { messages, thread: Mutex::new(Some(thread)) })
    }

    /// Makes a change: `work` inside the transaction, then, once it is durable, `publish` on what is held in memory.
    /// Dropping the future does not take the change back.
    pub(super) async fn change<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
        publish: impl FnOnce(&Memory, &T) + Send + 'static,
    ) -> Result<T, StoreError> {
        let (answer, outcome) = oneshot::channel();
        let job = Change { work: Some(work), publish, outcome: None, answer };
        self.messages.send(Message::Job(Box::new(job))).map_err(|_| StoreError::Closed)?;
        outcome.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Says that a last status waits to be written.
    pub(super) fn status_waiting(&self) {
        // A closed writer has written what it could; the status of a host that has ended is nobody's.
        let _ = self.messages.send(Message::StatusWaiting);
    }

    /// Empties the log into the database, so far as no reader is in the way. Whatever is in it is on the disk anyway: to
    /// fail is no error.
    pub(super) async fn empty_log(&self) {
        let (done, emptied) = oneshot::channel();
        if self.messages.send(Message::EmptyLog(done)).is_ok() {
            // Not answered by a writer that closes, which empties it too.
            let _ = emptied.await;
        }
    }

    /// Writes what waits, empties the log into the database and ends the thread. Blocks until that is done.
    pub(super) fn close(&self) {
        let _ = self.messages.send(Message::Close);
        let thread = self.thread.lock().take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            log::error!("state: the writer thread ended badly");
        }
    }
}

/// The state of the thread.
struct Writing {
    path: PathBuf,
    /// `None` after a failure, until it could be opened again.
    db: Option<Connection>,
    memory: Arc<Memory>,
    inbox: Receiver<Message>,
    /// When the waiting last statuses must be written, if any wait.
    status_due: Option<Instant>,
    /// Whether a write failed, so that what the system holds of the log may not be what is on the disk.
    is_unsynced: bool,
    /// Who waits for the log to be emptied.
    to_empty_log: Vec<oneshot::Sender<()>>,
    /// When it is tried again, if a reader was in the way.
    log_due: Option<Instant>,
    closing: bool,
}

impl Writing {
    fn run(mut self) {
        while !self.closing {
            let mut jobs = self.gather();
            let commit = self.commit(&mut jobs);
            for job in jobs {
                job.finish(&self.memory, commit.clone());
            }
            self.empty_log();
        }
        self.close();
    }

    fn empty_log(&mut self) {
        let is_due = self.log_due.is_some_and(|due| due <= Instant::now());
        if self.to_empty_log.is_empty() && !is_due {
            return;
        }
        match self.db.as_ref().map(schema::try_to_empty_log) {
            Some(Ok(true)) => self.log_due = None,
            outcome => {
                if self.log_due.is_none() {
                    log::warn!("state: {}: its log could not be emptied yet: {outcome:?}", self.path.display());
                }
                self.log_due = Some(Instant::now() + LOG_DELAY);
            }
        }
        for waiting in self.to_empty_log.drain(..) {
            let _ = waiting.send(());
        }
    }

    /// Waits for something to do, then takes all of it.
    fn gather(&mut self) -> Vec<Box<dyn Job>> {
        let mut jobs = Vec::new();
        match self.next() {
            Ok(message) => self.take(message, &mut jobs),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => self.closing = true,
        }
        while !jobs.is_empty() && jobs.len() < GROUP {
            let Ok(message) = self.inbox.try_recv() else { break };
            self.take(message, &mut jobs);
        }
        jobs
    }

    fn next(&self) -> Result<Message, RecvTimeoutError> {
        match self.status_due.into_iter().chain(self.log_due).min() {
            Some(due) => self.inbox.recv_timeout(due.saturating_duration_since(Instant::now())),
            None => self.inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn take(&mut self, message: Message, jobs: &mut Vec<Box<dyn Job>>) {
        match message {
            Message::Job(job) => jobs.push(job),
            Message::StatusWaiting => {
                self.status_due.get_or_insert_with(|| Instant::now() + STATUS_DELAY);
            }
            Message::EmptyLog(done) => self.to_empty_log.push(done),
            Message::Close => self.closing = true,
        }
    }

    /// Commits the jobs and, when they are due or company is there anyway, the last statuses.
    fn commit(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
        let statuses_due = self.closing || self.status_due.is_some_and(|due| due <= Instant::now());
        if jobs.is_empty() && !statuses_due {
            return Ok(());
        }
        self.status_due = None;
        let statuses = self.memory.goodbyes.take();
        let outcome = self.connected().and_then(|db| transaction(db, &statuses, jobs));
        *self.memory.trouble.lock() = outcome.as_ref().err().map(ToString::to_string);
        if let Err(cause) = &outcome {
            log::error!("{cause}");
            self.db = None;
            self.is_unsynced |= cause.is_of_writing();
            if self.memory.goodbyes.put_back() {
                self.status_due = Some(Instant::now() + RETRY_DELAY);
            }
        } else {
            self.memory.goodbyes.written();
        }
        outcome
    }

    fn connected(&mut self) -> Result<&Connection, StoreError> {
        if self.db.is_none() {
            let db = schema::writing(&self.path)?;
            // A disk that failed to write something once does not try it again, and says that all is well: what is committed
            // must not stand behind that in the log.
            if self.is_unsynced && !schema::empty_log(&db)? {
                return Err(StoreError::LogInUse(self.path.clone()));
            }
            self.is_unsynced = false;
            self.memory.load(&db)?;
            log::warn!("state: {}: opened again after a failure", self.path.display());
            self.db = Some(db);
        }
        self.db.as_ref().ok_or(StoreError::Closed)
    }

    fn close(self) {
        let Some(db) = self.db else { return };
        if let Err(cause) = schema::close(&self.path, db) {
            log::error!(
                "state: {}: not ended cleanly, its log is used at the next start: {cause}",
                self.path.display()
            );
        }
    }
}

fn transaction(db: &Connection, statuses: &status::Batch, jobs: &mut [Box<dyn Job>]) -> Result<(), StoreError> {
    db.execute_batch("BEGIN IMMEDIATE")?;
    let outcome = status::write(db, statuses)
        .and_then(|()| jobs.iter_mut().try_for_each(|job| in_savepoint(db, job.as_mut())))
        .and_then(|()| Ok(db.execute_batch("COMMIT")?));
    if outcome.is_err() && !db.is_autocommit() {
        // The failure that is reported is the first one; the connection is dropped after it.
        let _ = db.execute_batch("ROLLBACK");
    }
    outcome
}

/// Runs one job. `Err` only where it is no use to go on with the others.
fn in_savepoint(db: &Connection, job: &mut dyn Job) -> Result<(), StoreError> {
    db.execute_batch("SAVEPOINT job")?;
    match job.run(db) {
        Err(cause) if cause.is_of_the_disk() => return Err(cause),
        Err(_) => db.execute_batch("ROLLBACK TO job")?,
        Ok(()) => {}
    }
    Ok(db.execute_batch("RELEASE job")?)
}
