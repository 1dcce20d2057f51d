//! The control socket in the state folder: mode 0600, one word in, the outcome out. What changes state is here and
//! nowhere on a port.

use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;
use tokio::sync::{mpsc, oneshot};

/// A reload that somebody waits for.
pub type Request = oneshot::Sender<Result<(), String>>;

const PATIENCE: Duration = Duration::from_secs(30);

fn place(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Opens the socket. The folder is the edge's own: a file that is left there is of an edge that is gone.
pub fn open(state: &Path) -> io::Result<UnixListener> {
    std::fs::create_dir_all(state)?;
    let place = place(state);
    if std::os::unix::net::UnixStream::connect(&place).is_ok() {
        return Err(io::Error::other(format!("{}: another edge is running with this state folder", place.display())));
    }
    match std::fs::remove_file(&place) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&place)?;
    std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Passes what is asked to the control thread's loop.
pub async fn serve(listener: UnixListener, requests: mpsc::Sender<Request>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let requests = requests.clone();
        tokio::spawn(async move {
            let mut word = [0; 16];
            let read = tokio::time::timeout(Duration::from_secs(1), stream.read(&mut word));
            let Ok(Ok(length)) = read.await else { return };
            let answer = match word.get(..length).map(<[u8]>::trim_ascii) {
                Some(b"reload") => {
                    let (sender, outcome) = oneshot::channel();
                    let _ = requests.send(sender).await;
                    match outcome.await {
                        Ok(Ok(())) => "ok\n".to_owned(),
                        Ok(Err(problems)) => problems,
                        Err(_) => "the edge is stopping".to_owned(),
                    }
                }
                _ => "unknown command".to_owned(),
            };
            let _ = stream.write_all(answer.as_bytes()).await;
        });
    }
}

/// `monodon-edge reload`: asks the running edge, and says what it said.
pub fn ask_reload(state: &Path) -> ExitCode {
    let place = place(state);
    let ask = || -> io::Result<String> {
        let mut stream = std::os::unix::net::UnixStream::connect(&place)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.write_all(b"reload\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match ask() {
        Ok(answer) if answer == "ok\n" => ExitCode::SUCCESS,
        Ok(problems) => {
            eprintln!("monodon-edge: the configuration in force stays:\n{problems}");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("monodon-edge: {}: {error}; is the edge running with this state folder?", place.display());
            ExitCode::FAILURE
        }
    }
}
