//! What may be said of headers, and in which words a slip is told.

use super::tests::problems_of;

#[test]
fn every_slip_is_told_with_its_place() {
    for (text, wrong) in [
        ("frame_options = 'MAYBE'", "edge.toml:1: frame_options: expected off or DENY or SAMEORIGIN, got \"MAYBE\""),
        (
            "response_headers_remove = ['Date']",
            "edge.toml:1: response_headers_remove: Date stands in every answer (RFC 9110, section 6.6.1)",
        ),
        (
            "[[site]]\nreferrer_policy = 'same'",
            "edge.toml:2: referrer_policy: expected off or a policy such as same-origin or strict-origin-when-cross-origin, got \
             \"same\"",
        ),
        ("hsts = 'yes'", "edge.toml:1: hsts: expected off or a value such as max-age=31536000, got \"yes\""),
        (
            "hsts = 'max-age=x'",
            "edge.toml:1: hsts: expected off or a value such as max-age=31536000, got \"max-age=x\"",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\ncsp = \"defualt-src 'self'\"",
            "edge.toml:5: csp: \"defualt-src\" is no directive of a content security policy such as default-src 'self'; img-src *",
        ),
        (
            "csp_report_only = 'img-src a, b'",
            "edge.toml:1: csp_report_only: a comma would begin another policy; sources are separated by spaces, directives by \
             semicolons",
        ),
        (
            "csp_report_path = 'reports'",
            "edge.toml:1: csp_report_path: expected off or a plain path such as /csp-report, got \"reports\"",
        ),
        ("request_headers_set = ['X-Foo']", "edge.toml:1: request_headers_set: expected Name: value, got \"X-Foo\""),
        (
            "[[site]]\nresponse_headers_set = ['Content-Length: 5']",
            "edge.toml:2: response_headers_set: content-length is about the connection or the message's length; only the edge itself \
             says it",
        ),
        (
            "[[site]]\n[[site.route]]\npath = '/'\nclose = true\nresponse_headers_remove = ['Connection']",
            "edge.toml:5: response_headers_remove: connection is about the connection or the message's length; only the edge itself \
             says it",
        ),
        (
            "request_headers_remove = ['Host']",
            "edge.toml:1: request_headers_remove: Host can be set, neither added nor removed: a request has one",
        ),
        (
            "response_headers_add = [\"X-Foo: a\\r\\nX-Bar: b\"]",
            "edge.toml:1: response_headers_add: \"a\\r\\nX-Bar: b\" is no header's value",
        ),
    ] {
        assert_eq!(problems_of(text), wrong, "{text}");
    }
    let told = problems_of("request_headers_set = ['X-Foo: $hots']");
    assert!(told.starts_with("edge.toml:1: request_headers_set: $hots is no variable"), "{told}");
}

#[test]
fn the_table_and_the_type_agree() {
    let options = super::load(&[], std::iter::empty()).unwrap().options;
    assert_eq!(options.headers, crate::config::options::headers::Headers::default());
}
