//! What a plugin's route is set against: the same bodies from plain actix-web routes, in a process of their own.

use std::{
    io::{self, BufRead, BufReader},
    net::SocketAddr,
    process::{Child, Command, Stdio},
};

use actix_web::{App, HttpRequest, HttpResponse, HttpServer, web};

/// Serves until standard input ends. The address goes to standard output.
///
/// # Errors
/// No port is to be had.
pub fn serve() -> io::Result<()> {
    actix_web::rt::System::new().block_on(async {
        let routes = || {
            let body = |body: &'static [u8]| {
                HttpResponse::Ok()
                    .insert_header(("Content-Type", "text/plain; charset=utf-8"))
                    .insert_header(("X-Content-Type-Options", "nosniff"))
                    .body(body)
            };
            let public = |request: HttpRequest| async move {
                let length = request.query_string().strip_prefix("length=").and_then(|length| length.parse().ok());
                HttpResponse::Ok()
                    .insert_header(("X-Content-Type-Options", "nosniff"))
                    .insert_header(("Cache-Control", "no-cache"))
                    .insert_header(("Access-Control-Allow-Origin", "*"))
                    .insert_header(("Content-Type", "text/plain; charset=utf-8"))
                    .insert_header(("ETag", "\"t0123456789abcdef\""))
                    .body(&[b'x'; 1 << 14][..length.unwrap_or(0)])
            };
            App::new()
                .route("/public", web::get().to(public))
                .route("/small", web::get().to(move || async move { body(&[b'x'; 16]) }))
                .route("/large", web::get().to(move || async move { body(&[b'x'; 4096]) }))
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
    /// Starts this program again as that server.
    pub fn start() -> Native {
        let program = std::env::current_exe().expect("this program has a path");
        let mut native = Command::new(program);
        native.arg("--native").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = native.spawn().expect("this program starts again");
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

impl Drop for Native {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
