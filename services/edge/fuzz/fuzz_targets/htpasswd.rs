//! Any file of users, and any `Authorization`: what is wrong is told with its line and without a hash; what is taken can be looked at, and
//! lets in nobody whose password was not hashed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_edge::access::{Users, credentials};

/// Hashes that cost nothing to look at: no others are looked at here.
fn cheap(text: &str) -> bool {
    let bcrypt = text.match_indices("$2").all(|(at, _)| text[at..].get(3..6) == Some("$04"));
    let argon2 = text.match_indices("$argon2").all(|(at, _)| {
        let rest = text[at..].split_once("m=").map_or("", |(_, rest)| rest);
        let memory = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let passes = rest.split_once("t=").map_or("", |(_, rest)| rest);
        let lanes = rest.split_once("p=").map_or("", |(_, rest)| rest);
        let few = |text: &str| text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()) <= 1;
        memory <= 3 && few(passes) && few(lanes)
    });
    bcrypt && argon2
}

fuzz_target!(|input: (&str, &str, &[u8])| {
    let (text, name, authorization) = input;
    if let Ok(value) = http::HeaderValue::from_bytes(authorization) {
        let headers = [(http::header::AUTHORIZATION, value)].into_iter().collect();
        let given = credentials::basic(&headers);
        assert!(given.is_none_or(|given| given.len() <= authorization.len()));
        let _ = credentials::bearer(&headers);
    }

    let folder = std::env::temp_dir().join(format!("monodon-fuzz-{}", std::process::id()));
    let _ = std::fs::create_dir_all(&folder);
    let path = folder.join("users");
    std::fs::write(&path, text).expect("the folder for temporary files can be written to");
    let lines = || text.lines().map(str::trim_end).filter(|line| !line.is_empty() && !line.starts_with('#'));
    match Users::open(&path) {
        Err(problem) => {
            let rest = problem.strip_prefix(&format!("{}:", path.display())).expect("the file's name");
            let line: usize = rest.split_once(": ").and_then(|(line, _)| line.parse().ok()).expect("the line's number");
            let wrong = text.lines().nth(line - 1).expect("a line of the file");
            if let Some((name, hash)) = wrong.trim_end().split_once(':') {
                // Long enough that it is not in the words of the problem by chance, nor in the name.
                assert!(hash.len() < 40 || name.contains(hash) || !problem.contains(hash), "{problem:?}");
            }
        }
        Ok(users) => {
            let mut names: Vec<&str> = lines().map(|line| line.split_once(':').expect("a name").0).collect();
            let all = names.len();
            names.sort_unstable();
            names.dedup();
            assert!(names.len() == all && names.iter().all(|name| !name.is_empty()), "{names:?}");
            let known = users.known();
            assert_eq!(known.ticket(name.as_bytes()), users.known().ticket(name.as_bytes()));
            if cheap(text) {
                for name in names.iter().take(2).chain([&name]) {
                    assert!(!known.verify(name, b"a password that the fuzzer has no hash of"), "{name:?}");
                }
            }
        }
    }
});
