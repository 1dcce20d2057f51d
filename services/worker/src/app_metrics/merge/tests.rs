use super::super::kind::Mode;
use super::*;

fn merged(limits: Limits, files: &[(Kind, &[(&str, f64)])]) -> (String, Merge) {
    let mut merge = Merge::new(limits);
    for (at, (kind, values)) in files.iter().enumerate() {
        let values = values.iter().map(|&(key, value)| Value { key, value, timestamp: 0.0 });
        merge.add(*kind, &at.to_string(), values);
    }
    let mut out = String::new();
    merge.write(&HashSet::from(["process_open_fds"]), &mut out);
    (out, merge)
}

#[test]
fn a_histogram_is_added_up_bucket_by_bucket() {
    let one = [
        (r#"["t", "t_sum", {"a": "x"}, "T"]"#, 1.5),
        (r#"["t", "t_bucket", {"a": "x", "le": "0.5"}, "T"]"#, 1.0),
        (r#"["t", "t_bucket", {"a": "x", "le": "10.0"}, "T"]"#, 2.0),
        (r#"["t", "t_bucket", {"a": "x", "le": "+Inf"}, "T"]"#, 3.0),
    ];
    // Another process has other bounds.
    let two = [(r#"["t", "t_bucket", {"a": "x", "le": "2"}, "T"]"#, 5.0), one[0], one[3]];
    let (out, _) = merged(Limits::default(), &[(Kind::Histogram, &one), (Kind::Histogram, &two)]);
    let expected = r#"# HELP t T
# TYPE t histogram
t_bucket{a="x",le="0.5"} 1.0
t_bucket{a="x",le="2"} 6.0
t_bucket{a="x",le="10.0"} 8.0
t_bucket{a="x",le="+Inf"} 14.0
t_count{a="x"} 14.0
t_sum{a="x"} 3.0
"#;
    assert_eq!(out, expected);
}

#[test]
fn names_that_are_taken_are_left_out_and_counted() {
    let files: &[(Kind, &[(&str, f64)])] = &[
        (
            Kind::Gauge { mode: Mode::Max, live: false },
            &[
                (r#"["monodon_worker_slots", "monodon_worker_slots", {}, ""]"#, 1.0),
                (r#"["process_open_fds", "process_open_fds", {}, ""]"#, 1.0),
                (r#"["innocent", "monodon_x", {}, ""]"#, 1.0),
                (r#"["hits_total", "hits_total", {}, ""]"#, 1.0),
                (r#"["good", "good", {}, ""]"#, 1.0),
            ],
        ),
        (Kind::Counter, &[(r#"["hits", "hits_total", {}, ""]"#, 1.0), (r#"["good", "good_total", {}, ""]"#, 1.0)]),
    ];
    let (out, merge) = merged(Limits::default(), files);
    assert_eq!(
        out,
        "# HELP good \n# TYPE good gauge\ngood 1.0\n# HELP hits_total \n# TYPE hits_total counter\nhits_total 1.0\n"
    );
    assert_eq!(merge.dropped, Dropped { name: 5, ..Dropped::default() });
}

#[test]
fn a_key_that_says_nothing_costs_itself_alone() {
    let files: &[(Kind, &[(&str, f64)])] = &[(
        Kind::Counter,
        &[
            ("", 1.0),
            ("[]", 1.0),
            ("[[[[", 1.0),
            (r#"["", "", {}, ""]"#, 1.0),
            (r#"["a", "a_total", {"": "x"}, ""]"#, 1.0),
            (r#"["a", "a_total", {"x": 1}, ""]"#, 1.0),
            (r#"["a", "a_total", {"x.y": "", "x-y": ""}, ""]"#, 1.0),
            (r#"["a", "a_total", {"__name__": "b"}, ""]"#, 1.0),
            (r#"["a", "a_total", {"x": "\ud800"}, ""]"#, 1.0),
            ("[\"a\", \"a_total\", {\"x\": \"1\\n\\\"2\\\\\"}, \"line\\none\"]", 1.0),
        ],
    )];
    let (out, merge) = merged(Limits::default(), files);
    assert_eq!(out, "# HELP a_total line\\none\n# TYPE a_total counter\na_total{x=\"1\\n\\\"2\\\\\"} 1.0\n");
    assert_eq!(merge.dropped, Dropped { key: 9, ..Dropped::default() });
}

#[test]
fn more_than_the_limits_allow_is_dropped() {
    let keys: Vec<String> = (0..100).map(|at| format!(r#"["a", "a_total", {{"x": "{at}"}}, ""]"#)).collect();
    let values: Vec<(&str, f64)> = keys.iter().map(|key| (key.as_str(), 1.0)).collect();
    let files = [(Kind::Counter, values.as_slice()), (Kind::Counter, values.as_slice())];
    for limits in [Limits { series: 10, bytes: 1 << 20 }, Limits { series: 1000, bytes: 1000 }] {
        let (out, merge) = merged(limits, &files);
        assert_eq!(merge.series(), 10, "{limits:?}");
        assert_eq!(merge.dropped.limit, 180);
        assert!(out.contains("a_total{x=\"9\"} 2.0\n") && !out.contains("x=\"10\""), "{out}");
    }
}

#[test]
fn a_minimum_is_one_that_somebody_has_and_what_is_no_number_stays() {
    let gauge = |mode| Kind::Gauge { mode, live: false };
    let key = r#"["g", "g", {}, ""]"#;
    let value = |mode, values: [f64; 2]| {
        let files = values.map(|value| [(key, value)]);
        merged(Limits::default(), &[(gauge(mode), &files[0]), (gauge(mode), &files[1])])
            .0
            .lines()
            .last()
            .unwrap()
            .to_owned()
    };
    assert_eq!(value(Mode::Min, [5.0, 3.0]), "g 3.0");
    assert_eq!(value(Mode::Max, [-5.0, -3.0]), "g -3.0");
    assert_eq!(value(Mode::Max, [f64::INFINITY, 1e300]), "g +Inf");
    assert_eq!(value(Mode::Sum, [f64::NEG_INFINITY, 1.0]), "g -Inf");
    assert_eq!(value(Mode::Sum, [f64::NAN, 1.0]), "g NaN");
}
