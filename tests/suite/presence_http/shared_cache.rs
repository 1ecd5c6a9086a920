//! Behind a caching proxy: nginx, as Debian has it, from `NGINX` or the system. `make test` fetches it; without it these tests say that they
//! were skipped.

use std::{
    fs,
    io::{BufReader, Write},
    os::unix::net::UnixStream,
    path::PathBuf,
    process::{Child, Command, Stdio},
};

use tests::{
    artefacts::artefacts,
    host::{Host, PATIENCE},
    http::{Answer, encode, read_answer},
    plugin_file::PluginFile,
    skip::skipped,
    wait,
    xmpp::Session,
};

use super::{STATUS, ask, open_host, show};

/// What nginx says it did: the field that the configuration below adds.
const CACHE: &str = "x-cache";

/// A caching proxy in front of a host. It listens on a socket in the host's folder, so that no port can be taken.
struct Proxy {
    process: Child,
    socket: PathBuf,
}

impl Proxy {
    /// Starts it. `None`, and a word about it on standard error, where there is no nginx.
    #[track_caller]
    fn in_front_of(host: &Host) -> Option<Proxy> {
        let program = program().or_else(|| {
            skipped("a caching proxy in front", "it needs nginx, in NGINX or in the system (`make test` fetches it)");
            None
        })?;
        let folder = host.folder().join("nginx");
        fs::create_dir(&folder).expect("the folder is ours");
        let (socket, file) = (folder.join("socket"), folder.join("nginx.conf"));
        let text = CONFIGURATION
            .replace("HOST", &host.process().ready().http.to_string())
            .replace("FOLDER", &folder.display().to_string());
        fs::write(&file, text).expect("the folder is ours");
        let mut nginx = Command::new(program);
        nginx.arg("-p").arg(&folder).arg("-e").arg(folder.join("error.log")).arg("-c").arg(&file);
        let process = nginx.stdin(Stdio::null()).stderr(Stdio::null()).spawn().expect("nginx starts");
        let proxy = Proxy { process, socket };
        wait::until(PATIENCE, "nginx listens", || UnixStream::connect(&proxy.socket).ok());
        Some(proxy)
    }

    #[track_caller]
    fn request(&self, method: &str, query: &str, fields: &str) -> Answer {
        self.send(method, &format!("{STATUS}?{query}"), fields)
    }

    #[track_caller]
    fn send(&self, method: &str, target: &str, fields: &str) -> Answer {
        let mut socket = UnixStream::connect(&self.socket).expect("nginx listens");
        socket.set_read_timeout(Some(PATIENCE)).expect("a socket of ours");
        write!(socket, "{method} {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{fields}\r\n")
            .expect("nginx reads");
        read_answer(&mut BufReader::new(socket)).expect("an answer")
    }

    #[track_caller]
    fn get(&self, query: &str) -> Answer {
        self.request("GET", query, "")
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // In the foreground and without workers of its own, it is this one process.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Nothing but a cache with the defaults of nginx, which says what it did.
const CONFIGURATION: &str = "\
daemon off;
master_process off;
pid FOLDER/pid;
events {}
http {
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    proxy_cache_path FOLDER/cache keys_zone=presence:1m;
    server {
        listen unix:FOLDER/socket;
        location / {
            proxy_pass http://HOST;
            proxy_cache presence;
            proxy_cache_revalidate on;
            add_header X-Cache $upstream_cache_status always;
        }
    }
}
";

fn program() -> Option<PathBuf> {
    let named = std::env::var_os("NGINX").filter(|named| !named.is_empty()).map(PathBuf::from);
    let candidates = named.into_iter().chain(["nginx", "/usr/sbin/nginx"].map(PathBuf::from));
    let runs = |program: &PathBuf| {
        Command::new(program).arg("-v").stderr(Stdio::null()).status().is_ok_and(|status| status.success())
    };
    candidates.into_iter().find(runs)
}

/// A host where anyone sees alice, but for bob, whom she blocks, and where caches may keep what is public.
fn alice_blocks_bob(max_age: &str) -> (Host, Session) {
    let host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "away", "Lunch");
    alice.request("set", "", "<block xmlns='urn:xmpp:blocking'><item jid='bob@localhost'/></block>").unwrap();
    host.set("presence.max_age", max_age);
    (host, alice)
}

/// Row H8.
#[test]
fn public_answers_and_others_never_mix() {
    let (host, _alice) = alice_blocks_bob("60");
    let Some(proxy) = Proxy::in_front_of(&host) else { return };
    for kind in ["text", "xml", "json", "svg"] {
        let public = format!("jid=alice@localhost&type={kind}");
        for round in 0..3 {
            let all = proxy.get(&public);
            assert_eq!(all.header(CACHE), Some(if round == 0 { "MISS" } else { "HIT" }), "{kind}: {all:?}");
            assert!(all.text().to_lowercase().contains(if kind == "svg" { "away" } else { "lunch" }), "{all:?}");
            let bob = proxy.get(&format!("{public}&req_jid=bob@localhost"));
            assert_eq!(bob.header(CACHE), Some("MISS"), "kept, though it is for bob: {bob:?}");
            assert!(!bob.text().contains("away") && !bob.text().contains("Lunch"), "{bob:?}");
            // The same address, and another requester in the body.
            let form = "req_jid=bob@localhost";
            let head = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 21\r\n";
            let posted = proxy.request("POST", &public, &format!("{head}\r\n{form}"));
            assert!(!posted.text().contains("away") && !posted.text().contains("Lunch"), "{posted:?}");
        }
    }
    host.set("presence.visibility", "subscribed");
    for _ in 0..2 {
        let stranger = proxy.get("jid=alice@localhost&type=text&x=subscribed");
        assert_eq!((stranger.header(CACHE), stranger.text()), (Some("MISS"), "Unavailable\n"));
        let alice = proxy.get("jid=alice@localhost&req_jid=alice@localhost&type=text");
        assert_eq!((alice.header(CACHE), alice.text()), (Some("MISS"), "Lunch\n"));
    }
}

/// Row H8: what is kept for everybody is not for who proves who it is.
#[test]
fn a_token_is_never_answered_by_what_is_kept() {
    let (host, mut alice) = alice_blocks_bob("60");
    let Some(proxy) = Proxy::in_front_of(&host) else { return };
    let token = super::own::token(&mut alice, "");
    super::own::say(&mut alice, "who nobody");
    let query = "jid=alice@localhost&type=text";
    for round in 0..2 {
        let all = proxy.get(query);
        assert_eq!((all.header(CACHE), all.text()), (Some(["MISS", "HIT"][round]), "Unavailable\n"));
        let own = proxy.request("GET", query, &format!("Authorization: Bearer {token}\r\n"));
        assert_eq!((own.header(CACHE), own.text()), (Some("MISS"), "Lunch\n"));
    }
}

/// The same where the answer is a picture, and below `/v1`.
#[test]
fn pictures_and_batches_never_mix_either() {
    let (host, mut alice) = alice_blocks_bob("60");
    let Some(proxy) = Proxy::in_front_of(&host) else { return };
    let token = super::own::token(&mut alice, "");
    let of_nobody = |target: &str| proxy.send("GET", &target.replace("alice@", "nobody@"), "").body;
    for target in [
        "status?jid=alice@localhost",
        "v1/users/alice@localhost.json?x=y",
        "v1/users/alice@localhost/icon.png?size=32",
        "v1/users/alice@localhost/badge.svg?x=y",
        "v1/presence?jid=alice@localhost",
    ] {
        let target = &format!("/plugins/presence/{target}");
        let nobody = of_nobody(target);
        for round in 0..2 {
            let all = proxy.send("GET", target, "");
            assert_eq!(all.header(CACHE), Some(["MISS", "HIT"][round]), "{target}: {all:?}");
            assert_ne!(all.body, nobody, "{target}");
            let bob = proxy.send("GET", &format!("{target}&req_jid=bob@localhost"), "");
            assert_eq!(bob.header(CACHE), Some("MISS"), "kept, though it is for bob: {target}: {bob:?}");
            assert_ne!(bob.body, all.body, "{target}");
            let own = proxy.send("GET", target, &format!("Authorization: Bearer {token}\r\n"));
            assert_eq!(own.header(CACHE), Some("MISS"), "{target}: {own:?}");
        }
    }
    // By the same address, what the client prefers.
    let preferred = |kind: &str| {
        let target = "/plugins/presence/v1/users/alice@localhost";
        let answers = [0, 1].map(|_| proxy.send("GET", target, &format!("Accept: {kind}\r\n")));
        answers
            .iter()
            .for_each(|answer| assert!(answer.header("content-type").unwrap().starts_with(kind), "{answer:?}"));
    };
    ["application/json", "image/png", "text/xml", "application/json"].into_iter().for_each(preferred);
}

/// `Vary` keeps the picture of a page and the page of a picture apart.
#[test]
fn a_redirection_is_kept_for_pictures_only() {
    let (host, _alice) = alice_blocks_bob("60");
    let Some(proxy) = Proxy::in_front_of(&host) else { return };
    let query = format!("jid=alice@localhost&images={}", encode("http://icons.example/--IMAGE--"));
    let as_a = |destination: &str| proxy.request("GET", &query, &format!("Sec-Fetch-Dest: {destination}\r\n"));
    let mut kept = 0;
    for _ in 0..3 {
        for (destination, status) in [("image", 302), ("document", 200)] {
            let answer = as_a(destination);
            assert_eq!(answer.status, status, "{destination}: {answer:?}");
            kept += usize::from(answer.header(CACHE) == Some("HIT"));
        }
    }
    assert!(kept > 0, "it was never asked of the cache");
}

#[test]
fn without_leave_nothing_is_kept() {
    let (host, mut alice) = alice_blocks_bob("0");
    let Some(proxy) = Proxy::in_front_of(&host) else { return };
    for (status, expected) in [("one", "one\n"), ("two", "two\n")] {
        show(&mut alice, "away", status);
        let answer = proxy.get("jid=alice@localhost&type=text");
        assert_eq!((answer.text(), answer.header(CACHE)), (expected, Some("MISS")), "visible to the next request");
    }
}

#[test]
fn what_is_too_old_is_asked_for_again_by_its_tag() {
    let (host, _alice) = alice_blocks_bob("1");
    let Some(proxy) = Proxy::in_front_of(&host) else { return };
    let first = proxy.get("jid=alice@localhost&type=json");
    let again = wait::until(PATIENCE, "the proxy asks again", || {
        Some(proxy.get("jid=alice@localhost&type=json")).filter(|answer| answer.header(CACHE) == Some("REVALIDATED"))
    });
    assert_eq!((&again.body, again.header("etag")), (&first.body, first.header("etag")), "a 304 confirmed it");
}

/// What a cache holds is still good after an upgrade of the plugin and after a restart of the server.
#[test]
fn tags_survive_an_upgrade_and_a_restart() {
    let mut host = open_host();
    let mut alice = host.new_user("alice");
    show(&mut alice, "", "");
    alice.unavailable("gone fishing").unwrap();
    alice.settle().unwrap();
    alice.close().unwrap();
    let tags = |host: &Host| {
        ["image", "svg", "text", "xml", "json"].map(|kind| {
            let answer = ask(host, &format!("jid=alice@localhost&type={kind}"));
            answer.header("etag").expect("a tag").to_owned()
        })
    };
    let before = tags(&host);
    PluginFile::read(&artefacts().presence).with_version("0.1.1").write(&host.plugins(), "presence.so");
    host.until_version("presence", "0.1.1");
    assert_eq!(tags(&host), before, "after an upgrade");
    assert_eq!(host.terminate(), Some(0));
    host.run();
    assert_eq!(tags(&host), before, "after a restart");
}
