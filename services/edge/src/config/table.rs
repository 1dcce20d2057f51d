//! Every setting of the edge, declared once: flag, file key, variable, help and reference follow from it.

use super::options::with_options;
use super::upstreams;
use monodon_settings::{Kind, Schema, Section, Setting};

pub const SCHEMA: Schema = Schema {
    service: "edge",
    sections: with_options!(
        new,
        Section::new("The edge", SETTINGS),
        Section::new("Clients' addresses", super::proxies::SETTINGS),
        Section::new("How the upstream is spoken to", super::transport::FLAT),
        Section::new("Balancing", upstreams::balance::SETTINGS),
        Section::new("Health of upstreams", upstreams::health::SETTINGS),
    ),
    tables: super::sites::TABLES,
    refused: &[],
};

const fn setting(key: &'static str, kind: Kind, default: &'static str, words: &'static str) -> Setting {
    Setting { key, kind, default, words, ..Setting::NEW }
}

const fn shared(key: &'static str, kind: Kind, default: &'static str, words: &'static str) -> Setting {
    Setting { shared: true, ..setting(key, kind, default, words) }
}

const LISTENERS: Kind = Kind::List(&Kind::Listen);
const TEXTS: Kind = Kind::List(&Kind::Text);
const PORT: Kind = Kind::Int { min: 0, max: 65535 };

const SETTINGS: &[Setting] = &[
    setting(
        "http",
        LISTENERS,
        "",
        "Addresses to serve plain HTTP on. Together with `https` they redirect there; alone they serve.",
    ),
    setting("https", LISTENERS, "", "Addresses to serve HTTPS on: HTTP/2 and HTTP/1.1, TLS 1.2 and 1.3."),
    setting(
        "upstream",
        TEXTS,
        "",
        "The application: `worker:8000`, `https://app.example` or `unix:PATH`, perhaps with words behind it as in `servers`. Names are resolved again and \
         again; all their addresses are used.",
    ),
    setting(
        "upstream_check",
        Kind::Text,
        "",
        "What is asked at each address of the upstream every second, such as `:9102/readyz` or `/healthz`; empty tries \
         to connect only.",
    ),
    setting(
        "static",
        TEXTS,
        "",
        "Folders to serve files from, each as `/prefix/=DIR`. Never outside the folder, no dot files, no listings but with \
         `autoindex`.",
    ),
    setting(
        "uploads",
        TEXTS,
        "/media/, /uploads/",
        "Prefixes of `static` whose files come from users: HTML is downloaded, SVG sandboxed, nothing is cached for others.",
    ),
    setting(
        "state",
        Kind::Path,
        "",
        "Folder of certificates, keys and the control socket; by default `monodon/edge` in `$XDG_STATE_HOME` or \
         `~/.local/state`.",
    ),
    setting("spool", Kind::Path, "", "Folder for bodies that outgrow `buffer_memory`; by default `spool` in `state`."),
    setting("spool_limit", Kind::Size, "1GB", "How much of the spool's disk all bodies together may use."),
    setting(
        "buffer_memory_total",
        Kind::Size,
        "64MB",
        "How much of all requests' bodies together is kept in memory, and as much of all answers'; more goes to the spool.",
    ),
    setting("threads", Kind::Text, "auto", "Data threads; `auto` is the CPU quota, at most 2."),
    shared(
        "domains",
        TEXTS,
        "",
        "The names of the site. With them another host gets 404, or 421 over TLS; without, any host is served.",
    ),
    shared(
        "acme_email",
        Kind::Text,
        "",
        "With `domains`, the address that certificates are ordered with, which also agrees to the CA's terms. Without, the \
         internal CA issues.",
    ),
    setting(
        "acme_directory",
        Kind::Text,
        "https://acme-v02.api.letsencrypt.org/directory",
        "The ACME directory to order certificates from.",
    ),
    setting("acme_ca", Kind::Path, "", "PEM file of the CA that the ACME directory's own HTTPS is checked against."),
    setting(
        "local_names",
        TEXTS,
        "",
        "Names and addresses for the internal CA's certificate beside `localhost`, `*.localhost`, `127.0.0.1` and `::1`.",
    ),
    setting("public_http_port", PORT, "0", "The port clients see for `http`, where it is published as another one."),
    setting(
        "public_https_port",
        PORT,
        "0",
        "The port clients see for `https`, where it is published as another one: redirects and X-Forwarded-Port use it.",
    ),
    setting("admin", Kind::Listen, "127.0.0.1:9101", "Address of `/healthz`, `/readyz`, `/metrics` and `/ca.pem`."),
    Setting {
        secret: true,
        ..setting(
            "admin_token",
            Kind::Text,
            "",
            "What `Authorization: Bearer` has to say at `admin` for everything but `/healthz` and `/readyz`; empty: nothing. (The \
             control socket needs none.) The sidecar's `admin_token` sends it.",
        )
    },
    setting("head_limit", Kind::Size, "32KB", "The largest request head; more is answered 431."),
    setting("line_limit", Kind::Size, "8KB", "The longest request line; more is answered 414."),
    setting("fields_limit", Kind::Int { min: 1, max: 1000 }, "100", "The most header fields; more is answered 431."),
    setting(
        "connections_limit",
        Kind::Int { min: 1, max: 10_000_000 },
        "10000",
        "Client connections at a time, in all.",
    ),
    setting(
        "keepalive_requests",
        Kind::Int { min: 0, max: 1_000_000_000 },
        "0",
        "Requests that one connection may bring before it is closed in order. 0 is any number.",
    ),
    setting(
        "http2_max_concurrent_streams",
        Kind::Int { min: 1, max: 10_000 },
        "128",
        "Requests at a time on one HTTP/2 connection.",
    ),
    setting(
        "http2_glitches",
        Kind::Int { min: 0, max: 1_000_000_000 },
        "1000",
        "Frames that do nothing (PING, SETTINGS, PRIORITY, RST_STREAM, CONTINUATION, empty DATA, windows opened by crumbs) on \
         one HTTP/2 connection in ten seconds; a request given up before its answer counts as five, and an answered one makes \
         up for five. More end the connection with ENHANCE_YOUR_CALM (haproxy: `glitches-threshold`). 0 is any number.",
    ),
    setting(
        "connections_per_client",
        Kind::Int { min: 0, max: 10_000_000 },
        "0",
        "Connections of one client at a time; more are closed, on plain HTTP with a 429. 0 is any number. Trusted proxies \
         bring many clients and are not counted.",
    ),
    setting(
        "handshakes_per_client",
        Kind::Int { min: 0, max: 1_000_000 },
        "0",
        "TLS handshakes of one client at a time; more are closed. 0 is any number.",
    ),
    setting(
        "handshake_rate",
        Kind::Text,
        "",
        "TLS handshakes of one client in a time, such as `10/s`; at least 20 or a second's worth may come at once. More are closed. Empty \
         is any number.",
    ),
    setting(
        "limit_exempt",
        TEXTS,
        "",
        "Networks such as `10.0.0.0/8` for which no limit by client holds. None ever holds for the network's own gateway, \
         behind which an engine's proxy hides all clients (`/readyz` tells).",
    ),
    setting(
        "limit_ipv6_prefix",
        Kind::Int { min: 1, max: 128 },
        "64",
        "IPv6 addresses that have so many bits in common are one client to every limit: a household has as many addresses \
         as it likes.",
    ),
    Setting {
        aliases: &["client_header_timeout"],
        ..setting(
            "head_timeout",
            Kind::Duration,
            "10s",
            "For the whole head of a request; then 408, or over HTTP/2 the end of the connection, once what is answered on it has been. Also for a TLS handshake.",
        )
    },
    Setting {
        aliases: &["keepalive_timeout"],
        ..setting(
            "idle_timeout",
            Kind::Duration,
            "60s",
            "How long an idle connection is kept, of clients and upstreams.",
        )
    },
    Setting {
        aliases: &["proxy_connect_timeout"],
        ..setting(
            "connect_timeout",
            Kind::Duration,
            "1s",
            "For a connection to the upstream, TLS with it included; then 502: a host that is gone refuses nothing, and is down all the same (nginx: proxy_connect_timeout, with 504).",
        )
    },
    setting("queue_timeout", Kind::Duration, "10s", "How long a request waits for a free slot of the upstream."),
    setting(
        "queue_per_slot",
        Kind::Int { min: 0, max: 100_000 },
        "100",
        "How many requests may wait for each slot of the upstream; more are answered 503. Those that are hashed or stick to one server count there alone.",
    ),
    setting(
        "max_connections",
        Kind::Int { min: 1, max: 1_000_000 },
        "512",
        "Connections to an upstream that does not say how many slots it has.",
    ),
    upstreams::balance::KEY,
    setting(
        "shutdown_delay",
        Kind::Duration,
        "0s",
        "After SIGTERM, how long new work is still accepted while `/readyz` already says 503.",
    ),
    setting("graceful_timeout", Kind::Duration, "30s", "After that, how long what runs may take to finish."),
    setting(
        "close_spread",
        Kind::Duration,
        "5s",
        "After that, the time over which WebSockets and event streams, which would not end by themselves, are ended one by one: their \
         clients do not all come back at once. At most `graceful_timeout`.",
    ),
    setting(
        "reload_on_change",
        Kind::Bool,
        "false",
        "Reload by itself when the configuration, or a file that it names, has changed and is whole. For development, and for files \
         that an orchestrator replaces; what is wrong is refused as by `reload`, and said in the log.",
    ),
    setting("access_log", Kind::Text, "stdout", "`stdout`, `off`, or the path of a file."),
    setting(
        "access_log_format",
        Kind::Text,
        "json",
        "`json`, `combined` (as nginx and Apache write it), or a line with nginx's variables: `$remote_addr $request_id \
         \"$request\" $status $body_bytes_sent $request_time`. Those of headers are `$http_NAME` and `$sent_http_NAME`; \
         `$cookie_NAME`, `$arg_NAME`, `$remote_user`, `$upstream_addr`, `$upstream_status`, `$upstream_response_time`, \
         `$queue_time`, `$route`, `$site`, `$trace_id`, `$ssl_protocol` and others are known. Times are in UTC (nginx: log_format).",
    ),
    setting(
        "access_log_escape",
        Kind::Choice(&["default", "json"]),
        "default",
        "How a format's values are written: `default` is nginx's `\\xXX` for quotes, backslashes and what is not printable \
         ASCII, with `-` for what is not there; `json` is for values between quotes of a JSON line.",
    ),
    setting(
        "access_log_query",
        Kind::Bool,
        "false",
        "Log query strings too, of referers as well; they often hold secrets.",
    ),
    setting(
        "csp_report_path",
        Kind::Text,
        "/.monodon/csp-report",
        "Where browsers report violations of `csp` and `csp_report_only` to, on every site: they are counted by directive \
         and logged. `off` takes none.",
    ),
    setting(
        "status_page",
        Kind::Text,
        "",
        "Path prefix to show the sidecar's page under, such as `/status/`; empty is off.",
    ),
    setting("status_upstream", Kind::Address, "", "Where the sidecar is, such as `sidecar:9100`."),
    Setting {
        secret: true,
        ..setting("status_password", Kind::Text, "", "Password of the user `monodon` for `status_page`; none, no page.")
    },
    shared("log_level", Kind::Choice(&["error", "warn", "info", "debug", "trace"]), "info", "How much to log."),
    shared("log_format", Kind::Choice(&["auto", "json", "text"]), "auto", "`auto` is text on a terminal, else JSON."),
];

#[cfg(test)]
mod tests {
    use super::SCHEMA;

    #[test]
    fn table_has_no_faults() {
        assert_eq!(SCHEMA.faults(), Vec::<String>::new());
    }

    #[test]
    fn reference_page_is_current() {
        let page = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/reference/edge.md");
        SCHEMA.check_reference(&page).unwrap();
    }

    /// Compose hands on only what it names. UPDATE_REFERENCE=1 adds what is missing.
    #[test]
    fn every_setting_reaches_the_edge_in_compose() {
        // What the image says itself.
        let own = ["HTTP", "HTTPS", "ADMIN", "STATE", "SPOOL"].map(|name| format!("MONODON_EDGE_{name}"));
        let settings = SCHEMA.sections.iter().flat_map(|section| section.settings);
        let names: Vec<String> = settings
            .filter(|setting| !setting.shared)
            .map(|setting| SCHEMA.variable(setting))
            .filter(|name| !own.contains(name))
            .collect();
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for file in ["compose.yaml", "services/worker/python/monodon/templates/compose.yaml"] {
            let text = std::fs::read_to_string(root.join(file)).unwrap();
            let missing: Vec<&String> =
                names.iter().filter(|name| !text.contains(&format!("\n      {name}:"))).collect();
            if missing.is_empty() {
                continue;
            }
            assert!(std::env::var_os("UPDATE_REFERENCE").is_some(), "{file} does not hand on {missing:?}");
            let ports = "    ports:\n      - \"${MONODON_EDGE_PUBLIC_HTTP_PORT:-80}:80\"";
            let lines: String = missing.iter().map(|name| format!("      {name}:\n")).collect();
            std::fs::write(root.join(file), text.replacen(ports, &format!("{lines}{ports}"), 1)).unwrap();
        }
    }
}
