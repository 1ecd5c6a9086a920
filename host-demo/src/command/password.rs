//! Asking for a password: at the terminal without showing it, or from standard input when told so.

use std::io::{self, BufRead, IsTerminal, Read, Stdin, Write};

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

use crate::control::Refusal;

/// What Ctrl-C sends while it does not interrupt.
const INTERRUPT: u8 = 3;

/// The longest password.
const LONGEST: u64 = 1024;

/// Reads a password: from the first line of standard input, or else twice from the terminal.
pub(super) fn read(prompt: &str, from_stdin: bool) -> Result<String, Refusal> {
    let stdin = io::stdin();
    let password = if from_stdin {
        first_line(stdin.lock())?
    } else if stdin.is_terminal() {
        twice(&stdin, prompt)?
    } else {
        let text = "password: standard input is no terminal: type it at one, or pipe it in with --password-stdin";
        return Err(Refusal::usage(text));
    };
    if password.is_empty() {
        return Err(Refusal::usage("password: it is empty: give one of at least one character"));
    }
    Ok(password)
}

fn first_line(input: impl BufRead) -> Result<String, Refusal> {
    let mut line = Vec::new();
    input.take(LONGEST + 2).read_until(b'\n', &mut line).map_err(unreadable)?;
    if line.last() == Some(&b'\n') {
        line.pop();
        line.pop_if(|last| *last == b'\r');
    }
    text(line)
}

fn twice(terminal: &Stdin, prompt: &str) -> Result<String, Refusal> {
    let password = ask(terminal, prompt)?;
    if ask(terminal, "The same again")? != password {
        return Err(Refusal::failed("password: the two differ: nothing was changed, try again"));
    }
    Ok(password)
}

fn ask(terminal: &Stdin, prompt: &str) -> Result<String, Refusal> {
    eprint!("{prompt}: ");
    let _ = io::stderr().flush();
    let hidden = Hidden::start(terminal).map_err(unreadable)?;
    let mut line = Vec::new();
    for byte in terminal.lock().bytes() {
        match byte.map_err(unreadable)? {
            b'\n' => break,
            INTERRUPT => return Err(Refusal::failed("password: interrupted: nothing was changed")),
            byte => line.push(byte),
        }
    }
    drop(hidden);
    text(line)
}

fn text(line: Vec<u8>) -> Result<String, Refusal> {
    if line.len() as u64 > LONGEST {
        return Err(Refusal::usage(format!("password: longer than {LONGEST} bytes: give a shorter one")));
    }
    String::from_utf8(line).map_err(|_| Refusal::usage("password: not UTF-8: set the terminal or the file to UTF-8"))
}

fn unreadable(cause: impl std::fmt::Display) -> Refusal {
    Refusal::failed(format!("password: can't be read: {cause}"))
}

/// A terminal that does not show what is typed; dropping it shows again.
struct Hidden<'a> {
    terminal: &'a Stdin,
    before: Termios,
}

impl<'a> Hidden<'a> {
    fn start(terminal: &'a Stdin) -> rustix::io::Result<Self> {
        let before = tcgetattr(terminal)?;
        let mut modes = before.clone();
        // Ctrl-C must not end the process while nothing is shown: it ends the line instead.
        modes.local_modes -= LocalModes::ECHO | LocalModes::ISIG;
        modes.local_modes |= LocalModes::ICANON;
        modes.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
        tcsetattr(terminal, OptionalActions::Flush, &modes)?;
        Ok(Hidden { terminal, before })
    }
}

impl Drop for Hidden<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.terminal, OptionalActions::Now, &self.before);
        // The newline that was typed was not shown either.
        eprintln!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_password_is_the_first_line() {
        for (input, expected) in
            [("pw\n", "pw"), ("pw", "pw"), ("pw\r\nmore\n", "pw"), (" p w \n\n", " p w "), ("", "")]
        {
            assert_eq!(first_line(input.as_bytes()).unwrap(), expected, "{input:?}");
        }
    }

    #[test]
    fn what_can_be_no_password_is_refused() {
        assert!(first_line(&[0xff, b'\n'][..]).unwrap_err().usage);
        assert!(first_line("x".repeat(5000).as_bytes()).unwrap_err().usage);
    }
}
