//! The harness: the real binary on free ports, a small upstream inside the test, plain and TLS clients over raw sockets.
//!
//! `Edge::start(&["--upstream", …])` runs the binary and returns when its admin port says that it is ready.
#![allow(dead_code, unused_imports, clippy::unwrap_used)]

pub mod client;
pub mod frames;
pub mod house;
pub mod ports;
pub mod upstream;

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

pub use client::{Answer, Connection, get};
pub use ports::free_port;
pub use upstream::Upstream;

pub const PATIENCE: Duration = Duration::from_secs(20);

/// A running edge. Dropped, it is killed.
pub struct Edge {
    child: Child,
    pub http: SocketAddr,
    pub https: SocketAddr,
    pub admin: SocketAddr,
    pub state: PathBuf,
    lines: Arc<Mutex<Vec<String>>>,
    _dir: tempfile::TempDir,
}

pub fn binary() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_monodon-edge"));
    // What the developer has set must not change a test.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("MONODON_")) {
        command.env_remove(name);
    }
    command
}

/// What `check` says of such an `edge.toml`, which it has to refuse, without its folder.
pub fn problems(text: &str) -> String {
    problems_in(tempfile::tempdir().unwrap().path(), text)
}

/// The same, with other files beside it.
pub fn problems_in(folder: &Path, text: &str) -> String {
    std::fs::write(folder.join("edge.toml"), text).unwrap();
    let output = binary().args(["check", "--config", "edge.toml"]).current_dir(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{text}: {said}");
    said
}

/// What to start; the defaults are HTTP and HTTPS on free ports and one thread.
pub struct Setup {
    args: Vec<String>,
    env: Vec<(String, String)>,
    file: Option<String>,
    http: bool,
    https: bool,
}

impl Default for Setup {
    fn default() -> Self {
        Self { args: Vec::new(), env: Vec::new(), file: None, http: true, https: true }
    }
}

impl Setup {
    pub fn args<S: ToString>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.to_string()));
        self
    }

    /// `edge.toml`, beside the flags.
    pub fn file(self, text: &str) -> Self {
        Self { file: Some(text.into()), ..self }
    }

    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.into(), value.into()));
        self
    }

    /// `--http` alone: served there plainly.
    pub fn plain(mut self) -> Self {
        self.https = false;
        self
    }

    /// Without `--http`: the file says where.
    pub fn no_http(mut self) -> Self {
        self.http = false;
        self
    }

    /// `--https` alone.
    pub fn only_https(mut self) -> Self {
        self.http = false;
        self
    }

    pub fn start(self) -> Edge {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let address = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (http, https, admin) = (address(), address(), address());
        let mut command = binary();
        command.arg("run");
        if let Some(text) = &self.file {
            std::fs::write(dir.path().join("edge.toml"), text).unwrap();
        }
        if self.http {
            command.args(["--http", &http.to_string()]);
        }
        if self.https {
            command.args(["--https", &https.to_string()]);
        }
        command.args(["--admin", &admin.to_string(), "--state"]).arg(&state);
        command.args(["--threads", "1", "--log-format", "json"]).args(&self.args).envs(self.env);
        command.current_dir(dir.path()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().unwrap();
        let lines: Arc<Mutex<Vec<String>>> = Arc::default();
        let (stdout, sink) = (child.stdout.take().unwrap(), lines.clone());
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                sink.lock().unwrap().push(line);
            }
        });
        let mut edge = Edge { child, http, https, admin, state, lines, _dir: dir };
        edge.wait_until_ready();
        edge
    }
}

impl Edge {
    /// HTTP and HTTPS on free ports, with these further flags.
    pub fn start<S: ToString>(args: impl IntoIterator<Item = S>) -> Self {
        Setup::default().args(args).start()
    }

    /// `--http` alone.
    pub fn plain<S: ToString>(args: impl IntoIterator<Item = S>) -> Self {
        Setup::default().plain().args(args).start()
    }

    fn wait_until_ready(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("the edge ended with {status}: {:#?}", self.lines());
            }
            if client::try_get(self.admin, "/readyz").is_ok_and(|answer| answer.status == 200) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("the edge was not ready in time: {:#?}", self.lines());
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Writes another `edge.toml`; it counts from the next reload on.
    pub fn rewrite(&self, text: &str) {
        std::fs::write(self._dir.path().join("edge.toml"), text).unwrap();
    }

    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// Waits for its end.
    pub fn wait(&mut self) -> ExitStatus {
        let mut status = None;
        until("the edge ends", || {
            status = self.child.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Everything logged so far, one line each.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    /// The access log's line that `wanted` accepts, when it is there.
    pub fn access_line(&self, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        let mut found = None;
        until("an access log line", || {
            found = self
                .lines()
                .iter()
                .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
                .find(|line| line["log"] == "access" && wanted(line));
            found.is_some()
        });
        found.unwrap()
    }

    /// A page of the admin port.
    pub fn admin(&self, path: &str) -> Answer {
        client::try_get(self.admin, path).unwrap()
    }

    /// The value of one series, exactly as it is written before the value.
    pub fn metric(&self, series: &str) -> f64 {
        let page = self.admin("/metrics").text();
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        value.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Waits until a series has this value: a request is counted when its answer has ended, and by then the client has it.
    pub fn counts(&self, series: &str, value: f64) {
        let mut last = 0.0;
        let begun = Instant::now();
        while begun.elapsed() < PATIENCE {
            last = self.metric(series);
            if last == value {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        panic!("{series} is {last}, not {value}");
    }

    /// The internal CA's certificate, in a file.
    pub fn ca(&self) -> PathBuf {
        let place = self.state.join("test-ca.pem");
        std::fs::write(&place, self.admin("/ca.pem").body).unwrap();
        place
    }
}

impl Drop for Edge {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits for a condition; fails with its name.
pub fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < PATIENCE, "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Writes a file and the folders above it.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, contents).unwrap();
}
