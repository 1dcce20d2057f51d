//! Where `redirect` and `rewrite` lead: every request of the route must get there.

use super::PathMatch;
use crate::config::load::Reader;
use crate::template::Template;
use monodon_settings::Values;
use regex::Regex;

impl Reader<'_> {
    pub(super) fn redirect(&mut self, values: &Values, path: &PathMatch) -> Option<Template> {
        self.target(values, "redirect", path, |template, _| {
            let words = "expected an address that begins with /, http:// or https://";
            // What a group brings shows only in a request.
            if template.begins_with_group() || is_address(&template.sample()) { Ok(()) } else { Err(words) }
        })
    }

    pub(super) fn rewrite(&mut self, values: &Values, path: &PathMatch) -> Option<Template> {
        self.target(values, "rewrite", path, |template, pattern| {
            if !template.begins_with_slash(pattern) {
                return Err("expected a target that begins with / in every request, such as /new/$1");
            }
            // An upstream is never asked for a fragment.
            if template.sample().contains('#') { Err("expected a target without #") } else { Ok(()) }
        })
    }

    fn target(
        &mut self,
        values: &Values,
        key: &str,
        path: &PathMatch,
        fine: impl Fn(&Template, Option<&Regex>) -> Result<(), &'static str>,
    ) -> Option<Template> {
        let text = values.text(key);
        let read = Template::parse(text, path.pattern()).and_then(|template| {
            let checked = match template.sample().bytes().all(|byte| byte.is_ascii_graphic()) {
                true => fine(&template, path.pattern()),
                false => Err("expected signs of ASCII, without spaces (which are %20)"),
            };
            checked.map(|()| template).map_err(|words| format!("{words}, got {text:?}"))
        });
        read.map_err(|wrong| self.problems.push(values.problem(key, wrong))).ok()
    }
}

fn is_address(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.map_or(text.starts_with('/'), |rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']))
}
