//! What is wrong with rules on who may ask what, and in which words it is told.

use super::tests::problems_of;

/// Where it is set, and once, whoever makes use of it: what nobody tells would leave open what should be closed.
#[test]
fn a_slip_that_is_inherited_is_told() {
    for (outer, wrong) in [
        (
            "deny = ['10.0.0.0/99']",
            "deny: expected an address, a network such as 10.0.0.0/8 or all, got \"10.0.0.0/99\"",
        ),
        ("deny_paths = ['(']", "deny_paths: \"(\" is no regular expression: error: unclosed group"),
        (
            "basic_auth_users = '/nowhere/users'",
            "basic_auth_users: /nowhere/users: No such file or directory (os error 2)",
        ),
        (
            "forward_auth_headers = ['bad name;']",
            "forward_auth_headers: expected a header's name such as Remote-User, got \"bad name;\"",
        ),
        ("forward_auth_timeout = '0s'", "forward_auth_timeout: expected more than 0"),
        ("error_pages = ['404=/nowhere']", "error_pages: /nowhere: expected a file that ends in .html, .json or .txt"),
    ] {
        // Only the last level makes use of it.
        let uses = match outer.starts_with("basic") {
            true => "basic_auth = 'Staff'",
            false => "forward_auth = 'http://sso:80/'",
        };
        let route = |path: &str| format!("[[site.route]]\npath = '{path}'\nrespond = 'x'\n{uses}\n");
        let told = problems_of(&format!("{outer}\n[[site]]\n{}{}", route("/a"), route("/b")));
        assert_eq!(told, format!("edge.toml:1: {wrong}"));
        let told = problems_of(&format!("[[site]]\n{outer}\n{}", route("/a")));
        assert_eq!(told, format!("edge.toml:2: {wrong}"));
    }
    for alone in ["forward_auth_headers = ['a b']", "forward_auth_timeout = 0"] {
        assert!(problems_of(alone).starts_with("edge.toml:1: forward_auth_"), "{alone}");
    }
}

#[test]
fn every_slip_is_told_with_its_place() {
    for (text, wrong) in [
        (
            "allow = ['10.0.0.0/33']",
            "edge.toml:1: allow: expected an address, a network such as 10.0.0.0/8 or all, got \"10.0.0.0/33\"",
        ),
        (
            "[[site]]\ndeny = ['x']",
            "edge.toml:2: deny: expected an address, a network such as 10.0.0.0/8 or all, got \"x\"",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nallow_methods = ['get']",
            "edge.toml:5: allow_methods: expected methods such as GET, got \"get\"",
        ),
        ("allow_methods = ['GET', 'TRACE']", "edge.toml:1: allow_methods: TRACE is never let in; leave it out"),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nmethods = ['CONNECT']",
            "edge.toml:5: methods: CONNECT is never let in; leave it out",
        ),
        (
            "deny_paths = ['a', '(']\n[[site]]\n[[site.route]]\npath = '/'\nclose = true",
            "edge.toml:1: deny_paths: \"(\" is no regular expression: error: unclosed group",
        ),
        (
            "trusted_proxies = ['proxy']",
            "edge.toml:1: trusted_proxies: expected a network such as 10.0.0.0/8, got \"proxy\"",
        ),
        (
            "real_ip_header = 'X_Real_IP'",
            "edge.toml:1: real_ip_header: expected a header's name such as X-Forwarded-For, got \"X_Real_IP\"",
        ),
        (
            "http = ':80'\nproxy_protocol = 'on'",
            "edge.toml:2: proxy_protocol: needs proxy_protocol_from or trusted_proxies: whoever may send the header chooses the \
             client's address",
        ),
        (
            "proxy_protocol_from = ['10.0.0.0/8', 'lb']",
            "edge.toml:1: proxy_protocol_from: expected a network such as 10.0.0.0/8, got \"lb\"",
        ),
        ("proxy_protocol = 'v1'", "edge.toml:1: proxy_protocol: expected one of off, on, got \"v1\""),
        ("basic_auth = 'x'", "edge.toml:1: basic_auth: needs basic_auth_users, the file of users"),
        (
            "basic_auth = 'a\"b'",
            "edge.toml:1: basic_auth: expected a realm without quotes and backslashes, got \"a\\\"b\"",
        ),
        (
            "basic_auth = 'x'\nbasic_auth_users = '/nowhere/users'",
            "edge.toml:2: basic_auth_users: /nowhere/users: No such file or directory (os error 2)",
        ),
        (
            "remote_user_header = 'X_User'",
            "edge.toml:1: remote_user_header: expected a header's name such as X-Remote-User, got \"X_User\"",
        ),
        (
            "[[site]]\nforward_auth = 'sso/verify'",
            "edge.toml:2: forward_auth: no upstream \"sso\"; there is [upstreams.NAME] for default",
        ),
        (
            "forward_auth = '/verify'",
            "edge.toml:1: forward_auth: expected NAME/path or a URL such as http://authelia:9091/api/verify, got \"/verify\"",
        ),
        (
            "forward_auth = 'https://sso.example/verify'",
            "edge.toml:1: forward_auth: an https:// address needs an upstream of its own: [upstreams.NAME], and NAME/path here",
        ),
        (
            "forward_auth = 'http://sso:80/'\nforward_auth_headers = ['Host']\nforward_auth_timeout = '0s'",
            "edge.toml:2: forward_auth_headers: expected a header's name such as Remote-User, got \"Host\"\n\
             edge.toml:3: forward_auth_timeout: expected more than 0",
        ),
        ("satisfy = 'some'", "edge.toml:1: satisfy: expected one of all, any, got \"some\""),
        ("block_scanners = 'often'", "edge.toml:1: block_scanners: expected true or false, got \"often\""),
    ] {
        assert_eq!(problems_of(text), wrong, "{text}");
    }
}
