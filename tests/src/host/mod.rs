//! A real host process in a temporary folder, and the people who use it.
//!
//! # Layout
//! ```text
//! Host       folder, accounts, clients, restarts    mod.rs
//! Process    one run of `host-demo serve`           process.rs
//! Census     what that run takes of the system      census.rs
//! Outcome    one run of any other command           command.rs
//! Deployed   a line of `plugin list --json`         plugins.rs
//! ```

mod census;
mod command;
mod plugins;
mod process;

use std::{
    fs::{self, Permissions},
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    time::Duration,
};

use tempfile::TempDir;

use process::Manner;

pub use census::Census;
pub use command::Outcome;
pub use plugins::Deployed;
pub use process::{Process, Ready};

use crate::{artefacts::artefacts, drop_style::DropStyle, http, xmpp};

/// The domain that a host serves unless told otherwise.
pub const DOMAIN: &str = "localhost";

/// A messaging server under test. Dropping it kills the process and removes the folder; after a failed assertion it
/// prints the log first.
pub struct Host {
    process: Option<Process>,
    manner: Manner,
    folder: TempDir,
}

impl Host {
    /// A folder with an empty drop folder in it, and no process yet.
    pub fn prepare() -> Host {
        let folder = TempDir::with_prefix("host-demo-").expect("a temporary folder can be made");
        fs::create_dir(folder.path().join("plugins")).expect("the drop folder can be made");
        Host { process: None, manner: Manner::default(), folder }
    }

    /// A running host without plugins.
    pub fn start() -> Host {
        let mut host = Host::prepare();
        host.run();
        host
    }

    /// A running host with the presence service deployed.
    pub fn with_presence() -> Host {
        let mut host = Host::prepare();
        host.drop_plugin(&artefacts().presence, "presence.so");
        host.run();
        host
    }

    /// Adds a flag of `serve` and its value, for every run from now on.
    pub fn flag(&mut self, flag: &str, value: impl AsRef<Path>) {
        self.manner.flags.extend([flag.to_owned(), value.as_ref().display().to_string()]);
    }

    /// Writes the configuration for every run from now on. Where there is one already, this takes its place.
    #[track_caller]
    pub fn configure(&mut self, text: &str) {
        let file = self.folder().join("host.toml");
        let is_first = !file.exists();
        fs::write(&file, text).expect("the folder can be written to");
        if is_first {
            self.flag("--config", file);
        }
    }

    /// Adds a variable to the environment of every run from now on.
    pub fn environment(&mut self, name: &str, value: impl AsRef<Path>) {
        self.manner.environment.push((name.to_owned(), value.as_ref().display().to_string()));
    }

    /// Has every run from now on started by `sh` in a user and mount namespace of its own, behind `script`, where the
    /// superuser's rights over that namespace are held. The process is the same: the script becomes the host.
    pub fn in_namespace(&mut self, script: &str) {
        let script = format!("{script}; exec \"$@\"");
        let through = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-ec", &script, "sh"];
        self.manner.through = through.map(str::to_owned).to_vec();
    }

    /// Has every run from now on started by a program that becomes the host.
    pub fn through(&mut self, program: &[&str]) {
        self.manner.through = program.iter().map(|word| (*word).to_owned()).collect();
    }

    /// Whether this machine lets its users have [namespaces](Host::in_namespace).
    pub fn has_namespaces() -> bool {
        let arguments = ["--user", "--map-root-user", "--mount", "true"];
        let made = Command::new("unshare").args(arguments).stderr(Stdio::null()).status();
        made.is_ok_and(|status| status.success())
    }

    /// Has every run from now on belong to another user, who owns nothing here but the state folder. Takes the superuser's
    /// rights. Says why if that user can't run the host.
    pub fn as_user(&mut self, user: u32) -> Result<(), String> {
        let (host, id) = (&artefacts().host, user.to_string());
        let through = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
        let owned = fs::set_permissions(self.folder(), Permissions::from_mode(0o755))
            .and_then(|()| fs::create_dir_all(self.state()))
            .and_then(|()| chown(self.state(), Some(user), Some(user)));
        owned.map_err(|cause| format!("files can't be given away: {cause}"))?;
        let tried = Command::new(through[0]).args(&through[1..]).args(["test", "-x"]).arg(host).output();
        match tried {
            Ok(output) if output.status.success() => self.manner.through = through.map(str::to_owned).to_vec(),
            Ok(output) => return Err(format!("user {user} can't run {}: {output:?}", host.display())),
            Err(cause) => return Err(format!("setpriv: {cause}")),
        }
        Ok(())
    }

    /// Has the host listen for HTTP at an address that is known before it is ready.
    pub fn listen_for_http(&mut self) -> SocketAddr {
        // Nobody else tries ports of this address.
        let free = TcpListener::bind("127.0.7.9:0").and_then(|listener| listener.local_addr()).expect("a free port");
        *self.manner.http.insert(free)
    }

    /// Starts the process and waits until it is ready.
    #[track_caller]
    pub fn run(&mut self) {
        self.process = Some(Process::start(&self.state(), &self.plugins(), &self.manner));
    }

    /// Kills the process as a power cut would, and starts it again on the same folder.
    #[track_caller]
    pub fn crash_and_restart(&mut self) {
        self.crash();
        self.run();
    }

    /// Kills the process as a power cut would.
    #[track_caller]
    pub fn crash(&mut self) {
        self.take_process().kill();
    }

    /// Ends the process by SIGTERM and returns its exit code.
    #[track_caller]
    pub fn terminate(&mut self) -> Option<i32> {
        self.take_process().terminate()
    }

    /// Sends a request that the process does not survive, and waits for its end.
    #[track_caller]
    pub fn dies_of(&mut self, target: &str) -> ExitStatus {
        let mut connection = TcpStream::connect(self.process().ready().http).expect("the host listens");
        write!(connection, "GET {target} HTTP/1.1\r\nHost: x\r\n\r\n").expect("the request can be sent");
        self.await_end()
    }

    /// Waits until the process ends by itself.
    #[track_caller]
    pub fn await_end(&mut self) -> ExitStatus {
        self.take_process().end()
    }

    /// The running process.
    #[track_caller]
    pub fn process(&self) -> &Process {
        self.process.as_ref().expect("the host runs")
    }

    /// The folder with everything in it.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The state folder.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// How we see what the host sees at this path: the same, unless it runs in a [namespace](Host::in_namespace).
    #[track_caller]
    pub fn visible(&self, path: &Path) -> PathBuf {
        match &self.process {
            Some(process) if !self.manner.through.is_empty() => {
                Path::new(&format!("/proc/{}/root", process.id())).join(path.strip_prefix("/").unwrap_or(path))
            }
            _ => path.to_owned(),
        }
    }

    /// The drop folder.
    pub fn plugins(&self) -> PathBuf {
        self.folder.path().join("plugins")
    }

    /// The certificate that the host made for itself.
    pub fn certificate(&self) -> PathBuf {
        self.state().join(format!("tls/{DOMAIN}.crt"))
    }

    /// Copies a plugin file into the drop folder by `cp`.
    #[track_caller]
    pub fn drop_plugin(&self, file: &Path, name: &str) {
        DropStyle::Copy.drop(file, &self.plugins().join(name));
    }

    /// Where clients connect.
    #[track_caller]
    pub fn xmpp(&self) -> SocketAddr {
        self.process().ready().xmpp
    }

    /// Lets in these components with this secret in every run from now on, and no others.
    #[track_caller]
    pub fn allow_components(&mut self, domains: &[&str], secret: &str) {
        let secrets: String = domains.iter().map(|domain| format!("'{domain}' = '{secret}'\n")).collect();
        self.configure(&format!("[components]\nlisten = '127.0.0.1:0'\n[components.secrets]\n{secrets}"));
    }

    /// Connects as a component that was [allowed](Host::allow_components).
    #[track_caller]
    pub fn component(&self, domain: &str, secret: &str) -> xmpp::Component {
        let address = self.process().ready().component.expect("components are allowed");
        xmpp::Component::connect(address, domain, secret)
            .unwrap_or_else(|error| panic!("{domain} is not let in: {error}"))
    }

    /// A client of the public HTTP listener.
    #[track_caller]
    pub fn http(&self) -> http::Client {
        http::Client::new(self.process().ready().http)
    }

    /// A client of the public HTTP listener that waits for a minute and more.
    #[track_caller]
    pub fn patient_http(&self) -> http::Client {
        http::Client::with_patience(self.process().ready().http, Duration::from_secs(90))
    }

    /// A client of the console.
    #[track_caller]
    pub fn console(&self) -> http::Client {
        http::Client::new(self.process().ready().console)
    }

    /// Adds the account `name`@localhost.
    #[track_caller]
    pub fn add_user(&self, name: &str) {
        let jid = format!("{name}@{DOMAIN}");
        self.command_with_input(&["user", "add", &jid, "--password-stdin"], &password(name)).succeeds();
    }

    /// Logs in as the user `name`, whose account [`add_user`](Host::add_user) made. No presence is sent yet.
    #[track_caller]
    pub fn login(&self, name: &str) -> xmpp::Session {
        let jid = format!("{name}@{DOMAIN}");
        xmpp::login(self.xmpp(), &jid, &password(name)).unwrap_or_else(|error| panic!("{jid} can't log in: {error}"))
    }

    /// Adds an account and logs in.
    #[track_caller]
    pub fn new_user(&self, name: &str) -> xmpp::Session {
        self.add_user(name);
        self.login(name)
    }

    /// Runs a command of `host-demo` against this host's state.
    #[track_caller]
    pub fn command(&self, arguments: &[&str]) -> Outcome {
        self.command_with_input(arguments, "")
    }

    /// Runs a command with something on its standard input.
    #[track_caller]
    pub fn command_with_input(&self, arguments: &[&str], input: &str) -> Outcome {
        let state = self.visible(&self.state()).display().to_string();
        Outcome::of(&[arguments, &["--state", &state]].concat(), input)
    }

    /// Sets a setting.
    #[track_caller]
    pub fn set(&self, setting: &str, value: &str) {
        self.command(&["setting", "set", setting, value]).succeeds();
    }

    #[track_caller]
    fn take_process(&mut self) -> Process {
        self.process.take().expect("the host runs")
    }
}

/// The password of the user `name`.
pub fn password(name: &str) -> String {
    format!("{name}'s secret")
}

/// How long the host may take for what it promises within a second: generous, the tests share two cores.
pub const PATIENCE: Duration = Duration::from_secs(20);
