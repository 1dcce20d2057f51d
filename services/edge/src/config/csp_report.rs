//! Where reports on violated policies are taken.

use super::load::Reader;

/// Where browsers tell of violations.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Headers {
    /// Where reports on violated policies are taken, if there is a policy that sends them there.
    pub csp_report_path: Option<String>,
}

impl Reader<'_> {
    pub(super) fn headers(&mut self) -> Headers {
        let path = self.values.text("csp_report_path");
        if !matches!(path, "" | "off") && self.csp_report_path().is_none() {
            self.wrong("csp_report_path", format!("expected off or a plain path such as /csp-report, got {path:?}"));
        }
        Headers { csp_report_path: None }
    }

    /// Where reports on violated policies are taken.
    pub(super) fn csp_report_path(&self) -> Option<String> {
        let path = self.values.text("csp_report_path");
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        let fits =
            path.len() > 1 && path.bytes().all(plain) && crate::path::normalise(path).is_ok_and(|same| same == path);
        fits.then(|| path.to_owned())
    }
}
