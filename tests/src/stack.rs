//! A compose project of a test's own: up on free ports, driven through `docker compose`, down when the test process ends.

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
};

pub use crate::ports::free_port;
use crate::{browser::Browser, root};

pub struct Stack {
    pub project: String,
    pub http: u16,
    pub https: u16,
    folder: PathBuf,
    files: Vec<PathBuf>,
    profiles: Vec<String>,
    environment: Vec<(String, String)>,
    /// Lives on a pipe from us: when we are gone, however we went, it reads the end and takes the stack down.
    undertaker: Child,
}

/// What a stack is made of, before it is up.
pub struct Plan {
    name: String,
    folder: PathBuf,
    files: Vec<PathBuf>,
    profiles: Vec<String>,
    environment: Vec<(String, String)>,
    services: Vec<String>,
}

impl Plan {
    /// The appliance of this repository, with the tests' overlay.
    #[must_use]
    pub fn appliance(name: &str) -> Self {
        Self::of(name, root(), &["compose.yaml", "compose.test.yaml"])
    }

    /// Somebody's own project: its folder and compose files.
    #[must_use]
    pub fn of(name: &str, folder: &Path, files: &[&str]) -> Self {
        Self {
            name: name.to_owned(),
            folder: folder.to_owned(),
            files: files.iter().map(|file| folder.join(file)).collect(),
            profiles: Vec::new(),
            environment: Vec::new(),
            services: Vec::new(),
        }
    }

    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    #[must_use]
    pub fn profile(mut self, name: &str) -> Self {
        self.profiles.push(name.to_owned());
        self
    }

    /// Only these services (and what they depend on); all of them when never called.
    #[must_use]
    pub fn only(mut self, services: &[&str]) -> Self {
        self.services = services.iter().map(|&name| name.to_owned()).collect();
        self
    }

    /// Brings the stack up and waits until every service is healthy. Panics with the failing services' last lines.
    #[must_use]
    pub fn up(self) -> Stack {
        let services = self.services.clone();
        let stack = self.prepare();
        let mut arguments = vec!["up", "--detach", "--wait", "--wait-timeout", "90"];
        if stack.folder == root() {
            arguments.push("--no-build");
        } else {
            arguments.push("--build");
        }
        arguments.extend(services.iter().map(String::as_str));
        let done = stack.compose(&arguments);
        if !done.status.success() {
            let logs = stack.compose(&["logs", "--no-color", "--tail", "20"]);
            panic!(
                "{}: the stack does not come up\n{}{}{}",
                stack.project,
                text(&done.stdout),
                text(&done.stderr),
                text(&logs.stdout)
            );
        }
        stack
    }

    /// Ports, names and the undertaker, with nothing started yet.
    #[must_use]
    pub fn prepare(self) -> Stack {
        let (http, https) = (free_port(), free_port());
        let run = std::env::var("MONODON_TEST_RUN").unwrap_or_else(|_| "native".to_owned());
        let project = format!("monodon-test-{run}-{}-{}", self.name, std::process::id());
        let mut environment: Vec<_> = [
            ("MONODON_EDGE_PUBLIC_HTTP_PORT", http),
            ("MONODON_EDGE_PUBLIC_HTTPS_PORT", https),
            ("MONODON_TEST_HTTP_PORT", http),
            ("MONODON_TEST_HTTPS_PORT", https),
            ("MONODON_STATUS_PORT", free_port()),
        ]
        .into_iter()
        .map(|(name, port)| (name.to_owned(), port.to_string()))
        .collect();
        environment.extend(self.environment);
        let mut down = command(&project, &self.folder, &self.files, &["*".to_owned()], &environment);
        down.args(["down", "--volumes", "--remove-orphans", "--timeout", "1"]);
        let words: Vec<_> = down.get_args().map(|word| format!("'{}'", word.to_string_lossy())).collect();
        let undertaker = Command::new("setsid")
            .args(["sh", "-c", &format!("read -r _; exec docker {} >/dev/null 2>&1", words.join(" "))])
            .current_dir(&self.folder)
            .envs(environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .spawn()
            .expect("cannot start the process that takes the stack down");
        Stack {
            project,
            http,
            https,
            folder: self.folder,
            files: self.files,
            profiles: self.profiles,
            environment,
            undertaker,
        }
    }
}

impl Stack {
    /// `docker compose … arguments` for this stack.
    #[must_use]
    pub fn compose(&self, arguments: &[&str]) -> Output {
        command(&self.project, &self.folder, &self.files, &self.profiles, &self.environment)
            .args(arguments)
            .stdin(Stdio::null())
            .output()
            .expect("docker cannot be run")
    }

    /// The same, and it must succeed; answers what was printed.
    pub fn must(&self, arguments: &[&str]) -> String {
        let done = self.compose(arguments);
        let (out, err) = (text(&done.stdout), text(&done.stderr));
        assert!(done.status.success(), "docker compose {arguments:?} failed:\n{out}{err}");
        out
    }

    /// The environment that `make` and scripts need to work on this stack.
    #[must_use]
    pub fn environment(&self) -> Vec<(String, String)> {
        let files: Vec<_> = self.files.iter().map(|file| file.display().to_string()).collect();
        let mut all = self.environment.clone();
        all.push(("COMPOSE_PROJECT_NAME".to_owned(), self.project.clone()));
        all.push(("COMPOSE_FILE".to_owned(), files.join(":")));
        all
    }

    #[must_use]
    pub fn containers(&self, service: &str) -> Vec<String> {
        self.must(&["ps", "--quiet", service]).split_whitespace().map(str::to_owned).collect()
    }

    /// What `docker inspect --format` says of a service's first container.
    #[must_use]
    pub fn inspect(&self, container: &str, format: &str) -> String {
        let done = Command::new("docker").args(["inspect", "--format", format, container]).output().expect("docker");
        text(&done.stdout).trim().to_owned()
    }

    /// The host's number of the container's first process.
    #[must_use]
    pub fn pid(&self, container: &str) -> i32 {
        self.inspect(container, "{{.State.Pid}}").parse().expect("a process id")
    }

    /// Where a service's port is published on this host.
    #[must_use]
    pub fn published(&self, service: &str, port: u16) -> String {
        self.must(&["port", service, &port.to_string()]).trim().to_owned()
    }

    #[must_use]
    pub fn logs(&self, service: &str) -> String {
        let done = self.compose(&["logs", "--no-color", "--no-log-prefix", service]);
        text(&done.stdout) + &text(&done.stderr)
    }

    /// The root of the edge's internal CA, in PEM, as a user fetches it.
    #[must_use]
    pub fn ca(&self) -> String {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let target = folder.path().join("ca.pem");
        let _ = self.must(&["cp", "edge:/var/lib/monodon/edge/internal-ca/ca.pem", &target.display().to_string()]);
        std::fs::read_to_string(target).expect("the CA was copied")
    }

    /// A visitor that trusts the internal CA.
    #[must_use]
    pub fn browser(&self) -> Browser {
        Browser::new(self.https, &self.ca())
    }
}

impl Drop for Stack {
    /// Waits until the stack is down, so that the next one has the machine for itself.
    fn drop(&mut self) {
        drop(self.undertaker.stdin.take());
        let _ = self.undertaker.wait();
    }
}

fn command(
    project: &str,
    folder: &Path,
    files: &[PathBuf],
    profiles: &[String],
    environment: &[(String, String)],
) -> Command {
    let mut command = Command::new("docker");
    command.arg("compose").args(["--project-name", project]).arg("--project-directory").arg(folder);
    for file in files {
        command.arg("--file").arg(file);
    }
    for profile in profiles {
        command.args(["--profile", profile]);
    }
    command.envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

#[must_use]
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
