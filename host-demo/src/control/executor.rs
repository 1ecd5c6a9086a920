//! Carrying out requests: in the running host, or in the command itself when there is none.

use std::{
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use super::{Answer, Refusal, Reply, Request, Running, socket};
use crate::store::{Lock, LockError, Store};

/// How long a command waits for a host that holds the folder but does not listen yet, or not any more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Carries out requests on a store and, where there is one, on the host that runs on it.
#[derive(Clone)]
pub struct Executor {
    pub(super) store: Store,
    pub(super) running: Option<Arc<dyn Running>>,
}

impl Executor {
    /// For a running host.
    pub fn beside(store: Store, running: Arc<dyn Running>) -> Executor {
        Executor { store, running: Some(running) }
    }

    /// For a command that has the state folder to itself.
    pub fn alone(store: Store) -> Executor {
        Executor { store, running: None }
    }

    /// Carries out one request.
    ///
    /// # Errors
    /// The reason why not, in the administrator's words; nothing was changed then.
    pub async fn execute(&self, request: Request) -> Reply {
        match request {
            Request::AddUser { jid, credentials } => self.add_user(&jid, &credentials).await,
            Request::SetPassword { jid, credentials } => self.set_password(&jid, &credentials).await,
            Request::RemoveUser { jid } => self.remove_user(&jid).await,
            Request::Users => Ok(Answer::Users(self.store.accounts().iter().map(ToString::to_string).collect())),
            Request::Plugins => {
                Ok(Answer::Plugins { plugins: self.plugins()?, cost: self.running.as_ref().map(|host| host.cost()) })
            }
            Request::DisablePlugin { id } => self.disable_plugin(&id).await,
            Request::EnablePlugin { id } => self.enable_plugin(&id).await,
            Request::RetryPlugin { id } => self.retry_plugin(&id).await,
            Request::Settings => Ok(Answer::Settings(self.settings())),
            Request::Setting { name } => self.setting(&name).map(Answer::Value),
            Request::SetSetting { name, value } => self.set_setting(&name, &value).await,
            Request::SetAdminPassword { password } => {
                let done = if self.store.admin_password()?.is_some() { "changed" } else { "set" };
                self.store.set_admin_password(&password).await?;
                Ok(Answer::done(format!("the password of the console is {done}")))
            }
        }
    }
}

/// Has a request carried out on a state folder by whoever holds it: a running host, or nobody, and then by this process.
///
/// # Errors
/// As for [`Executor::execute`], or nobody could carry it out.
pub fn call(state: &Path, request: &Request) -> Reply {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(reply) = socket::ask(state, request)? {
            return reply;
        }
        match Lock::take(state) {
            Ok(_lock) => return alone(state, request.clone()),
            // A host that is starting or ending: it listens soon, or is gone soon.
            Err(LockError::Held { .. }) if Instant::now() < deadline => thread::sleep(Duration::from_millis(50)),
            Err(held @ LockError::Held { .. }) => {
                return Err(Refusal::failed(format!("{held}; it does not answer on its control socket")));
            }
            Err(error) => return Err(Refusal::failed(error.to_string())),
        }
    }
}

fn alone(state: &Path, request: Request) -> Reply {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .map_err(|cause| Refusal::failed(format!("system: no runtime: {cause}")))?;
    let store = Store::open(state)?;
    let reply = runtime.block_on(Executor::alone(store.clone()).execute(request));
    store.close();
    reply
}
