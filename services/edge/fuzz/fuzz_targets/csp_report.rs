//! Any body at the endpoint for reports: what is kept of it has bounds and acts nowhere, and says where a browser said something and
//! nothing that its address hides.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The file itself: it needs nothing of the edge, and the edge takes long to compile with sanitizers.
#[allow(dead_code)]
#[path = "../../src/service/csp_report/report.rs"]
mod report;

fuzz_target!(|data: &[u8]| {
    let Some(reports) = report::reports(data) else { return };
    // The shortest violation there can be, and its comma.
    assert!(reports.len() <= data.len() / 30 + 1, "{} reports in {} bytes", reports.len(), data.len());
    for kept in &reports {
        for text in [&kept.directive, &kept.blocked, &kept.document, &kept.source] {
            assert!(text.len() <= report::SHOWN, "{} characters", text.len());
            assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !matches!(byte, b'?' | b'#')), "{text:?}");
        }
        assert!(!kept.directive.contains(' '));
    }
});
