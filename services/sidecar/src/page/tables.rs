//! Certificates, containers, recent events.

use std::fmt::Write;

use monodon_admin::Status;

use super::format::{bar, bytes, clock, escape, span};
use super::services::pill;
use crate::run::State;
use crate::snapshot::{Container, now};

pub fn certificates(state: &State) -> String {
    let certificates = &state.history.gauges.certificates;
    if certificates.is_empty() {
        return String::new();
    }
    let mut out = String::from("<h2>Certificates</h2><ul class=\"card list\">");
    for ((site, issuer), end) in certificates {
        let left = end - now();
        let days = left / 86_400.0;
        // The internal CA's leaves are short-lived and re-issued by themselves.
        let status = match days {
            d if d <= 0.0 => Status::Fail,
            d if d < 10.0 && issuer != "internal" => Status::Warn,
            _ => Status::Pass,
        };
        let text = if left <= 0.0 { "expired".to_owned() } else { format!("{} left", span(left)) };
        let issuer = match issuer.as_str() {
            "acme" => "from the public CA",
            "internal" => "from the internal CA",
            "file" => "from a file",
            other => other,
        };
        // The internal CA's one certificate is of all local names.
        let site = if site == "internal" && issuer == "from the internal CA" { "local names" } else { site };
        let _ = write!(
            out,
            "<li><span class=\"dot {}\"></span><span><b>{}</b> <span class=\"beside\">{}</span></span><span>{text}</span></li>",
            status.as_str(),
            escape(site),
            escape(issuer)
        );
    }
    out.push_str("</ul>");
    out
}

pub fn containers(state: &State) -> String {
    let Some(snapshot) = state.fresh() else {
        let why = if state.agent_expected { "Nothing is known of the containers: the agent is missing." } else { "" };
        return if why.is_empty() {
            String::new()
        } else {
            format!("<h2>Containers</h2><p class=\"empty card\">{why}</p>")
        };
    };
    let mut out = String::from(
        "<h2>Containers</h2><div class=\"card\"><table><thead><tr><th>Container</th><th>State</th><th>CPU</th><th>Memory</th>\
         <th class=\"number\">Restarts</th><th class=\"number\">Up</th></tr></thead><tbody>",
    );
    for container in &snapshot.containers {
        row(container, &mut out);
    }
    out.push_str("</tbody></table></div>");
    if snapshot.containers.is_empty() {
        out = "<h2>Containers</h2><p class=\"empty card\">The project has no containers.</p>".into();
    }
    out
}

fn row(container: &Container, out: &mut String) {
    let complaint = container.complaint();
    let running = container.state == "running";
    let (status, text) = match (&complaint, container.state.as_str(), container.health.as_str()) {
        (Some(_), "running", health) => (Status::Warn, health),
        (None, "running", "none") => (Status::Pass, "running"),
        (Some(_), state, _) => (Status::Warn, state),
        (None, "running", "healthy" | "starting") => (Status::Pass, container.health.as_str()),
        (None, "exited", _) => (Status::Pass, "done"),
        (None, state, _) => (Status::Pass, state),
    };
    let usage = container.usage.as_ref();
    let cpu = usage.and_then(|usage| Some((usage.cpu_cores?, usage.cpu_limit_cores))).map_or_else(
        String::new,
        |(used, limit)| {
            format!("<span class=\"figure\">{:.0} %</span>{}", used * 100.0, bar(used / limit.unwrap_or(1.0)))
        },
    );
    let memory = usage.map_or_else(String::new, |usage| {
        let of = usage.memory_limit.map(|limit| format!("<small> / {}</small>", bytes(limit))).unwrap_or_default();
        let picture = usage.memory_limit.map(|limit| bar(usage.memory_working_set as f64 / limit.max(1) as f64));
        format!("<span class=\"figure\">{}{of}</span>{}", bytes(usage.memory_working_set), picture.unwrap_or_default())
    });
    let up = match container.started_at {
        Some(start) if running => span(now() - start),
        _ => "–".into(),
    };
    let ooms = match container.ooms {
        0 => String::new(),
        times => format!(" <span class=\"pill warn\">{times}× out of memory</span>"),
    };
    let why = complaint.map(|text| format!("<span class=\"why\">{}</span>", escape(&text))).unwrap_or_default();
    let _ = write!(
        out,
        "<tr><th scope=\"row\"><b>{}</b><small>{}</small>{why}</th><td>{}{ooms}</td><td data-name=\"CPU\">{cpu}</td>\
         <td data-name=\"Memory\">{memory}</td><td class=\"number\" data-name=\"Restarts\">{}</td>\
         <td class=\"number\" data-name=\"Up\">{up}</td></tr>",
        escape(&container.service),
        escape(&container.name),
        if text == "done" { "<span class=\"pill idle\">done</span>".to_owned() } else { pill(status, text) },
        container.restarts,
    );
}

pub fn events(state: &State) -> String {
    let Some(snapshot) = state.fresh().filter(|snapshot| !snapshot.events.is_empty()) else { return String::new() };
    let mut out = String::from("<h2>Recent events</h2><ol class=\"card list events\">");
    for event in snapshot.events.iter().rev() {
        let detail = event.detail.as_deref().unwrap_or_default();
        let status = match (event.action.as_str(), detail) {
            ("oom", _) | ("health_status", "unhealthy") => Status::Fail,
            ("die", "exit code 0") => Status::Pass,
            ("die", _) => Status::Warn,
            _ => Status::Pass,
        };
        let class = if status == Status::Pass && event.action != "health_status" { "quiet" } else { status.as_str() };
        let what = match event.action.as_str() {
            "start" => "started".to_owned(),
            "die" => format!("ended, {detail}"),
            "oom" => "ran out of memory".to_owned(),
            "health_status" => format!("became {detail}"),
            "kill" => format!("was sent {}", if detail.is_empty() { "a signal" } else { detail }),
            "pause" => "was paused".to_owned(),
            "unpause" => "goes on".to_owned(),
            "destroy" => "was removed".to_owned(),
            other => format!("{other} {detail}"),
        };
        let _ = write!(
            out,
            "<li><span class=\"dot {class}\"></span><span><b>{}</b> {}</span><time class=\"beside\" title=\"{}\">{} ago</time></li>",
            escape(&event.container),
            escape(&what),
            clock(event.at),
            span(now() - event.at)
        );
    }
    out.push_str("</ol>");
    out
}
