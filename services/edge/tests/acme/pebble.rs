//! A real CA to test against: Pebble, Let's Encrypt's test server, and its DNS, each a process of its own.

use crate::common::{Connection, free_port};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take that usually takes a moment.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Ends with its owner.
pub struct Process(pub Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub struct Pebble {
    _dns: Process,
    _pebble: Process,
    management: SocketAddr,
    own_management: SocketAddr,
    folder: PathBuf,
    log: PathBuf,
    pub directory: String,
    /// What the edge must trust to talk to it.
    pub roots: PathBuf,
}

/// What a test wants of it.
pub struct Wish {
    pub http_port: u16,
    pub tls_port: u16,
    /// In a hundred.
    pub refused_nonces: u32,
    /// In seconds.
    pub lifetime: u64,
}

/// Waits for what must come.
pub fn wait_for<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

impl Pebble {
    pub fn start(folder: &Path, wish: &Wish) -> Self {
        let (roots, certificate, key) = own_certificate(folder);
        let (directory, management, dns) = (free_port(), free_port(), free_port());
        let own_management = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let config = serde_json::json!({"pebble": {
            "listenAddress": format!("127.0.0.1:{directory}"),
            "managementListenAddress": own_management.to_string(),
            "certificate": certificate, "privateKey": key,
            "httpPort": wish.http_port, "tlsPort": wish.tls_port,
            "ocspResponderURL": "", "externalAccountBindingRequired": false,
            "certificateValidityPeriod": wish.lifetime,
        }});
        let path = folder.join("pebble.json");
        fs::write(&path, config.to_string()).unwrap();
        let management = SocketAddr::from(([127, 0, 0, 1], management));

        let dns_process = spawn(
            Command::new("pebble-challtestsrv")
                .args(["-dns01", &format!("127.0.0.1:{dns}"), "-management", &management.to_string()])
                .args(["-defaultIPv6", "", "-http01", "", "-https01", "", "-tlsalpn01", ""]),
            &folder.join("dns.log"),
        );
        let log = folder.join("pebble.log");
        let pebble = spawn(
            Command::new("pebble")
                .arg("-config")
                .arg(&path)
                .args(["-dnsserver", &format!("127.0.0.1:{dns}")])
                .env("PEBBLE_VA_NOSLEEP", "1")
                .env("PEBBLE_AUTHZREUSE", "0")
                .env("PEBBLE_WFE_NONCEREJECT", wish.refused_nonces.to_string())
                .env_remove("PEBBLE_VA_ALWAYS_VALID"),
            &log,
        );
        let own = Self {
            _dns: dns_process,
            _pebble: pebble,
            management,
            own_management,
            folder: folder.to_owned(),
            log,
            directory: format!("https://127.0.0.1:{directory}/dir"),
            roots,
        };
        wait_for("Pebble and its DNS to listen", || {
            let directory = SocketAddr::from(([127, 0, 0, 1], directory));
            [directory, management, own_management].iter().all(|door| TcpStream::connect(door).is_ok()).then_some(())
        });
        own
    }

    /// From now on the name's DNS answers SERVFAIL.
    pub fn break_dns(&self, name: &str) {
        let body = format!(r#"{{"host":"{name}"}}"#);
        let mut stream = TcpStream::connect(self.management).unwrap();
        write!(
            stream,
            "POST /set-servfail HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }

    /// The root of what it issues, as a file; it makes a new one whenever it starts.
    pub fn issued_root(&self) -> PathBuf {
        let mut connection = Connection::tls(self.own_management, &self.roots, "127.0.0.1", &[]).unwrap();
        let answer = connection.ask("GET /roots/0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        let path = self.folder.join("issued-root.pem");
        fs::write(&path, answer.body).unwrap();
        path
    }

    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap()
    }

    /// Orders that the CA has made so far.
    pub fn orders(&self) -> usize {
        self.log().lines().filter(|line| line.contains("Added order")).count()
    }
}

fn spawn(command: &mut Command, log: &Path) -> Process {
    let file = File::create(log).unwrap();
    command.stdin(Stdio::null()).stdout(file.try_clone().unwrap()).stderr(file);
    match command.spawn() {
        Ok(child) => Process(child),
        Err(error) => panic!(
            "{:?} cannot be started ({error}): these tests need Pebble, as in Debian's package pebble, in the PATH",
            command.get_program()
        ),
    }
}

/// Pebble's own TLS: a small CA, and a certificate of its for 127.0.0.1.
fn own_certificate(folder: &Path) -> (PathBuf, PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let root = params.self_signed(&key).unwrap();
    let issuer = Issuer::new(params, key);
    let leaf_key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let paths = (folder.join("roots.pem"), folder.join("leaf.pem"), folder.join("leaf.key"));
    fs::write(&paths.0, root.pem()).unwrap();
    fs::write(&paths.1, leaf.pem()).unwrap();
    fs::write(&paths.2, leaf_key.serialize_pem()).unwrap();
    paths
}
