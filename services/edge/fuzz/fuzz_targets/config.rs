//! Any bytes as edge.toml: read, told what is wrong, formatted and explained. Nothing panics; what is formatted says the same and
//! is formatted; what `load` takes, `explain` can take a request through.
#![no_main]

use libfuzzer_sys::fuzz_target;
use monodon_edge::cli::explain::{Asked, explain};
use monodon_edge::cli::fmt;
use monodon_edge::config::{effective, load};

fuzz_target!(|text: &str| {
    if let Ok(formatted) = fmt::format(text) {
        assert_eq!(fmt::format(&formatted).as_deref(), Ok(formatted.as_str()));
        assert_eq!(formatted.matches('#').count(), text.replace("\r\n", "\n").matches('#').count());
    }
    let folder = std::env::temp_dir().join(format!("monodon-fuzz-{}", std::process::id()));
    let _ = std::fs::create_dir_all(&folder);
    let path = folder.join("edge.toml");
    std::fs::write(&path, text).expect("the folder for temporary files can be written to");
    let args = ["--config".into(), path.into_os_string()];
    match load::examine(&args, std::iter::empty()) {
        Err(problems) => assert!(!problems.is_empty()),
        Ok((loaded, problems)) => {
            let _ = (effective::toml(&loaded.values), effective::json(&loaded.values), effective::hash(&loaded.values));
            if !problems.is_empty() {
                return;
            }
            // Requests that lead to the network or to files of the machine are nobody's to send from here.
            let target = if text.len() % 2 == 0 { "/api/x?y=1" } else { "http://a.example/" };
            if let Ok(report) = explain(&loaded, Asked::get(target)) {
                let _ = (report.text(true), report.json());
            }
        }
    }
});
