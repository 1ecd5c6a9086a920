//! The control socket: `control.sock` in the state folder, for its owner only. One JSON line asks, one JSON line answers.

use std::{
    fs::{self, File, Permissions},
    io::{self, BufRead, BufReader, ErrorKind, Write},
    os::{fd::AsRawFd, unix::fs::PermissionsExt, unix::net::UnixStream as Caller},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt},
    net::{UnixListener, UnixStream},
};

use super::{Executor, Refusal, Reply, Request};

const NAME: &str = "control.sock";

/// The longest path that the kernel takes for a socket (`sun_path`, unix(7), less its NUL).
const LONGEST: usize = 107;

/// The longest request.
const REQUEST: u64 = 64 << 10;
/// How much is read of a longer one: what a command line may hold, several times over.
const MOST_PASSED_OVER: u64 = 1 << 20;

/// How long a caller may take to send its request.
const TO_ASK: Duration = Duration::from_secs(5);

/// How long a command waits for its answer: a plugin may take its time to start.
const TO_ANSWER: Duration = Duration::from_secs(60);

/// The listening end, in the running host. Dropping it removes the socket.
pub struct Server {
    listener: UnixListener,
    path: PathBuf,
}

impl Server {
    /// Listens in a state folder whose lock the caller holds: a socket found there is a dead host's and is replaced.
    /// Needs a runtime.
    ///
    /// # Errors
    /// The socket can't be made.
    pub fn bind(state: &Path) -> io::Result<Server> {
        // It gets its mode under a name that nobody asks at, and its own name after that.
        let new = "control.sock.new";
        match fs::remove_file(state.join(new)) {
            Err(cause) if cause.kind() != ErrorKind::NotFound => return Err(cause),
            _ => {}
        }
        let listener = short(state, new, |path| UnixListener::bind(path))?;
        fs::set_permissions(state.join(new), Permissions::from_mode(0o600))?;
        let path = state.join(NAME);
        fs::rename(state.join(new), &path)?;
        Ok(Server { listener, path })
    }

    /// Answers callers, each on a task of its own, until the future is dropped.
    pub async fn run(self, executor: Executor) {
        loop {
            match self.listener.accept().await {
                Ok((caller, _)) => {
                    let executor = executor.clone();
                    tokio::spawn(async move {
                        if let Err(cause) = serve(caller, executor).await {
                            log::debug!("control: {cause}");
                        }
                    });
                }
                Err(cause) => {
                    // Out of descriptors, most likely: others must close theirs first.
                    log::warn!("control: {cause}");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Err(cause) = fs::remove_file(&self.path) {
            log::debug!("control: {}: {cause}", self.path.display());
        }
    }
}

async fn serve(mut caller: UnixStream, executor: Executor) -> io::Result<()> {
    let (read, mut write) = caller.split();
    let mut line = Vec::new();
    let mut read = tokio::io::BufReader::new(read.take(REQUEST));
    tokio::time::timeout(TO_ASK, read.read_until(b'\n', &mut line)).await??;
    let is_too_long = line.len() as u64 == REQUEST && !line.ends_with(b"\n");
    if is_too_long {
        // Who is still writing would hear of a broken pipe, and not of what is wrong.
        read.get_mut().set_limit(MOST_PASSED_OVER);
        tokio::time::timeout(TO_ASK, read.read_until(b'\n', &mut Vec::new())).await??;
    }
    let reply = match serde_json::from_slice::<Request>(&line) {
        Ok(request) => executor.execute(request).await,
        Err(_) if is_too_long => Err(Refusal::usage(format!("control: a request has {REQUEST} bytes at most"))),
        Err(cause) => Err(Refusal::usage(format!(
            "control: the request was not understood ({cause}): is the command of another release than the host?"
        ))),
    };
    let mut answer = serde_json::to_vec(&reply)?;
    answer.push(b'\n');
    write.write_all(&answer).await
}

/// Asks the host that runs on a state folder. `None`: none listens there.
///
/// # Errors
/// A host listens but gave no answer.
pub(super) fn ask(state: &Path, request: &Request) -> Result<Option<Reply>, Refusal> {
    let failed = |cause: io::Error| {
        Refusal::failed(format!("control: {}: the host did not answer: {cause}", state.join(NAME).display()))
    };
    match short(state, NAME, |path| Caller::connect(path)) {
        Ok(host) => exchange(host, request).map(Some).map_err(failed),
        Err(cause) if matches!(cause.kind(), ErrorKind::NotFound | ErrorKind::ConnectionRefused) => Ok(None),
        Err(cause) => Err(failed(cause)),
    }
}

fn exchange(mut host: Caller, request: &Request) -> io::Result<Reply> {
    host.set_read_timeout(Some(TO_ANSWER))?;
    host.set_write_timeout(Some(TO_ASK))?;
    let mut line = serde_json::to_vec(request)?;
    line.push(b'\n');
    host.write_all(&line)?;
    let mut answer = String::new();
    BufReader::new(host).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

/// Uses a socket in `folder` under a path that the kernel takes: a long one goes through the folder's descriptor.
fn short<T>(folder: &Path, name: &str, open: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = folder.join(name);
    if path.as_os_str().len() <= LONGEST {
        return open(&path);
    }
    let folder = File::open(folder)?;
    open(&PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())))
}
