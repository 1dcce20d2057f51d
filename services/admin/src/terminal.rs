//! What the services' `status` commands have in common.

use std::io::{self, Write};

/// `3h12m`
pub fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m{:02}", seconds / 60, seconds % 60),
        3600..86400 => format!("{}h{:02}", seconds / 3600, seconds % 3600 / 60),
        _ => format!("{}d{:02}", seconds / 86400, seconds % 86400 / 3600),
    }
}

/// Without what would move a person's cursor or colour their screen: requests and answers may hold anything.
pub fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

pub fn tell(text: &str) -> io::Result<()> {
    writeln!(io::stdout(), "{text}")
}

/// In the place of what was on the screen.
pub fn repaint(text: &str) -> io::Result<()> {
    tell(&format!("\x1b[H\x1b[2J{text}"))
}
