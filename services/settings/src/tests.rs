use std::ffi::OsString;
use std::time::Duration;

use super::*;

const SCHEMA: Schema =
    Schema { service: "edge", sections: &[Section::new("Some", SETTINGS)], tables: &[], refused: REFUSED };

const REFUSED: &[Refused] = &[
    Refused {
        key: "certfile",
        aliases: &[],
        short: None,
        switch: false,
        nothing: &["none"],
        words: "TLS is the proxy's.",
    },
    Refused {
        key: "spew",
        aliases: &["spew_all"],
        short: Some('S'),
        switch: true,
        nothing: &["false"],
        words: "use py-spy.",
    },
];

const SETTINGS: &[Setting] = &[
    Setting { key: "body_limit", kind: Kind::Size, default: "32MB", words: "Largest body.", ..Setting::NEW },
    Setting { key: "idle_timeout", kind: Kind::Duration, default: "60s", words: "Idle.", ..Setting::NEW },
    Setting {
        key: "threads",
        kind: Kind::Int { min: 0, max: 64 },
        default: "0",
        words: "Threads; 0 is as many as the quota allows.",
        short: Some('t'),
        ..Setting::NEW
    },
    Setting { key: "http", kind: Kind::List(&Kind::Address), words: "Plain listeners.", ..Setting::NEW },
    Setting { key: "domains", kind: Kind::List(&Kind::Text), words: "Names.", shared: true, ..Setting::NEW },
    Setting { key: "state", kind: Kind::Path, words: "Folder.", aliases: &["state-dir"], ..Setting::NEW },
    Setting { key: "hsts", kind: Kind::Bool, default: "true", words: "HSTS.", ..Setting::NEW },
    Setting { key: "status_password", kind: Kind::Text, words: "Password.", secret: true, ..Setting::NEW },
    Setting { key: "env", kind: Kind::Lines(&Kind::Text), words: "Pairs.", short: Some('e'), ..Setting::NEW },
    Setting { key: "quiet", kind: Kind::Bool, words: "Quiet.", short: Some('q'), ..Setting::NEW },
    Setting {
        key: "proxy",
        kind: Kind::Choice(&["off", "auto", "v1"]),
        default: "off",
        words: "Mode.",
        alone: Some("auto"),
        ..Setting::NEW
    },
    Setting { key: "pin", kind: Kind::Int { min: 0, max: 9 }, words: "A number.", secret: true, ..Setting::NEW },
    Setting {
        key: "log_level",
        kind: Kind::Choice(&["error", "warn", "info", "debug"]),
        default: "info",
        words: "How much.",
        shared: true,
        ..Setting::NEW
    },
];

fn load(args: &[&str], env: &[(&str, &str)], file: Option<&str>) -> Result<Values, String> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let env = env.iter().map(|(name, value)| (OsString::from(name), OsString::from(value)));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    if let Some(text) = file {
        std::fs::write(&path, text).unwrap();
    }
    SCHEMA
        .load(&args, env, Some(&path))
        .map_err(|problems| problems.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn the_table_is_sound() {
    assert_eq!(SCHEMA.faults(), Vec::<String>::new());
    const TWICE: Schema = Schema {
        service: "edge",
        sections: &[Section::new(
            "Two",
            &[
                Setting { key: "size", kind: Kind::Size, default: "lots", words: "A size.", ..Setting::NEW },
                Setting { key: "other", aliases: &["size"], ..Setting::NEW },
            ],
        )],
        tables: &[],
        refused: &[],
    };
    assert_eq!(TWICE.faults().len(), 3, "{:?}", TWICE.faults());
}

#[test]
fn defaults_stand_where_nothing_is_given() {
    let values = load(&[], &[], None).unwrap();
    assert_eq!(values.size("body_limit"), 32 << 20);
    assert_eq!(values.duration("idle_timeout"), Duration::from_secs(60));
    assert!(values.bool("hsts"));
    assert_eq!(values.path("state"), None);
    assert!(values.list("http").is_empty());
    assert!(!values.is_set("body_limit"));
}

#[test]
fn flag_over_environment_over_file() {
    let file = Some("threads = 1\nbody_limit = 1024\nidle_timeout = 0.5\nhsts = false\n");
    let env = [("MONODON_EDGE_THREADS", "2"), ("MONODON_EDGE_BODY_LIMIT", "64k")];
    let values = load(&["-t3"], &env, file).unwrap();
    assert_eq!(values.int("threads"), 3);
    assert_eq!(values.source("threads"), &Source::Flag("-t".into()));
    assert_eq!(values.size("body_limit"), 64 << 10);
    assert_eq!(values.duration("idle_timeout"), Duration::from_millis(500));
    assert!(!values.bool("hsts"));
    assert!(values.is_set("hsts"));
}

#[test]
fn an_empty_variable_is_not_set() {
    let values = load(&[], &[("MONODON_EDGE_BODY_LIMIT", ""), ("MONODON_DOMAINS", "")], None).unwrap();
    assert!(!values.is_set("body_limit"));
    assert!(!values.is_set("domains"));
}

#[test]
fn the_shapes_of_a_flag() {
    let args =
        ["app:main", "--http=127.0.0.1:1", "--http", ":2,unix:/run/x", "--no-hsts", "--state_dir", "/s", "-t", "4"];
    let values = load(&[&args[..], &["--", "--not-a-flag"]].concat(), &[], None).unwrap();
    assert_eq!(values.list("http"), ["127.0.0.1:1", ":2", "unix:/run/x"]);
    assert_eq!(values.addresses("http")[1], Address::Port(2));
    assert!(!values.bool("hsts"));
    assert_eq!(values.path("state").unwrap().to_str(), Some("/s"));
    assert_eq!(values.int("threads"), 4);
    assert_eq!(values.positionals(), ["app:main", "--not-a-flag"]);
    assert!(load(&["--hsts=off"], &[], None).is_ok_and(|values| !values.bool("hsts")));
}

#[test]
fn lists_replace_those_of_the_layer_below() {
    let file = Some("domains = [\"a.example\", \"b.example\"]");
    assert_eq!(load(&[], &[], file).unwrap().list("domains"), ["a.example", "b.example"]);
    let env = [("MONODON_DOMAINS", "c.example, d.example")];
    assert_eq!(load(&[], &env, file).unwrap().list("domains"), ["c.example", "d.example"]);
    let both = [("MONODON_DOMAINS", "c.example"), ("MONODON_EDGE_DOMAINS", "own.example")];
    assert_eq!(load(&[], &both, file).unwrap().list("domains"), ["own.example"]);
}

#[test]
fn everything_wrong_is_told_at_once_and_where() {
    let file = Some("# first\nbody_limit = \"lots\"\nbodylimit = 3\ndomains = 7\n[tls]\nx = 1\n");
    let env = [("MONODON_EDGE_BODY_LIMT", "1"), ("MONODON_LOG_LEVEL", "loud")];
    let text = load(&["--threads", "99", "--limit-body=3", "--state", "--pin", "12"], &env, file).unwrap_err();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "--limit-body: no such flag; did you mean --body-limit?",
            "--pin: expected a whole number from 0 to 9, got something else (secret, not shown)",
            "--state: needs a value",
            "--threads: expected a whole number from 0 to 64, got \"99\"",
            "MONODON_EDGE_BODY_LIMT: no such setting; did you mean MONODON_EDGE_BODY_LIMIT?",
            "MONODON_LOG_LEVEL: expected one of error, warn, info, debug, got \"loud\"",
            "edge.toml:2: body_limit: expected a size such as 32MB, got \"lots\"",
            "edge.toml:3: bodylimit: no such setting; did you mean body_limit?",
            "edge.toml:4: domains: expected a list, each text, got the number 7; put it in quotes",
            "edge.toml:5: tls: no such setting; monodon-edge --help lists them",
        ]
    );
}

#[test]
fn a_slip_in_the_file_names_its_line() {
    let text = load(&[], &[], Some("threads = 1\nhttp = [\n\"a:1\"\nhsts = \n")).unwrap_err();
    assert!(text.starts_with("edge.toml:"), "{text}");
    let missing = load(&["--config", "/nowhere/edge.toml"], &[], None).unwrap_err();
    assert!(missing.starts_with("--config: cannot read /nowhere/edge.toml: No such file"), "{missing}");
}

#[test]
fn values_from_files_named_by_any_layer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("password");
    std::fs::write(&path, "hunter2\n").unwrap();
    let path = path.to_str().unwrap();
    for values in [
        load(&["--status-password-file", path], &[], None).unwrap(),
        load(&[], &[("MONODON_EDGE_STATUS_PASSWORD_FILE", path)], None).unwrap(),
        load(&[], &[], Some(&format!("status_password_file = {path:?}"))).unwrap(),
    ] {
        assert_eq!(values.text("status_password"), "hunter2");
        assert!(!format!("{values:?}").contains("hunter2"));
        assert!(values.shown().any(|(key, value)| key == "status_password" && value == "(hidden)"));
    }
    let both = [("MONODON_EDGE_STATUS_PASSWORD", "x"), ("MONODON_EDGE_STATUS_PASSWORD_FILE", path)];
    assert!(load(&[], &both, None).unwrap_err().contains("give one of them"));
    let gone = load(&[], &[("MONODON_EDGE_STATUS_PASSWORD_FILE", "/nowhere")], None).unwrap_err();
    assert!(gone.starts_with("MONODON_EDGE_STATUS_PASSWORD_FILE: cannot read /nowhere"), "{gone}");
}

#[test]
fn what_kubernetes_sets_for_a_service_is_nobodys_setting() {
    let env = [
        ("MONODON_EDGE_SERVICE_HOST", "10.0.0.1"),
        ("MONODON_EDGE_SERVICE_PORT", "80"),
        ("MONODON_EDGE_SERVICE_PORT_HTTPS", "443"),
        ("MONODON_EDGE_PORT", "tcp://10.0.0.1:80"),
        ("MONODON_EDGE_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("MONODON_EDGE_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("MONODON_IMAGE_PREFIX", "monodon"),
    ];
    assert!(load(&[], &env, None).is_ok());
}

#[test]
fn a_later_problem_points_to_where_the_value_came_from() {
    let values = load(&[], &[("MONODON_EDGE_THREADS", "4")], Some("\nstate = \"/s\"\n")).unwrap();
    assert_eq!(values.problem("threads", "too many").to_string(), "MONODON_EDGE_THREADS: too many");
    assert!(values.problem("state", "is no folder").to_string().ends_with("edge.toml:2: state: is no folder"));
    assert_eq!(values.problem("hsts", "no").to_string(), "hsts: no");
}

#[test]
fn sizes_and_durations() {
    let sizes =
        [("0", 0), ("512", 512), ("64k", 65536), ("32MB", 32 << 20), ("1 GiB", 1 << 30), ("1.5k", 1536), ("9b", 9)];
    for (text, bytes) in sizes {
        assert_eq!(parse_size(text), Some(bytes), "{text}");
    }
    for text in ["", "k", "-1", "1x", "1.2.3", "99999999999999999999", "16777216t", "1e3"] {
        assert_eq!(parse_size(text), None, "{text}");
    }
    let times =
        [("30", 30_000), ("30s", 30_000), ("500ms", 500), ("5m", 300_000), ("1.5h", 5_400_000), ("1d", 86_400_000)];
    for (text, millis) in times {
        assert_eq!(parse_duration(text), Some(Duration::from_millis(millis)), "{text}");
    }
    assert_eq!(parse_duration("5 fortnights"), None);
}

#[test]
fn addresses() {
    assert_eq!("[::1]:80".parse(), Ok(Address::Socket("[::1]:80".parse().unwrap())));
    assert_eq!("worker:8000".parse(), Ok(Address::Host("worker".into(), 8000)));
    assert_eq!(":8000".parse::<Address>().unwrap().socket().unwrap().to_string(), "0.0.0.0:8000");
    assert_eq!("unix:/run/a.sock".parse(), Ok(Address::Unix("/run/a.sock".into())));
    for wrong in ["8000", "host:", "::1:80", "1.2.3:80", "host:99999", "unix:", "a b:1", "256.1.1.1:80"] {
        assert!(wrong.parse::<Address>().is_err(), "{wrong}");
    }
}

#[test]
fn nobody_is_offered_a_listener_that_is_refused() {
    let told = |text: &str| Kind::Listen.read(text, false).err().unwrap_or_default();
    for fine in ["127.0.0.1:80", "[::1]:80", ":80", "localhost:80", ""] {
        assert_eq!(told(fine), "");
    }
    for wrong in ["unix:/run/a.sock", "worker:80", "nonsense"] {
        let words = "expected an address to listen on such as 127.0.0.1:8080, [::1]:8080 or :8080, got ";
        assert!(told(wrong).starts_with(words), "{}", told(wrong));
    }
}

#[test]
fn help_and_reference_name_everything() {
    let (help, page) = (SCHEMA.help(), SCHEMA.reference());
    for setting in SCHEMA.settings() {
        for text in [&help, &page] {
            assert!(text.contains(&setting.flag()) && text.contains(&SCHEMA.variable(setting)), "{}", setting.key);
        }
    }
    assert!(help.contains("MONODON_DOMAINS") && help.contains("--hsts, --no-hsts") && help.contains("[default: 32MB]"));
    assert!(help.lines().all(|line| line.chars().count() <= 100), "{help}");
    assert!(asks_for(&["a".into(), "--help".into()], &["-h", "--help"]));
    assert!(!asks_for(&["--".into(), "--help".into()], &["-h", "--help"]));
}

const TREE: Schema = Schema {
    service: "edge",
    sections: &[Section::new(
        "Some",
        &[Setting { key: "http", kind: Kind::List(&Kind::Address), words: "Listeners.", ..Setting::NEW }],
    )],
    refused: &[],
    tables: &[
        Table {
            key: "site",
            named: false,
            words: "A site.",
            sections: &[Section::new(
                "Site",
                &[Setting { key: "hosts", kind: Kind::List(&Kind::Text), words: "Names.", ..Setting::NEW }],
            )],
            tables: &[Table {
                key: "route",
                named: false,
                words: "A route.",
                sections: &[Section::new(
                    "Route",
                    &[
                        Setting { key: "path", words: "A prefix.", ..Setting::NEW },
                        Setting { key: "limit", kind: Kind::Size, default: "1MB", words: "A size.", ..Setting::NEW },
                    ],
                )],
                tables: &[],
            }],
        },
        Table {
            key: "upstreams",
            named: true,
            words: "An upstream.",
            sections: &[Section::new(
                "Upstream",
                &[Setting { key: "servers", kind: Kind::List(&Kind::Address), words: "W.", ..Setting::NEW }],
            )],
            tables: &[],
        },
    ],
};

fn tree(text: &str) -> Result<Values, String> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    std::fs::write(&path, text).unwrap();
    let place = format!("{}/", folder.path().display());
    TREE.load(&[], std::iter::empty(), Some(&path)).map_err(|problems| problems.to_string().replace(&place, ""))
}

#[test]
fn tables_in_tables() {
    assert_eq!(TREE.faults(), Vec::<String>::new());
    let values = tree(
        "http = [':80']\n[upstreams.node]\nservers = ['node:3000']\n\
         [[site]]\nhosts = ['a.example']\n[[site.route]]\npath = '/a'\n[[site.route]]\npath = '/b'\nlimit = '2MB'\n[[site]]\n",
    )
    .unwrap();
    let sites: Vec<&Block> = values.blocks("site").collect();
    assert_eq!(sites[0].values.list("hosts"), ["a.example"]);
    assert_eq!((sites.len(), sites[1].name.as_str()), (2, "2"));
    let routes: Vec<_> = sites[0].values.blocks("route").map(|route| route.values.size("limit")).collect();
    assert_eq!(routes, [1 << 20, 2 << 20]);
    let upstream = values.blocks("upstreams").next().unwrap();
    assert_eq!((upstream.name.as_str(), upstream.values.list("servers")), ("node", &["node:3000".to_owned()][..]));
    let wrong = sites[0].values.blocks("route").next().unwrap().values.problem("limit", "no").to_string();
    assert!(wrong.ends_with("edge.toml:6: site.route.limit: no"), "{wrong}");
    assert!(TREE.reference().contains("## `[[site.route]]`\n\nA route.\n"));
    assert!(TREE.reference().contains("## `[upstreams.NAME]`"));
}

#[test]
fn every_slip_in_a_table_has_its_place() {
    let wrong = tree("site = 1\n[upstream.node]\n[[upstreams]]\n[a]\n");
    assert_eq!(
        wrong.err().unwrap(),
        "edge.toml:4: a: no such setting; monodon-edge --help lists them\n\
         edge.toml:1: site: expected tables, [[site]]\n\
         edge.toml:2: upstream: no such setting; did you mean upstreams?\n\
         edge.toml:3: upstreams: expected tables, [upstreams.NAME]"
    );
    let wrong = tree("[[site]]\nhost = ['a']\n[[site.route]]\npath = '/'\nlimit = 'lots'\n[upstreams]\nnode = 3\n");
    assert_eq!(
        wrong.err().unwrap(),
        "edge.toml:2: site.host: no such setting; did you mean hosts?\n\
         edge.toml:7: upstreams.node: expected a table, [upstreams.node]\n\
         edge.toml:5: limit: expected a size such as 32MB, got \"lots\""
    );
}

#[test]
fn entries_with_commas_stand_on_lines() {
    let values = load(&["-e", "A=1,2", "--env=B=3"], &[], None).unwrap();
    assert_eq!(values.list("env"), ["A=1,2", "B=3"]);
    let values = load(&[], &[("MONODON_EDGE_ENV", "A=1,2\nB=3\n")], None).unwrap();
    assert_eq!(values.list("env"), ["A=1,2", "B=3"]);
    assert_eq!(load(&[], &[], Some("env = [\"A=1,2\"]")).unwrap().list("env"), ["A=1,2"]);
}

#[test]
fn short_switches_stand_together() {
    let values = load(&["-qt4", "app"], &[], None).unwrap();
    assert!(values.bool("quiet"));
    assert_eq!(values.int("threads"), 4);
    assert_eq!(values.positionals(), ["app"]);
    assert!(!load(&["-q=false"], &[], None).unwrap().bool("quiet"));
}

#[test]
fn a_value_that_may_be_left_out_is_not_taken_from_what_follows() {
    for (args, mode) in [(&["--proxy"][..], "auto"), (&["--proxy", "v1"], "v1"), (&["--proxy=v1"], "v1")] {
        let values = load(&[args, &["app"]].concat(), &[], None).unwrap();
        assert_eq!((values.text("proxy"), values.positionals()), (mode, &["app".to_owned()][..]));
    }
}

#[test]
fn what_is_refused_says_what_to_use_instead() {
    let args = ["--certfile", "x.pem", "--spew-all", "-qS", "app"];
    let text = load(&args, &[("MONODON_EDGE_CERTFILE", "x")], Some("certfile = \"x\"\n")).unwrap_err();
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "--certfile: TLS is the proxy's.",
            "--spew-all: use py-spy.",
            "-S: use py-spy.",
            "MONODON_EDGE_CERTFILE: TLS is the proxy's.",
            "edge.toml:1: certfile: TLS is the proxy's.",
        ]
    );
}

#[test]
fn a_beginning_is_a_hint_and_no_flag() {
    let said = load(&["--stat", "x", "--body=3"], &[], None).unwrap_err();
    assert_eq!(said, "--stat: no such flag; did you mean --state?\n--body: no such flag; did you mean --body-limit?");
}

#[test]
fn what_asks_for_nothing_is_not_refused() {
    let env = [("MONODON_EDGE_SPEW", "False"), ("MONODON_EDGE_CERTFILE", "none")];
    assert!(load(&["--spew=false", "--certfile="], &env, Some("spew = false\ncertfile = \"\"")).is_ok());
}

#[test]
fn layers_of_others_lie_below_in_their_order() {
    let mut reading = SCHEMA.read(&["--threads=1".into()], std::iter::empty());
    let words = ["-t2", "--pin", "7", "--state=/a", "--nope"].map(OsString::from);
    assert_eq!(reading.command_line(&words, "SOME_ARGS"), None);
    assert_eq!(reading.peek("pin"), Some("7"));
    let mut layer = Layer::default();
    let source = || Source::File { path: "conf.py".into(), line: 3 };
    layer.push(&SCHEMA, "state_dir", Foreign::Text("/b".into()), source()).unwrap();
    layer.push(&SCHEMA, "http", Foreign::Items(vec!["a:1".into()]), source()).unwrap();
    layer.push(&SCHEMA, "body_limit", Foreign::Text("much".into()), source()).unwrap();
    assert!(layer.push(&SCHEMA, "nothing", Foreign::Text(String::new()), source()).is_none());
    reading.layer(layer, None);
    let problems = std::mem::take(&mut reading.problems);
    assert!(problems.to_string().starts_with("SOME_ARGS: --nope: no such flag"), "{problems}");
    let problems = reading.finish().unwrap_err().to_string();
    assert_eq!(problems, "conf.py:3: body_limit: expected a size such as 32MB, got \"much\"");
}

#[test]
fn what_is_mistyped_is_not_missing_as_well() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("edge.toml");
    let read = |text: &str| {
        std::fs::write(&path, text).unwrap();
        TREE.load_all(&[], std::iter::empty(), Some(&path))
    };
    let (values, mut problems) =
        read("[[site]]\nhost = ['a']\n[[site.route]]\npath = true\nlimit = 'x'\n[[site]]\n[upstreams.node]\n").unwrap();
    assert_eq!(problems.0.len(), 3, "{problems}");
    let sites: Vec<_> = values.blocks("site").collect();
    let route = sites[0].values.blocks("route").next().unwrap();
    // All of these follow from what is told already.
    problems.push(sites[0].values.problem("hosts", "needs one"));
    problems.push(sites[0].values.problem_here("needs hosts"));
    problems.push(route.values.problem_here("needs a path"));
    problems.push(route.values.problem("limit", "is too small"));
    assert_eq!((problems.0.len(), route.values.size("limit")), (3, 1 << 20), "{problems}");
    problems.push(sites[1].values.problem("hosts", "needs one"));
    problems.push(values.blocks("upstreams").next().unwrap().values.problem("servers", "needs one"));
    assert_eq!(problems.0.len(), 5, "{problems}");
    let told = read("[[site]\n").err().unwrap().to_string();
    assert!(told.contains("edge.toml:1"), "a file that is none says nothing: {told}");
}

/// Editors on Windows put one there, and nobody sees it.
#[test]
fn a_byte_order_mark_is_no_part_of_what_a_file_says() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("password");
    std::fs::write(&secret, "\u{feff}hunter2\r\n").unwrap();
    let values = load(&[], &[], Some(&format!("\u{feff}status_password_file = {secret:?}\r\n"))).unwrap();
    assert_eq!(values.text("status_password"), "hunter2");
}

#[test]
fn files_that_settings_name_are_known() {
    let folder = tempfile::tempdir().unwrap();
    let (path, secret) = (folder.path().join("edge.toml"), folder.path().join("limit"));
    std::fs::write(&secret, "3MB\n").unwrap();
    std::fs::write(&path, format!("[[site]]\n[[site.route]]\nlimit_file = \"{}\"\n", secret.display())).unwrap();
    let values = TREE.load(&[], std::iter::empty(), Some(&path)).unwrap();
    assert_eq!(values.named_files(&|_| true), [secret]);
    let route = &values.tables()[0].values.tables()[0];
    assert_eq!((route.key, route.values.size("limit")), ("route", 3 << 20));
}
