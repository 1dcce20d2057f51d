//! An edge whose place outlives it: the same ports and the same state through several processes.

use crate::common::{Connection, binary, client, free_port};
use crate::pebble::{Process, wait_for};
use monodon_edge::acme::records::{Records, authority_folder};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::SystemTime;

/// Where one runs.
pub struct Place {
    folder: Arc<tempfile::TempDir>,
    domains: String,
    pub http: SocketAddr,
    pub https: SocketAddr,
    admin: SocketAddr,
}

fn address() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], free_port()))
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

impl Place {
    pub fn new(domains: &[&str]) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        Self { folder, domains: domains.join(","), http: address(), https: address(), admin: address() }
    }

    /// Another one with the same state.
    pub fn beside(&self) -> Self {
        let (folder, domains) = (self.folder.clone(), self.domains.clone());
        Self { folder, domains, http: address(), https: address(), admin: address() }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn state(&self) -> PathBuf {
        self.folder().join("state")
    }

    pub fn records(&self, directory: &str, name: &str) -> Records {
        Records::new(&authority_folder(&self.state(), directory), name)
    }
}

pub struct Edge {
    process: Process,
    https: SocketAddr,
    admin: SocketAddr,
    state: PathBuf,
    folder: PathBuf,
}

impl Edge {
    pub fn start(place: &Place, directory: &str, roots: &Path) -> Self {
        Self::start_with(place, directory, roots, &[])
    }

    pub fn start_with(place: &Place, directory: &str, roots: &Path, more: &[&str]) -> Self {
        let mut command = binary();
        command
            .args(["run", "--threads", "1", "--log-format", "json", "--upstream", "127.0.0.1:9"])
            .args(["--http", &place.http.to_string(), "--https", &place.https.to_string()])
            .args(["--admin", &place.admin.to_string(), "--domains", &place.domains])
            .args(["--acme-email", "admin@example.com", "--acme-directory", directory])
            .arg("--acme-ca")
            .arg(roots)
            .arg("--state")
            .arg(place.state())
            .args(more)
            .stdout(Stdio::null())
            .stderr(Stdio::inherit());
        let process = Process(command.spawn().unwrap());
        let (state, folder) = (place.state(), place.folder().to_owned());
        let edge = Self { process, https: place.https, admin: place.admin, state, folder };
        wait_for("the edge to be ready", || {
            client::try_get(edge.admin, "/readyz").ok().filter(|answer| answer.status == 200)
        });
        edge
    }

    /// Asks it to leave, and waits.
    pub fn stop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.process.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        assert!(self.process.0.wait().unwrap().success());
    }

    /// Without a warning.
    pub fn kill(mut self) {
        self.process.0.kill().unwrap();
        self.process.0.wait().unwrap();
    }

    /// Whether a client that trusts this root alone gets an answer for the name.
    pub fn serves(&self, name: &str, root: &Path) -> bool {
        let Ok(mut connection) = Connection::tls(self.https, root, name, &["http/1.1"]) else { return false };
        let request = format!("GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n");
        connection.send(request).and_then(|()| connection.answer()).is_ok()
    }

    pub fn internal_root(&self) -> PathBuf {
        let path = self.folder.join("internal-root.pem");
        fs::write(&path, client::try_get(self.admin, "/ca.pem").unwrap().body).unwrap();
        path
    }

    pub fn ready(&self) -> String {
        client::try_get(self.admin, "/readyz").unwrap().text()
    }

    /// A sample's value by its name and labels; 0 when it is not there.
    pub fn metric(&self, name: &str) -> u64 {
        let text = client::try_get(self.admin, "/metrics").unwrap().text();
        let value = text.lines().find_map(|line| line.strip_prefix(&format!("monodon_edge_{name} "))?.parse().ok());
        value.unwrap_or(0)
    }

    /// Keys and folders of keys are the owner's alone.
    pub fn nothing_open_to_others(&self) {
        let mut folders = vec![self.state.join("internal-ca"), self.state.join("acme")];
        let mut files = 0;
        while let Some(folder) = folders.pop() {
            assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o077, 0, "{}", folder.display());
            for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
                if entry.file_type().unwrap().is_dir() {
                    folders.push(entry.path());
                } else {
                    files += 1;
                    assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", entry.path());
                }
            }
        }
        // The root and its public part, the account, the lock; the certificate and the attempts of a name.
        assert!(files >= 6, "{files} files");
    }
}
