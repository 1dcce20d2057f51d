//! Every key of every table, set wrongly: told with its file, line and name; by a variable, with the variable's name. A new
//! setting is in here by itself, or, where its text can be wrong in ways of its own, fails until it is.

use super::tests::problems_of;
use crate::config::table::SCHEMA;
use monodon_settings::{Kind, Setting};

/// What is wrong with texts, as it stands in the file; and, where something must stand beside it, that.
fn wrong_text(table: &str, key: &str) -> Option<(&'static str, &'static str)> {
    let alone = |value| Some((value, ""));
    match key {
        "upstream" if table == "site.route" => alone("'nobody'"),
        "upstream" | "servers" => alone("['worker']"),
        "upstream_check" | "check" => alone("'9102'"),
        "static" => alone("['static']"),
        "uploads" if table.is_empty() => alone("['media']"),
        "threads" => alone("'none'"),
        "domains" | "hosts" | "local_names" => alone("['a b']"),
        "acme_email" => alone("'nobody'"),
        "acme_directory" => alone("'http://ca.example/directory'"),
        "admin_token" => alone("'schl\u{fc}ssel'"),
        "handshake_rate" | "rate" => alone("'often'"),
        "limit_exempt" | "trusted_proxies" | "proxy_protocol_from" | "allow" | "deny" | "maintenance_allow" => {
            alone("['10.0.0.0/99']")
        }
        "real_ip_header" | "remote_user_header" => alone("'X_Y'"),
        "access_log_format" => alone("'$nothing'"),
        "csp_report_path" => alone("'reports'"),
        "status_page" => alone("'/status/'"),
        "acme_ca" => Some(("'/nowhere.pem'", "acme_email = 'a@b.example'")),
        "hash" => alone("'body'"),
        "sticky" => alone("'a b'"),
        "check_status" => alone("['2xx']"),
        "check_host" => alone("'a b'"),
        "allow_methods" | "methods" => alone("['get']"),
        "deny_paths" => alone("['(']"),
        "pattern" => Some(("'('", "close = true")),
        "basic_auth" => alone("'a\"b'"),
        "basic_auth_users" => Some(("'/nowhere/users'", "basic_auth = 'Staff'")),
        "forward_auth" => alone("'nobody/verify'"),
        "forward_auth_headers" => alone("['Host']"),
        "limit" => alone("['none']"),
        "frame_options" => alone("'MAYBE'"),
        "referrer_policy" => alone("'same'"),
        "permissions_policy" => alone("\"a\\nb\""),
        "hsts" => alone("'yes'"),
        "csp" | "csp_report_only" => alone("'img-scr *'"),
        "request_headers_set" | "request_headers_add" | "response_headers_set" | "response_headers_add" => {
            alone("['X']")
        }
        "request_headers_remove" | "response_headers_remove" => alone("['a b']"),
        "compress" => alone("['deflate']"),
        "compress_types" => alone("['html']"),
        "error_pages" => alone("['404']"),
        "intercept_errors" => alone("['200']"),
        "index" => alone("['a/b']"),
        "expires" => alone("'soon'"),
        "cache_control" => alone("['*.css']"),
        "max_slots" => alone("'many'"),
        "log_sample" => alone("'10'"),
        "canonical" => alone("'a b'"),
        "content_type" => alone("\"a\\nb\""),
        "path" => Some(("'a'", "close = true")),
        "exact" => Some(("'a'", "close = true")),
        "headers" => alone("['a b']"),
        "rewrite" | "redirect" => alone("'$nothing'"),
        "try_files" => alone("['index.html', '=404']"),
        "files" => alone("'/x'"),
        "key" => alone("['body']"),
        "tls_ca" | "tls_certificate" | "tls_key" => Some(("'/nowhere.pem'", "tls = true")),
        "upstream_tls_ca" | "upstream_tls_certificate" | "upstream_tls_key" => {
            Some(("'/nowhere.pem'", "upstream = ['a:1']\nupstream_tls = true"))
        }
        "upstream_tls_server_name" => Some(("'a b'", "upstream = ['a:1']\nupstream_tls = true")),
        "tls_server_name" => Some(("'a b'", "tls = true")),
        _ => None,
    }
}

/// Any text will do, or whether it will shows only in the world.
const ANY: &[&str] = &[
    "state",
    "spool",
    "access_log",
    "status_password",
    "sticky_key",
    "check_body",
    "maintenance_file",
    "name",
    "root",
    "respond",
];

/// A value that this kind of setting cannot have.
fn wrong(table: &str, setting: &Setting) -> Option<(&'static str, &'static str)> {
    wrong_text(table, setting.key).or(match &setting.kind {
        Kind::Bool | Kind::Size | Kind::Duration | Kind::Choice(_) => Some(("'x'", "")),
        Kind::Int { .. } => Some(("-1", "")),
        Kind::Address | Kind::Listen => Some(("'no port'", "")),
        Kind::List(Kind::Text | Kind::Path) | Kind::Lines(_) | Kind::Text | Kind::Path => None,
        Kind::List(_) => Some(("['x y']", "")),
    })
}

/// `told` names the key at its place.
fn check(table: &str, before: &str, setting: &Setting, faults: &mut Vec<String>) {
    let key = setting.key;
    let Some((value, beside)) = wrong(table, setting) else {
        if !ANY.contains(&key) {
            faults.push(format!(
                "{table} {key}: what is wrong with it? Say so in wrong_text, or that any text will do in ANY"
            ));
        }
        return;
    };
    let line = before.lines().count() + 1;
    let told = problems_of(&format!("{before}{key} = {value}\n{beside}\n"));
    let place = format!("edge.toml:{line}: {key}: ");
    if !told.lines().any(|line| line.starts_with(&place)) {
        faults.push(format!("{before}{key} = {value}: {told:?}"));
    }
}

#[test]
fn every_key_of_every_table() {
    let mut faults = Vec::new();
    for setting in SCHEMA.settings() {
        check("", "", setting, &mut faults);
    }
    for (table, before) in [
        ("site", "[[site]]\n"),
        ("site.route", "[[site]]\n[[site.route]]\n"),
        ("limits", "[limits.one]\n"),
        ("upstreams", "[upstreams.one]\n"),
    ] {
        let own = match table.split_once('.') {
            Some((outer, inner)) => {
                let outer = SCHEMA.tables.iter().find(|known| known.key == outer).unwrap();
                outer.tables.iter().find(|known| known.key == inner)
            }
            None => SCHEMA.tables.iter().find(|known| known.key == table),
        };
        for setting in own.unwrap().sections.iter().flat_map(|section| section.settings) {
            // A route needs to say which requests and what happens, an upstream where it is.
            let rest = match table {
                "site.route" => match setting.key {
                    "path" | "exact" | "pattern" => "",
                    // A folder and a pattern do not go together.
                    "files" => "pattern = 'x'\n",
                    "upstream" | "root" | "redirect" | "respond" | "close" => "path = '/'\n",
                    "content_type" => "path = '/'\nrespond = ''\n",
                    "rewrite" => "path = '/'\nupstream = 'one'\n",
                    "try_files" => "path = '/'\nroot = '/x'\n",
                    _ => "path = '/'\nclose = true\n",
                },
                "upstreams" if setting.key != "servers" => "servers = ['a:1']\n",
                "limits" if setting.key != "rate" => "rate = '1/s'\n",
                _ => "",
            };
            // Before, so that it is another table's end.
            let first = if rest.contains("'one'") { "[upstreams.one]\nservers = ['a:1']\n" } else { "" };
            check(table, &format!("{first}{before}{rest}"), setting, &mut faults);
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_variable() {
    let mut faults = Vec::new();
    for setting in SCHEMA.settings() {
        let Some((value, beside)) = wrong("", setting) else { continue };
        // Of a list its one entry, and no quotes.
        let all: toml::Table = format!("{} = {value}\n{beside}", setting.key).parse().unwrap();
        let all = all.iter().map(|(key, value)| {
            let value = match value {
                toml::Value::Array(entries) => entries[0].as_str().unwrap().to_owned(),
                toml::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            (SCHEMA.variable(SCHEMA.setting(key).unwrap()).into(), value.into())
        });
        let name = SCHEMA.variable(setting);
        let told = super::load(&[], all.collect::<Vec<_>>().into_iter());
        let told = told.err().map(|problems| problems.to_string()).unwrap_or_default();
        if !told.lines().any(|line| line.starts_with(&format!("{name}: "))) {
            faults.push(format!("{name}={value}: {told:?}"));
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
