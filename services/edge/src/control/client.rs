//! The other end of the control socket: what the commands ask a running edge.

use super::place;
use monodon_admin::Answer;
use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(30);

/// One request; `Err` is a sentence.
pub fn ask(state: &Path, method: &str, path: &str, body: &str) -> Result<Answer, String> {
    let place = place(state);
    let talk = || -> io::Result<Answer> {
        let stream = UnixStream::connect(&place)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        monodon_admin::request(stream, method, path, body, |_| Ok(()))
    };
    talk().map_err(|error| {
        format!("{}: {error}; is the edge running here, as the same user and with this state folder?", place.display())
    })
}

/// Asks, and says what was answered; what was refused goes to stderr and gives exit code 1.
pub fn say(state: &Path, method: &str, path: &str, body: &str) -> ExitCode {
    match ask(state, method, path, body) {
        Ok(answer) if answer.status == 200 => {
            // A reader that leaves (`| head`) is no failure.
            let _ = io::stdout().write_all(&answer.body);
            ExitCode::SUCCESS
        }
        Ok(answer) => {
            eprint!("monodon-edge: {}", String::from_utf8_lossy(&answer.body));
            ExitCode::FAILURE
        }
        Err(words) => {
            eprintln!("monodon-edge: {words}");
            ExitCode::FAILURE
        }
    }
}
