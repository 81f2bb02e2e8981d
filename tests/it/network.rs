//! Where connections go and from where, as nginx saw it: unix sockets, addresses of ours, names taken for others.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixListener, UnixStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::support::nginx::{Process, folders};
use crate::support::program::Finished;
use crate::support::tls::Authority;
use crate::support::{OK, Program, Report, bench, dead_port, file, measure, note, on_driver};

/// nginx on 127.0.0.1, 127.0.0.2 and ::1, and on a unix socket; in cleartext and, on another, under TLS.
struct Nginx {
    process: Process,
    port: u16,
    /// TLS, with a certificate for `service.example`.
    tls_port: u16,
    authority: Authority,
}

impl Nginx {
    fn start() -> Self {
        (0..5).find_map(|_| Self::try_start()).expect("nginx is installed and starts; scripts/check installs it")
    }

    fn try_start() -> Option<Self> {
        let folder = tempfile::tempdir().expect("a folder");
        let (port, tls_port, authority) = (dead_port(), dead_port(), Authority::new());
        authority.issue(&["service.example"]).write_to(folder.path());
        fs::write(folder.path().join("large.bin"), vec![b'x'; 1 << 20]).expect("a file");
        let config = config(folder.path(), port, tls_port);
        let process = Process::try_start(folder, &config, port)?;
        Some(Self { process, port, tls_port, authority })
    }

    /// A file in its folder.
    fn path(&self, name: &str) -> String {
        self.process.folder.path().join(name).to_str().expect("a path in UTF-8").to_owned()
    }

    /// How many requests came by each way: `client server host name`, `name` being what TLS was asked for.
    fn ways(self) -> BTreeMap<String, usize> {
        let mut ways = BTreeMap::new();
        self.process.logged().into_iter().for_each(|line| *ways.entry(line).or_default() += 1);
        ways
    }
}

fn config(folder: &Path, port: u16, tls_port: u16) -> String {
    let v6 = if has_v6() { format!("listen [::1]:{port};") } else { String::new() };
    let (folders, folder) = (folders(folder), folder.display());
    format!(
        "daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           log_format way '$remote_addr $server_addr $host $ssl_server_name';\n\
           access_log {folder}/access.log way;\n\
           {folders}\
           server {{\n\
             listen 127.0.0.1:{port}; listen 127.0.0.2:{port}; {v6} listen unix:{folder}/plain.sock;\n\
             listen unix:{folder}/h2.sock http2;\n\
             listen 127.0.0.1:{tls_port} ssl; listen 127.0.0.2:{tls_port} ssl; listen unix:{folder}/tls.sock ssl;\n\
             ssl_protocols TLSv1.2 TLSv1.3; ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.key;\n\
             location / {{ return 200 'hello world\\n'; }}\n\
             location /large.bin {{ root {folder}; }}\n\
           }}\n\
         }}\n"
    )
}

fn has_v6() -> bool {
    std::net::TcpListener::bind("[::1]:0").is_ok()
}

fn ways(expected: &[(&str, usize)]) -> BTreeMap<String, usize> {
    expected.iter().map(|&(way, count)| (way.to_owned(), count)).collect()
}

/// On both drivers: a `measure` with `args` of nginx, to its end, and the ways that its requests came.
#[track_caller]
fn came(args: impl Fn(&Nginx) -> Vec<String>, expected: &[(&str, usize)]) {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let nginx = Nginx::start();
            let (args, sum) = (args(&nginx), expected.iter().map(|(_, count)| count).sum::<usize>());
            measure(&args).assert_ok(sum as u64);
            assert_eq!(nginx.ways(), ways(expected), "{driver}");
        });
    }
}

fn strings<const N: usize>(args: [&str; N]) -> Vec<String> {
    args.map(str::to_owned).to_vec()
}

#[test]
fn all_connections_go_to_the_unix_socket_and_the_host_stays_the_url_s() {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let nginx = Nginx::start();
            let socket = nginx.path("plain.sock");
            let args = ["--unix-socket", &socket, "-n", "40", "-c", "4", "http://a.example/", "http://b.example:81/x"];
            let report = measure(&args);
            report.assert_ok(40);
            assert_eq!(report.at("plan.network.unix_socket"), socket.as_str());
            assert_eq!(report.list("origins.0.addresses"), [""; 0]);
            assert!(report.warns("loopback"));
            let large = measure(&["--unix-socket", &socket, "-n", "20", "-c", "4", "http://c.example/large.bin"]);
            large.assert_ok(20);
            assert!(large.number("bytes.in") > 20 << 20);
            let churn = ["--unix-socket", &socket, "-n", "30", "-c", "3", "--keep-alive", "false", "http://d.example/"];
            let churn = measure(&churn);
            churn.assert_ok(30);
            assert_eq!(churn.count("connections_opened"), 30);
            let seen = nginx.ways();
            let of = |host: &str| seen.iter().filter(|(way, _)| way.contains(host)).map(|(_, n)| n).sum::<usize>();
            assert_eq!([of("a.example"), of("b.example"), of("c.example"), of("d.example")], [20, 20, 20, 30]);
            assert!(seen.keys().all(|way| way.starts_with(&format!("unix: unix:{socket} "))), "{seen:?}");
        });
    }
}

#[test]
fn tls_goes_over_a_unix_socket_and_asks_for_the_url_s_host() {
    let nginx = Nginx::start();
    let (socket, ca) = (nginx.path("tls.sock"), nginx.authority.file());
    let args = ["--unix-socket", &socket, "--cacert", &ca, "-n", "20", "-c", "2", "https://service.example/"];
    let report = measure(&args);
    report.assert_ok(20);
    assert_eq!(report.at("origins.0.tls.version"), "TLSv1_3");
    assert_eq!(nginx.ways(), ways(&[(&format!("unix: unix:{socket} service.example service.example"), 20)]));
}

#[test]
fn http_2_goes_over_a_unix_socket() {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let nginx = Nginx::start();
            let socket = nginx.path("h2.sock");
            let args = ["--http", "2", "--streams", "4", "-n", "40", "-c", "2", "-t", "1", "http://a.example/"];
            measure(&[&["--unix-socket", &socket], &args[..]].concat()).assert_ok(40);
            assert_eq!(nginx.ways(), ways(&[(&format!("unix: unix:{socket} a.example -"), 40)]));
        });
    }
}

/// Answers the first request of every connection, over and over.
fn serve(listener: UnixListener) {
    let answer = |mut stream: UnixStream| {
        let mut request = [0; 4096];
        while stream.read(&mut request).is_ok_and(|read| read > 0) && stream.write_all(OK).is_ok() {}
    };
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || answer(stream));
        }
    });
}

#[test]
fn a_socket_may_have_an_abstract_name() {
    let name = format!("ringload-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).expect("an abstract name");
    serve(UnixListener::bind_addr(&address).expect("it is free"));
    let report = measure(&["--unix-socket", &format!("@{name}"), "-n", "20", "-c", "2", "http://host/"]);
    report.assert_ok(20);
    assert_eq!(report.at("plan.network.unix_socket"), format!("@{name}").as_str());
}

#[test]
fn a_socket_that_is_not_there_is_told_before_the_run() {
    let finished = bench(&["--unix-socket", "/nowhere/x.sock", "-n", "1", "http://host/"]);
    finished.assert_code(2);
    let parts = ["unix:/nowhere/x.sock", "No such file", "is the server up?"];
    assert!(parts.iter().all(|part| finished.stderr.contains(part)), "{}", finished.stderr);
}

/// A socket whose backlog takes two connections.
fn narrow(folder: &Path) -> (UnixListener, String) {
    let path = folder.join("narrow.sock");
    let listener = UnixListener::bind(&path).expect("it is free");
    rustix::net::listen(&listener, 1).expect("it listens");
    (listener, path.to_str().expect("a path in UTF-8").to_owned())
}

#[test]
fn connections_wait_for_room_in_a_socket_s_backlog() {
    for driver in ["io_uring", "epoll"] {
        on_driver(driver, || {
            let folder = tempfile::tempdir().expect("a folder");
            let (listener, path) = narrow(folder.path());
            let args = ["--unix-socket", &path, "-n", "8", "-c", "8", "-t", "1", "--connect-timeout", "200ms"];
            let args =
                [&args[..], &["--timeout", "200ms", "--format", "json", "--start-anyway", "http://host/"]].concat();
            let report = Report::of(&bench(&args));
            assert_eq!((report.failure("timeout"), report.failure("connect_timeout")), (2, 6), "nobody accepts");
            // Those of the first run are there still, and closed.
            std::thread::spawn(|| {
                std::thread::sleep(Duration::from_millis(50));
                serve(listener);
            });
            measure(&["--unix-socket", &path, "-n", "16", "-c", "8", "-t", "1", "http://host/"]).assert_ok(16);
        });
    }
}

#[test]
fn sources_are_used_in_turn() {
    let args = |nginx: &Nginx| {
        let url = format!("http://127.0.0.1:{}/", nginx.port);
        let more = ["--source", "127.0.0.0/30", "--source", "127.0.0.7-127.0.0.8", "--keep-alive", "false"];
        [&strings(["-n", "40", "-c", "4", "-t", "1", &url]), more.map(str::to_owned).as_slice()].concat()
    };
    let way = |from: &str| format!("{from} 127.0.0.1 127.0.0.1 -");
    let ways = ["127.0.0.1", "127.0.0.2", "127.0.0.7", "127.0.0.8"].map(way);
    came(args, &ways.each_ref().map(|way| (way.as_str(), 10)));
}

#[test]
fn sources_are_used_under_tls_and_told_in_the_report() {
    let nginx = Nginx::start();
    let (url, ca) = (format!("https://service.example:{}/", nginx.tls_port), nginx.authority.file());
    let resolve = format!("service.example:{}:127.0.0.1", nginx.tls_port);
    let args = ["--source", "127.0.0.5", "--source", "127.0.0.6", "--cacert", &ca, "--resolve", &resolve];
    let report = measure(&[&args[..], &["-n", "20", "-c", "2", "-t", "1", &url]].concat());
    report.assert_ok(20);
    assert_eq!(report.list("plan.network.source"), ["127.0.0.5", "127.0.0.6"]);
    let way = |from: &str| format!("{from} 127.0.0.1 service.example service.example");
    let seen = nginx.ways();
    assert_eq!(seen.keys().cloned().collect::<Vec<_>>(), [way("127.0.0.5"), way("127.0.0.6")]);
}

#[test]
fn each_family_of_addresses_has_its_sources_and_can_be_left_out() {
    if !has_v6() {
        return note("SKIPPED each_family_of_addresses_has_its_sources_and_can_be_left_out: no IPv6 here");
    }
    let of = |more: &'static [&'static str]| {
        move |nginx: &Nginx| {
            let resolve = format!("name.example:{}:[::1],127.0.0.2", nginx.port);
            let url = format!("http://name.example:{}/", nginx.port);
            let args = ["-n", "12", "-c", "2", "-t", "1", "--keep-alive", "false", "--resolve", &resolve, &url];
            [args.map(str::to_owned).to_vec(), more.iter().map(|&arg| arg.to_owned()).collect()].concat()
        }
    };
    let (v4, v6) = ("127.0.0.9 127.0.0.2 name.example -", "::1 ::1 name.example -");
    came(of(&["--source", "127.0.0.9", "--source", "::1"]), &[(v4, 6), (v6, 6)]);
    came(of(&["--source", "127.0.0.9"]), &[(v4, 12)]);
    came(of(&["-6"]), &[(v6, 12)]);
    came(of(&["-4"]), &[("127.0.0.1 127.0.0.2 name.example -", 12)]);
}

#[test]
fn given_addresses_are_used_in_turn_and_tls_asks_for_the_name() {
    let args = |nginx: &Nginx| {
        let resolve = format!("*:{}:127.0.0.1,127.0.0.2", nginx.tls_port);
        let (url, ca) = (format!("https://service.example:{}/", nginx.tls_port), nginx.authority.file());
        let args = ["-n", "20", "-c", "2", "-t", "1", "--keep-alive", "false", "--cacert", &ca, "--resolve", &resolve];
        [args.map(str::to_owned).to_vec(), vec![url]].concat()
    };
    let way = |to: &str| format!("127.0.0.1 {to} service.example service.example");
    came(args, &[(&way("127.0.0.1"), 10), (&way("127.0.0.2"), 10)]);
}

#[test]
fn an_origin_can_be_sought_elsewhere_and_keeps_its_name() {
    let args = |nginx: &Nginx| {
        let (plain, tls) = (nginx.port, nginx.tls_port);
        let (first, second) = (format!("a.example:80:127.0.0.2:{plain}"), format!("service.example::127.0.0.1:{tls}"));
        let ca = nginx.authority.file();
        let args = ["-n", "20", "-c", "2", "-t", "1", "--cacert", &ca, "--connect-to", &first, "--connect-to", &second];
        [args.map(str::to_owned).to_vec(), strings(["http://a.example/", "https://service.example/"])].concat()
    };
    let ways = [("127.0.0.1 127.0.0.2 a.example -", 10), ("127.0.0.1 127.0.0.1 service.example service.example", 10)];
    came(args, &ways);
}

#[test]
fn the_interface_is_kept_to() {
    came(
        |nginx| strings(["--interface", "lo", "-n", "20", "-c", "2", &format!("http://127.0.0.1:{}/", nginx.port)]),
        &[("127.0.0.1 127.0.0.1 127.0.0.1 -", 20)],
    );
    // No answer of a loopback address comes by another interface.
    let script = "ip link set lo up && ip link add other0 type bridge && ip link set other0 up || exit 77\n\
                  run() { \"$0\" bench -n 2 -c 1 --connect-timeout 300ms --start-anyway --format json -q --interface $1; }\n\
                  run lo && run other0";
    let Some(finished) = in_a_namespace("the_interface_is_kept_to", "-rn", script) else { return };
    finished.assert_code(1);
    let reports: Vec<Report> = finished.stdout.split_inclusive("\n}\n").map(Report::parse).collect();
    assert_eq!((reports[0].count("ok"), reports[1].count("failed")), (2, 2), "{}", finished.stdout);
}

/// What the shell makes of `script`, in which `$0` is the program, in namespaces of its own; `None`, and a note, where it
/// may not have them.
fn in_a_namespace(name: &str, kinds: &str, script: &str) -> Option<Finished> {
    let allowed = Command::new("unshare").args([kinds, "true"]).stderr(Stdio::null()).status();
    if !allowed.is_ok_and(|status| status.success()) {
        note(&format!("SKIPPED {name}: no namespace here"));
        return None;
    }
    let mut command = Command::new("unshare");
    command.args([kinds, "sh", "-c", script, env!("CARGO_BIN_EXE_ringload")]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let finished = Program::spawn(&mut command).finish();
    if finished.code() == Some(77) {
        note(&format!("SKIPPED {name}: the namespace cannot be set up: {}", finished.stderr));
        return None;
    }
    Some(finished)
}

/// 60 requests, by `args`, for `name.example`, which is 127.0.0.1 until some of them have come, from where on the line begins with
/// `then`: written over it, for a file that is emptied first has no line for a moment. Nobody but the file of hosts is asked. The report, and how many requests came to 127.0.0.1 and to 127.0.0.2.
fn while_hosts_change(test: &str, args: &str, then: &str) -> Option<(Report, usize, usize)> {
    let nginx = Nginx::start();
    let script = format!(
        "hosts=$(mktemp); order=$(mktemp); echo hosts: files > $order; echo 127.0.0.1 name.example > $hosts\n\
         mount --bind $order /etc/nsswitch.conf && mount --bind $hosts /etc/hosts || exit 77\n\
         \"$0\" bench -n 60 -R 30 -c 2 --keep-alive false {args} --format json -q http://name.example:{}/ & run=$!\n\
         until [ $(wc -l < {}) -ge 3 ]; do sleep 0.02; done\n\
         printf '{then}' 1<> $hosts; wait $run; code=$?; rm -f $hosts $order; exit $code",
        nginx.port,
        nginx.path("access.log")
    );
    let finished = in_a_namespace(test, "-rm", &script)?;
    let seen = nginx.ways();
    let at = |to: &str| seen.get(&format!("127.0.0.1 {to} name.example -")).copied().unwrap_or(0);
    Some((Report::of(finished.assert_code(0)), at("127.0.0.1"), at("127.0.0.2")))
}

#[test]
fn a_name_is_looked_up_anew_for_each_connection() {
    let test = "a_name_is_looked_up_anew_for_each_connection";
    let moved = |dns: &str| while_hosts_change(test, &format!("--dns {dns}"), "127.0.0.2 name.example");
    let Some((_, before, after)) = moved("once") else { return };
    assert_eq!((before, after), (60, 0));
    let (report, before, after) = moved("per-connection").expect("as just now");
    report.assert_ok(60);
    assert!(before >= 3 && after > 0 && before + after == 60, "{before} and {after}");
}

#[test]
fn a_look_up_that_fails_in_the_run_is_counted_as_such() {
    let test = "a_look_up_that_fails_in_the_run_is_counted_as_such";
    let Some((report, before, _)) = while_hosts_change(test, "--dns per-connection -d 2s", "#") else { return };
    assert!(before >= 3 && report.failure("resolve") > 0, "{}", report.at("counts"));
    assert_eq!((report.count("ok"), report.count("failed")), (before as u64, report.failure("resolve")));
    let reason = report.at("failure_reasons.resolve").as_str().unwrap_or_default();
    assert!(reason.starts_with("name.example: "), "{reason}");
}

#[test]
fn a_plan_file_says_it_all() {
    let nginx = Nginx::start();
    let plan = "url = \"http://a.example/\"\nunix-socket = \"plain.sock\"\nrequests = 10\nconnections = 2\n";
    fs::write(nginx.path("plan.toml"), plan).expect("a file");
    measure(&["--plan", &nginx.path("plan.toml")]).assert_ok(10);
    let typed = [
        "--source",
        "127.0.0.2",
        "--interface",
        "lo",
        "-4",
        "--resolve",
        "h:80:127.0.0.1",
        "--connect-to",
        "::h:80",
        "--dns",
        "per-connection",
        "http://a.example/",
    ];
    let printed = bench(&[&typed[..], &["--print-plan"]].concat());
    printed.assert_code(0);
    let (_folder, path) = file(&printed.stdout);
    let again = bench(&["--plan", &path, "--print-plan"]);
    again.assert_code(0);
    assert_eq!(again.stdout, printed.stdout);
    for line in ["source = [\"127.0.0.2\"]", "interface = \"lo\"", "ipv4 = true", "dns = \"per-connection\""] {
        assert!(printed.stdout.lines().any(|printed| printed == line), "{line}: {}", printed.stdout);
    }
    let socket = bench(&["--plan", &nginx.path("plan.toml"), "--print-plan"]);
    assert!(socket.stdout.contains(&format!("unix-socket = \"{}\"", nginx.path("plain.sock"))), "{}", socket.stdout);
}

#[test]
fn a_way_that_cannot_be_taken_is_refused_before_the_first_packet() {
    let url = format!("http://127.0.0.1:{}/", dead_port());
    for (args, part) in [
        (&["--source", "192.0.2.1"][..], "--source 192.0.2.1: is no address of this machine; add it with: ip addr add"),
        (&["--source", "127.0.0.2", "--source", "192.0.2.0/24"], "--source 192.0.2.1: is no address"),
        (&["--source", "::1"], "127.0.0.1: it has only IPv4 addresses, and no --source is one"),
        (&["--source", "127.0.0.1/8"], "the block is 127.0.0.0/8"),
        (&["--interface", "nowhere0"], "--interface nowhere0: there is no such interface; ip link lists them"),
        (&["-6"], "127.0.0.1: it has no IPv6 address; leave out --ipv6"),
        (&["-4", "-6"], "--ipv4: leaves no address together with --ipv6"),
        (&["--resolve", "127.0.0.1:80:127.0.0.2"], "--resolve 127.0.0.1:80:127.0.0.2: is for no URL of this run"),
        (&["--resolve", "h:80"], "--resolve h:80: is no HOST:PORT:ADDR"),
        (&["--connect-to", "h:80"], "--connect-to h:80: is no HOST1:PORT1:HOST2:PORT2"),
        (&["--connect-to", "::no-such-host.invalid:"], "resolve no-such-host.invalid: "),
        (&["--unix-socket", "x", "-4"], "--ipv4: is about addresses"),
        (&["--dns", "never"], "[possible values: once, per-connection]"),
    ] {
        let finished = bench(&[args, &["-n", "1", &url]].concat());
        finished.assert_code(2);
        assert!(finished.stderr.contains(part), "{part}: {}", finished.stderr);
        assert_eq!(finished.stdout, "");
    }
    let embedded = bench(&["--unix-socket", "x"]);
    embedded.assert_code(2);
    assert!(embedded.stderr.contains("name a URL to ask for"), "{}", embedded.stderr);
}
