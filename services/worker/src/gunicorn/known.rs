//! The settings of gunicorn 27, in the order of its documentation.

use super::table::How::{Different, Edge, Hook, Idle, Refused, Renamed, Same};
use super::table::Is::{self, Bool, Dict, Int, List, Octal, Plain, Text, Words};
use super::table::Known;

const TLS: &str = "TLS ends at the proxy before the worker: the edge gets certificates by itself (see its reference), and any other \
                   proxy will do";
const HTTP2: &str = "the worker speaks HTTP/1.1 to the proxy before it; the edge speaks HTTP/2 and HTTP/3 with clients";
const DIRTY: &str = "there are no dirty arbiters; long work belongs to a task queue (Celery, RQ, Huey, Django's tasks) in a \
                     process of its own";
const STRICT: &str = "requests are read as RFC 9112 says, for what a lenient server takes is what smuggling is made of; \
                      mend the client, or have a proxy before the worker that does";
const ASGI: &str = "ASGI applications are not served yet; keep them under uvicorn until then";

const fn k(name: &'static str, is: Is, how: super::table::How, words: &'static str) -> Known {
    Known::new(name, is, how, words)
}

const fn hook(name: &'static str) -> Known {
    Known::new(name, Is::Hook, Hook, "")
}

pub const KNOWN: &[Known] = &[
    // Config file
    k(
        "config",
        Text,
        Different,
        "A path, `file:PATH` or `python:MODULE`; `./gunicorn.conf.py` when none is named. A name that ends in `.toml` is a \
         TOML file of ours. In the file itself it means nothing, as under gunicorn.",
    )
    .short('c'),
    k("wsgi_app", Text, Renamed("app"), "The first argument wins over it, as under gunicorn."),
    // Server socket
    k(
        "bind",
        List,
        Different,
        "`PORT` is honoured as under gunicorn. `fd://` stands beside other binds (gunicorn then ignores those), a unix socket \
         that another server answers on is not taken away from it, and SIGHUP opens what is new before it closes what is gone.",
    )
    .short('b'),
    k("backlog", Int, Same, ""),
    // Worker processes
    k(
        "workers",
        Int,
        Different,
        "The default is `auto`, from the CPU quota and the memory limit, not 1; none at all (0) is refused. `WEB_CONCURRENCY` is \
         honoured.",
    )
    .short('w'),
    k(
        "worker_class",
        Plain,
        Different,
        "`sync` and `gthread` are accepted, and alike: `threads` alone decides. Greenlets (gevent, eventlet), tornado, ASGI \
         and classes of one's own are refused.",
    )
    .short('k'),
    k("threads", Int, Same, ""),
    k("worker_connections", Int, Different, "It holds without threads as well."),
    k("max_requests", Int, Same, "The new process is ready before the old one leaves."),
    k("max_requests_jitter", Int, Same, ""),
    k(
        "timeout",
        Int,
        Different,
        "It is a request's time, also with threads: from the call of the application to its first byte, then for each further \
         part. What is killed for it leaves its Python stacks in the log.",
    )
    .short('t'),
    k("graceful_timeout", Int, Same, ""),
    k(
        "keepalive",
        Int,
        Different,
        "The default is 75 s, not 2 s, and it holds without threads as well (gunicorn's sync workers keep no connection).",
    )
    .flags(&["keep-alive"]),
    // Security
    k("limit_request_line", Int, Different, "The default is 8190, not 4094; it may be up to 1 MB, and 0 is that."),
    k("limit_request_fields", Int, Same, ""),
    k("limit_request_field_size", Int, Different, "Up to 1 MB, and 0 is that; see `head_limit` for all fields together.").flags(&["limit-request-field_size"]),
    // Debugging
    k("reload", Bool, Same, "").switch(),
    k("reload_engine", Plain, Same, ""),
    k("reload_extra_files", List, Same, "").flags(&["reload-extra-file"]),
    k(
        "spew",
        Bool,
        Refused(&["false"]),
        "no trace of every line is written; `monodon-worker dump PID` prints what a process does right now, and py-spy \
         follows it",
    )
    .switch(),
    k("check_config", Bool, Same, "A wrong configuration is exit code 2, an application that cannot be imported 3.").switch(),
    k("print_config", Bool, Same, "It prints our settings, each with where it comes from.").switch(),
    // Server mechanics
    k("preload_app", Bool, Different, "A reload imports the application anew, which gunicorn does not.")
        .flags(&["preload"])
        .switch(),
    k(
        "sendfile",
        Bool,
        Different,
        "`sendfile = True` in the file is on; gunicorn takes any value there for off. `SENDFILE` is honoured.",
    )
    .flags(&["no-sendfile"]).switch(),
    k(
        "reuse_port",
        Bool,
        Different,
        "The processes of one worker share its socket; gunicorn opens one for each, whose waiting connections die with it.",
    )
    .switch(),
    k("chdir", Text, Same, ""),
    k("daemon", Bool, Same, "Refused for process 1, where it would end the container.")
    .short('D')
    .switch(),
    k("raw_env", List, Same, "").flags(&["env"]).short('e'),
    k("pidfile", Text, Same, "").flags(&["pid"]).short('p'),
    k(
        "worker_tmp_dir",
        Text,
        Idle,
        "Processes report their health in shared memory that has no name; no file is touched.",
    ),
    k(
        "user",
        Text,
        Different,
        "No Python of yours runs as root: not the application under `preload_app`, nor the hooks of the arbiter. Only the \
         configuration file itself is read as root.",
    )
    .short('u'),
    k(
        "group",
        Text,
        Different,
        "Where only `user` is given, it is that user's own group, and supplementary groups are given up; gunicorn stays in \
         root's.",
    )
    .short('g'),
    k("umask", Octal, Different, "The default for unix sockets is `socket_mode` 660, not open to all.").short('m'),
    k("initgroups", Bool, Same, "").switch(),
    k("tmp_upload_dir", Text, Same, ""),
    k("secure_scheme_headers", Dict, Different, "Of a list the last entry counts, in any case."),
    k(
        "forwarded_allow_ips",
        Words,
        Different,
        "The default is loopback and the private networks, where the edge is, not loopback alone; `unix` stands for unix \
         sockets. `FORWARDED_ALLOW_IPS` is honoured.",
    ),
    // Logging
    k("accesslog", Text, Same, "`off` is none, too.").flags(&["access-logfile"]),
    k("disable_redirect_access_to_syslog", Bool, Same, "").switch(),
    k(
        "access_log_format",
        Plain,
        Different,
        "The default is `auto`: JSON where the other lines are, else gunicorn's default, which `combined` names.",
    )
    .flags(&["access-logformat"]),
    k("errorlog", Text, Different, "The default is stdout, where a container's logs are read; `-` is stderr.").flags(&["error-logfile", "log-file"]),
    k("loglevel", Plain, Renamed("log_level"), "").flags(&["log-level"]),
    k("capture_output", Bool, Same, "").switch(),
    k(
        "logger_class",
        Plain,
        Different,
        "gunicorn's own classes are accepted; one's own is refused, for lines are made outside of Python: \
         `access_log_format` shapes them, `logconfig_dict` sends them through handlers of Python's, `statsd_host` counts them.",
    ),
    k("logconfig", Text, Same, "").flags(&["log-config"]),
    k("logconfig_dict", Dict, Same, ""),
    k("logconfig_json", Text, Same, "").flags(&["log-config-json"]),
    k("syslog_addr", Plain, Same, "").flags(&["log-syslog-to"]),
    k("syslog", Bool, Same, "").flags(&["log-syslog"]).switch(),
    k("syslog_prefix", Text, Same, "").flags(&["log-syslog-prefix"]),
    k("syslog_facility", Plain, Same, "").flags(&["log-syslog-facility"]),
    k("enable_stdio_inheritance", Bool, Same, "").short('R').switch(),
    k("statsd_host", Text, Same, ""),
    k("dogstatsd_tags", Plain, Same, ""),
    k("statsd_prefix", Plain, Same, ""),
    k("enable_backlog_metric", Bool, Same, "").switch(),
    // Process naming
    k("proc_name", Text, Same, "No setproctitle is needed.").flags(&["name"]).short('n'),
    k("default_proc_name", Plain, Same, "The name of a process when `proc_name` gives none."),
    k("pythonpath", Text, Same, ""),
    k("paste", Text, Same, "It may stand in the configuration file, too.").flags(&["paste", "paster"]),
    // Server hooks
    hook("on_starting"),
    hook("on_reload"),
    hook("when_ready"),
    hook("pre_fork"),
    hook("post_fork"),
    hook("post_worker_init"),
    hook("worker_int"),
    hook("worker_abort"),
    hook("pre_exec"),
    hook("pre_request"),
    hook("post_request"),
    hook("child_exit"),
    hook("worker_exit"),
    hook("nworkers_changed"),
    hook("on_exit"),
    k("ssl_context", Is::Hook, Edge(&[]), TLS),
    k(
        "proxy_protocol",
        Plain,
        Different,
        "`UNKNOWN` (health checks) is taken, as the protocol wants it. Forwarded headers are believed if the client that the \
         header names is trusted, not if the proxy is, which passes them on unread.",
    ),
    k("proxy_allow_ips", Words, Same, "").flags(&["proxy-allow-from"]),
    k(
        "protocol",
        Plain,
        Refused(&["http"]),
        "the worker speaks HTTP alone; where nginx has `uwsgi_pass`, write `proxy_pass http://…`",
    ),
    k(
        "uwsgi_allow_ips",
        Words,
        Refused(&["127.0.0.1,::1"]),
        "the uwsgi protocol is not spoken; where nginx has `uwsgi_pass`, write `proxy_pass http://…`",
    )
    .flags(&["uwsgi-allow-from"]),
    // SSL
    k("keyfile", Text, Edge(&[]), TLS),
    k("certfile", Text, Edge(&[]), TLS),
    // gunicorn itself reads it and does nothing with it.
    k("ssl_version", Text, Edge(&["2", "16", "17"]), TLS),
    k("cert_reqs", Int, Edge(&["0"]), TLS),
    k("ca_certs", Text, Edge(&[]), TLS),
    k("suppress_ragged_eofs", Bool, Edge(&["true", "false"]), TLS).switch(),
    k("do_handshake_on_connect", Bool, Edge(&["false"]), TLS).switch(),
    k("ciphers", Text, Edge(&[]), TLS),
    // HTTP/2
    k("http_protocols", Words, Edge(&["h1"]), HTTP2),
    k("http2_cleartext", Plain, Edge(&["off", "false"]), HTTP2),
    k("http2_max_concurrent_streams", Int, Edge(&["100"]), HTTP2),
    k("http2_initial_window_size", Int, Edge(&["65535"]), HTTP2),
    k("http2_max_frame_size", Int, Edge(&["16384"]), HTTP2),
    k("http2_max_header_list_size", Int, Edge(&["65536"]), HTTP2),
    k("raw_paste_global_conf", List, Same, "").flags(&["paste-global"]),
    k("permit_obsolete_folding", Bool, Refused(&["false"]), STRICT).switch(),
    k("strip_header_spaces", Bool, Refused(&["false"]), STRICT).switch(),
    k(
        "permit_unconventional_http_method",
        Bool,
        Refused(&["false"]),
        "a method is whatever RFC 9110 calls a token, in capitals and short; other methods need another server",
    )
    .switch(),
    k(
        "permit_unconventional_http_version",
        Bool,
        Refused(&["false"]),
        "HTTP/1.0 and HTTP/1.1 are spoken; a proxy before the worker translates whatever else there may be",
    )
    .switch(),
    k(
        "casefold_http_method",
        Bool,
        Refused(&["false"]),
        "methods are case-sensitive (RFC 9110, 9.1); mend the client that sends them in lower case",
    )
    .switch(),
    k("forwarder_headers", Words, Same, ""),
    k("header_map", Plain, Same, ""),
    k("asgi_loop", Plain, Refused(&["auto"]), ASGI),
    k("asgi_lifespan", Plain, Refused(&["auto"]), ASGI),
    k("asgi_disconnect_grace_period", Int, Refused(&["3"]), ASGI),
    k("websocket_max_message_size", Int, Refused(&["16777216"]), ASGI),
    k("http_parser", Plain, Idle, "There is one parser, and it is fast."),
    k("root_path", Plain, Different, "It is SCRIPT_NAME for WSGI too, for which gunicorn looks at the environment alone (as we do without it)."),
    // Dirty arbiters
    k("dirty_apps", List, Refused(&[]), DIRTY).flags(&["dirty-app"]),
    k("dirty_workers", Int, Refused(&["0"]), DIRTY),
    k("dirty_timeout", Int, Refused(&["300"]), DIRTY),
    k("dirty_threads", Int, Refused(&["1"]), DIRTY),
    k("dirty_graceful_timeout", Int, Refused(&["30"]), DIRTY),
    k("on_dirty_starting", Is::Hook, Refused(&[]), DIRTY),
    k("dirty_post_fork", Is::Hook, Refused(&[]), DIRTY),
    k("dirty_worker_init", Is::Hook, Refused(&[]), DIRTY),
    k("dirty_worker_exit", Is::Hook, Refused(&[]), DIRTY),
    // Control
    k(
        "control_socket",
        Text,
        Renamed("control"),
        "`monodon-worker status`, `reload` and `dump` talk to it; gunicornc does not.",
    ),
    k(
        "control_socket_mode",
        Octal,
        Refused(&["384", "0600", "0o600"]),
        "the control socket is the owner's alone (0600); run `monodon-worker` verbs as the same user",
    ),
    k("control_socket_disable", Bool, Same, "").flags(&["no-control-socket"]).switch(),
];
