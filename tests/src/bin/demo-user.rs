//! The user who is always up to something: logs in over the real socket and goes through every state of presence, for
//! as long as `make run` is up. SIGTERM ends it as it ends any process; the server then tells everybody that the user left.

use std::{
    error::Error,
    fs, io,
    net::SocketAddr,
    path::PathBuf,
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use clap::{Args, Parser};
use tests::xmpp::{self, Session, escape};

/// What the user does in turn: `show` (`unavailable` ends the presence), and what the user says about it.
const DAY: [(&str, &str); 6] = [
    ("", "At my desk"),
    ("chat", "Coffee break, come and talk"),
    ("away", "Lunch, back at one"),
    ("xa", "On the train, no reception"),
    ("dnd", "In a meeting"),
    ("unavailable", "Gone home"),
];

/// How long to wait before the second attempt to connect; doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// The longest wait between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Logs in to an XMPP server and goes through every state of presence, again and again.
#[derive(Parser)]
struct Arguments {
    /// Where the server listens.
    #[arg(long, value_name = "ADDR:PORT")]
    xmpp: SocketAddr,
    /// The user's bare JID.
    #[arg(long)]
    jid: String,
    #[command(flatten)]
    password: Password,
    /// Seconds in each state.
    #[arg(long, default_value_t = 5, value_name = "SECONDS")]
    interval: u64,
}

#[derive(Args)]
#[group(required = true, multiple = false)]
struct Password {
    /// Read the password from the first line of a file.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Read the password from the first line of standard input.
    #[arg(long)]
    password_stdin: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.password.read() {
        Ok(password) => live(&arguments, &password),
        Err(error) => {
            eprintln!("demo-user: no password: {error}");
            ExitCode::FAILURE
        }
    }
}

impl Password {
    fn read(&self) -> io::Result<String> {
        let text = match &self.password_file {
            Some(file) => fs::read_to_string(file)?,
            None => io::read_to_string(io::stdin())?,
        };
        text.lines().next().map(str::to_owned).ok_or_else(|| io::Error::other("there is no line"))
    }
}

/// Logs in and lives through days until the connection breaks; then again, after a pause. Only a wrong password ends it.
fn live(arguments: &Arguments, password: &str) -> ExitCode {
    let mut pause = FIRST_PAUSE;
    loop {
        let failure: Box<dyn Error> = match xmpp::login(arguments.xmpp, &arguments.jid, password) {
            Ok(session) => {
                pause = FIRST_PAUSE;
                days(session, Duration::from_secs(arguments.interval)).into()
            }
            Err(xmpp::Error::Sasl(condition)) if condition == "not-authorized" => {
                eprintln!("demo-user: {} has another password", arguments.jid);
                return ExitCode::FAILURE;
            }
            Err(error) => error.into(),
        };
        eprintln!("demo-user: {}: {failure}; next try in {pause:?}", arguments.jid);
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Goes through [`DAY`] until the session ends, and returns why it did.
fn days(mut session: Session, interval: Duration) -> xmpp::Error {
    for (show, status) in DAY.iter().cycle() {
        let sent = match *show {
            "unavailable" => session.unavailable(status),
            show => session.available(show, status),
        };
        if let Err(error) = sent.and_then(|()| attend(&mut session, Instant::now() + interval)) {
            return error;
        }
    }
    unreachable!("the days never end")
}

/// Answers what arrives until `end`: takes every subscription, and no requests.
fn attend(session: &mut Session, end: Instant) -> xmpp::Result<()> {
    while let Some(stanza) = session.next_within(end.saturating_duration_since(Instant::now()))? {
        let from = stanza.attr("from").unwrap_or_default();
        match (stanza.name(), stanza.attr("type")) {
            ("presence", Some("subscribe")) => session.subscription("subscribed", from)?,
            ("iq", Some("get" | "set")) => session.send(&format!(
                "<iq type='error' id='{}' to='{}'><error type='cancel'>\
                 <service-unavailable xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>",
                escape(stanza.attr("id").unwrap_or_default()),
                escape(from),
            ))?,
            _ => {}
        }
    }
    Ok(())
}
