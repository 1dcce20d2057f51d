//! The worker's settings, each declared once: flag, file key, variable, check, help and reference come from here.
//! Where gunicorn has a setting, it has gunicorn's name.

use monodon_settings::{Kind, Schema, Setting};

const COUNT: Kind = Kind::Int { min: 0, max: 1_000_000_000 };

pub const SCHEMA: Schema = Schema { service: "worker", settings: SETTINGS };

const SETTINGS: &[Setting] = &[
    Setting {
        key: "app",
        words: "The application, as `module:attribute`, `module` (then `application` in it) or `module:factory()`. Also the \
                first argument.",
        ..Setting::NEW
    },
    Setting {
        key: "bind",
        kind: Kind::List(&Kind::Address),
        default: "127.0.0.1:8000",
        words: "Where requests come in: `127.0.0.1:8000`, `[::]:8000`, `:8000`, `unix:/run/app.sock`.",
        short: Some('b'),
        ..Setting::NEW
    },
    Setting {
        key: "socket_mode",
        default: "660",
        words: "Permissions of the unix sockets of `bind`, in octal.",
        ..Setting::NEW
    },
    Setting {
        key: "backlog",
        kind: Kind::Int { min: 1, max: 65_535 },
        default: "2048",
        words: "Connections that may wait to be accepted.",
        ..Setting::NEW
    },
    Setting {
        key: "workers",
        default: "auto",
        words: "Processes. `auto` is the smaller of the CPU quota and of the memory limit divided by 150 MB, at least 1. \
                `WEB_CONCURRENCY` is honoured when this is not given.",
        short: Some('w'),
        ..Setting::NEW
    },
    Setting {
        key: "threads",
        kind: Kind::Int { min: 1, max: 1024 },
        default: "1",
        words: "Requests a process works on at a time. With 1 the application is called on the thread that reads the \
                request, which is quickest; more are for applications that wait on others.",
        ..Setting::NEW
    },
    Setting {
        key: "timeout",
        kind: Kind::Duration,
        default: "30s",
        words: "How long the application may take to its first byte, then for each further part. A process past it \
                is killed, its request answered with 504. 0 is no limit.",
        short: Some('t'),
        ..Setting::NEW
    },
    Setting {
        key: "graceful_timeout",
        kind: Kind::Duration,
        default: "30s",
        words: "How long a process that is told to leave may take to finish what it has.",
        ..Setting::NEW
    },
    Setting {
        key: "shutdown_delay",
        kind: Kind::Duration,
        default: "0s",
        words: "After SIGTERM, how long new requests are still taken while `/readyz` says 503 already, so that a balancer \
                can notice.",
        ..Setting::NEW
    },
    Setting {
        key: "boot_timeout",
        kind: Kind::Duration,
        default: "60s",
        words: "How long a process may take to import the application.",
        ..Setting::NEW
    },
    Setting {
        key: "keepalive",
        kind: Kind::Duration,
        default: "75s",
        words: "How long an idle connection is kept; more than the proxy keeps it (the edge: 60 s).",
        aliases: &["keep_alive"],
        ..Setting::NEW
    },
    Setting {
        key: "head_timeout",
        kind: Kind::Duration,
        default: "10s",
        words: "How long a client may take to send a request's head.",
        ..Setting::NEW
    },
    Setting {
        key: "body_timeout",
        kind: Kind::Duration,
        default: "30s",
        words: "How long a client may be silent in the middle of a request's body, or not read its answer.",
        ..Setting::NEW
    },
    Setting {
        key: "max_requests",
        kind: COUNT,
        default: "0",
        words: "A process is replaced after so many requests; 0 is never. The new one is ready before the old one leaves.",
        ..Setting::NEW
    },
    Setting {
        key: "max_requests_jitter",
        kind: COUNT,
        default: "0",
        words: "Up to so many more, by chance, so that processes are not replaced all at once.",
        ..Setting::NEW
    },
    Setting {
        key: "preload_app",
        kind: Kind::Bool,
        default: "false",
        words: "Import the application once, before the processes are forked from it: they share its memory and start in \
                milliseconds. A reload imports it anew.",
        aliases: &["preload"],
        ..Setting::NEW
    },
    Setting {
        key: "reload_surge",
        kind: Kind::Int { min: 1, max: 1024 },
        default: "1",
        words: "How many processes more than `workers` there may be while they are being replaced.",
        ..Setting::NEW
    },
    Setting {
        key: "limit_request_line",
        kind: Kind::Int { min: 64, max: 65_536 },
        default: "8190",
        words: "Longest request line, in bytes.",
        ..Setting::NEW
    },
    Setting {
        key: "limit_request_fields",
        kind: Kind::Int { min: 1, max: 32_768 },
        default: "100",
        words: "Most header fields of a request.",
        ..Setting::NEW
    },
    Setting {
        key: "limit_request_field_size",
        kind: Kind::Int { min: 64, max: 65_536 },
        default: "8190",
        words: "Longest header field, in bytes.",
        ..Setting::NEW
    },
    Setting {
        key: "head_limit",
        kind: Kind::Size,
        default: "32KB",
        words: "Largest head of a request: its line and all fields.",
        ..Setting::NEW
    },
    Setting {
        key: "body_limit",
        kind: Kind::Size,
        default: "32MB",
        words: "Largest body of a request; beyond it, 413.",
        ..Setting::NEW
    },
    Setting {
        key: "forwarded_allow_ips",
        kind: Kind::List(&Kind::Text),
        default: "127.0.0.0/8,::1,10.0.0.0/8,172.16.0.0/12,192.168.0.0/16,fc00::/7,unix",
        words: "From whom `X-Forwarded-*` is believed: addresses, networks, `unix` for unix sockets, `*` for anyone.",
        ..Setting::NEW
    },
    Setting {
        key: "accesslog",
        default: "off",
        words: "Where each request is told: `-` or `stdout`, a file, or `off`. Off by default, as gunicorn's; the images set \
                `-`, so that a request can be followed by its id through all services.",
        aliases: &["access_logfile", "access_log"],
        ..Setting::NEW
    },
    Setting {
        key: "admin",
        kind: Kind::Address,
        default: "127.0.0.1:9102",
        words: "Where `/healthz`, `/readyz` and `/metrics` answer. It only tells; nothing can be changed there.",
        ..Setting::NEW
    },
    Setting {
        key: "control",
        kind: Kind::Path,
        words: "The unix socket (mode 0600) for `monodon-worker status` and `reload`; empty is one under the temporary \
                folder, named by user and admin port.",
        ..Setting::NEW
    },
    Setting {
        key: "chdir",
        kind: Kind::Path,
        words: "The folder to work in; it is put on Python's path.",
        ..Setting::NEW
    },
    Setting {
        key: "pythonpath",
        kind: Kind::List(&Kind::Text),
        words: "More folders for Python's path.",
        ..Setting::NEW
    },
    Setting {
        key: "required_env",
        kind: Kind::List(&Kind::Text),
        words: "Environment variables that the application cannot do without; each may come as `NAME_FILE` instead, and \
                is then exported as `NAME` from that file. What is missing is told at the start, all at once.",
        ..Setting::NEW
    },
    Setting {
        key: "log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug", "trace"]),
        default: "info",
        words: "How much the worker itself tells.",
        shared: true,
        aliases: &["loglevel"],
        ..Setting::NEW
    },
    Setting {
        key: "log_format",
        kind: Kind::Choice(&["auto", "json", "text"]),
        default: "auto",
        words: "`auto` is text on a terminal, else JSON.",
        shared: true,
        ..Setting::NEW
    },
];

#[cfg(test)]
mod tests {
    use super::SCHEMA;

    #[test]
    fn the_table_is_sound() {
        assert_eq!(SCHEMA.faults(), Vec::<String>::new());
    }

    #[test]
    fn the_reference_page_is_what_the_table_says() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/worker.md");
        SCHEMA.check_reference(std::path::Path::new(page)).unwrap();
    }
}
