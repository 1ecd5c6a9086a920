//! A real browser, Chromium as Debian has it, without a window: driven by the DevTools protocol over two pipes.

use std::{
    io::{self, BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    thread,
};

use base64::prelude::{BASE64_STANDARD, Engine};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The names that the program may have, unless `CHROMIUM` names it.
const NAMES: [&str; 3] = ["chromium", "chromium-browser", "google-chrome"];
/// The protocol comes in on descriptor 3 and goes out on 4; what the browser says of itself goes nowhere.
const ON_PIPES: &str = "exec 3<&0 4>&1 </dev/null >/dev/null 2>&1; exec \"$@\"";
const FLAGS: [&str; 8] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--no-first-run",
    "--remote-debugging-pipe",
    "about:blank",
];

/// A running browser with one page. Dropping it ends it.
pub struct Browser {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    number: u64,
    _profile: TempDir,
}

impl Browser {
    /// Starts one. `None`: there is none on this machine.
    #[track_caller]
    pub fn start() -> Option<Browser> {
        let program = program()?;
        let profile = TempDir::with_prefix("host-demo-browser-").expect("a temporary folder can be made");
        let mut shell = Command::new("sh");
        shell.args(["-c", ON_PIPES, "sh", &program]).arg(format!("--user-data-dir={}", profile.path().display()));
        let mut process =
            shell.args(FLAGS).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("a shell starts");
        let input = process.stdin.take().expect("it is piped");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut browser = Browser { process, input, output, session: None, number: 0, _profile: profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].clone();
        let session = browser.call("Target.attachToTarget", json!({ "targetId": target, "flatten": true }));
        browser.session = session["sessionId"].as_str().map(str::to_owned);
        browser.call("Page.enable", json!({}));
        Some(browser)
    }

    /// Has every page run this before its own scripts.
    #[track_caller]
    pub fn before_each_page(&mut self, script: &str) {
        self.call("Page.addScriptToEvaluateOnNewDocument", json!({ "source": script }));
    }

    /// Opens an address.
    #[track_caller]
    pub fn open(&mut self, address: &str) {
        let opened = self.call("Page.navigate", json!({ "url": address }));
        assert_eq!(opened["errorText"], Value::Null, "{address}");
    }

    /// Shows pages as on a screen so wide, in CSS pixels, whose owner prefers this scheme of colours: `light` or `dark`.
    #[track_caller]
    pub fn look_like(&mut self, width: u32, scheme: &str) {
        let screen = json!({ "width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600 });
        self.call("Emulation.setDeviceMetricsOverride", screen);
        let prefers = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.call("Emulation.setEmulatedMedia", prefers);
    }

    /// A picture of the whole page, as PNG.
    #[track_caller]
    pub fn picture(&mut self) -> Vec<u8> {
        let picture = self.call("Page.captureScreenshot", json!({ "captureBeyondViewport": true }));
        BASE64_STANDARD.decode(picture["data"].as_str().expect("a picture")).expect("base64")
    }

    /// The value of an expression in the page; of a promise, what it comes to.
    #[track_caller]
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        let answer = self.call("Runtime.evaluate", parameters);
        assert_eq!(answer["exceptionDetails"], Value::Null, "{expression}: {answer}");
        answer["result"]["value"].clone()
    }

    /// What assistive technology is told of the page: role and name of each node.
    #[track_caller]
    pub fn accessible(&mut self) -> Vec<(String, String)> {
        let tree = self.call("Accessibility.getFullAXTree", json!({}));
        let nodes = tree["nodes"].as_array().cloned().unwrap_or_default();
        let text = |node: &Value, key: &str| node[key]["value"].as_str().unwrap_or_default().to_owned();
        nodes.iter().map(|node| (text(node, "role"), text(node, "name"))).collect()
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.number += 1;
        let mut call = json!({ "id": self.number, "method": method, "params": parameters });
        if let Some(session) = &self.session {
            call["sessionId"] = session.as_str().into();
        }
        let answer = self.exchange(&call).unwrap_or_else(|error| panic!("{method}: the browser: {error}"));
        assert_eq!(answer["error"], Value::Null, "{method}: {answer}");
        answer["result"].clone()
    }

    /// Sends a message and reads to its answer. Events in between are nobody's business.
    fn exchange(&mut self, call: &Value) -> io::Result<Value> {
        self.input.write_all(format!("{call}\0").as_bytes())?;
        loop {
            let mut message = Vec::new();
            if self.output.read_until(0, &mut message)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            message.pop();
            let answer: Value = serde_json::from_slice(&message)?;
            if answer["id"] == call["id"] {
                return Ok(answer);
            }
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It ends its own processes; one that does not answer any more is killed.
        let closed = self.exchange(&json!({ "id": 0, "method": "Browser.close" }));
        if closed.is_err() || thread::panicking() {
            let _ = self.process.kill();
        }
        let _ = self.process.wait();
    }
}

fn program() -> Option<String> {
    let named = std::env::var("CHROMIUM").ok().filter(|named| !named.is_empty());
    let mut names = named.into_iter().chain(NAMES.map(str::to_owned));
    let is_there = |name: &String| {
        let asked = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    names.find(is_there)
}
