//! What a plugin's route is set against: the same answers from plain actix-web routes, in a process of their own.

use std::{
    io::{self, BufRead, BufReader, Write},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use actix_web::{App, HttpResponse, HttpServer, web};
use tests::http::Answer;

/// The fields that a server adds by itself.
const SERVERS_OWN: [&str; 3] = ["content-length", "date", "connection"];

/// The pattern of a path; the fields of the answer, and its body.
type Given = (String, Vec<(String, String)>, Vec<u8>);

/// Serves the answers that the first line of standard input has, and two bodies, until that input ends. The address goes to standard output.
///
/// # Errors
/// No port is to be had, or the line is none of ours.
pub fn serve() -> io::Result<()> {
    let mut line = String::new();
    io::stdin().read_line(&mut line)?;
    // They are served as long as the process is there.
    let answers: &'static [Given] = serde_json::from_str::<Vec<Given>>(&line)?.leak();
    actix_web::rt::System::new().block_on(async {
        let routes = || {
            let body = |body: &'static [u8]| {
                HttpResponse::Ok()
                    .insert_header(("Content-Type", "text/plain; charset=utf-8"))
                    .insert_header(("X-Content-Type-Options", "nosniff"))
                    .body(body)
            };
            let app = App::new()
                .route("/small", web::get().to(move || async move { body(&[b'x'; 16]) }))
                .route("/large", web::get().to(move || async move { body(&[b'x'; 4096]) }));
            answers.iter().fold(app, |app, (pattern, fields, body)| {
                let answer = move || async move {
                    let mut response = HttpResponse::Ok();
                    for (name, value) in fields {
                        response.insert_header((name.as_str(), value.as_str()));
                    }
                    response.body(body.as_slice())
                };
                app.route(pattern, web::get().to(answer))
            })
        };
        let server = HttpServer::new(routes).bind(("127.0.0.1", 0))?;
        println!("{}", server.addrs()[0]);
        let server = server.run();
        let handle = server.handle();
        std::thread::spawn(move || {
            let ended = io::stdin().lines().count();
            drop((ended, handle.stop(false)));
            std::process::exit(0)
        });
        server.await
    })
}

/// The server, as another process sees it. Dropping it ends it.
pub struct Native {
    child: Child,
    /// Where it listens.
    pub address: SocketAddr,
}

impl Native {
    /// Starts this program again as that server, to give this answer with all its fields wherever a path is of this pattern, if any is to be given.
    pub fn start(answer: Option<(&str, &Answer)>) -> Native {
        let program = std::env::current_exe().expect("this program has a path");
        let mut native = Command::new(program);
        native.arg("--native").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = native.spawn().expect("this program starts again");
        let given: Vec<Given> = answer.into_iter().map(given).collect();
        let line = serde_json::to_string(&given).expect("texts and bytes can be written");
        writeln!(child.stdin.as_ref().expect("standard input is piped"), "{line}").expect("it reads");
        let mut line = String::new();
        let output = child.stdout.take().expect("standard output is piped");
        BufReader::new(output).read_line(&mut line).expect("the server says where it listens");
        Native { child, address: line.trim_end().parse().expect("an address") }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }
}

fn given((pattern, answer): (&str, &Answer)) -> Given {
    let fields = answer.headers.iter().filter(|(name, _)| !SERVERS_OWN.contains(&name.as_str()));
    (pattern.to_owned(), fields.cloned().collect(), answer.body.clone())
}

impl Drop for Native {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
