//! Signals, with gunicorn's meanings.

use std::io;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc::UnboundedSender;

use super::Event;
use super::herd::Herd;
use super::zygote::Zygote;

const HEARD: [i32; 10] = [
    libc::SIGTERM,
    libc::SIGINT,
    libc::SIGQUIT,
    libc::SIGHUP,
    libc::SIGTTIN,
    libc::SIGTTOU,
    libc::SIGUSR1,
    libc::SIGUSR2,
    libc::SIGWINCH,
    libc::SIGCHLD,
];

pub fn listen(events: &UnboundedSender<Event>) -> io::Result<()> {
    for number in HEARD {
        let mut heard = signal(SignalKind::from_raw(number))?;
        let events = events.clone();
        tokio::task::spawn_local(async move {
            while heard.recv().await.is_some() && events.send(Event::Signal(number)).is_ok() {}
        });
    }
    Ok(())
}

impl Herd {
    pub fn signal(&mut self, number: i32) {
        match number {
            libc::SIGTERM if std::mem::take(&mut self.stopped_by_hook) => {}
            libc::SIGTERM => self.stop_gracefully(),
            libc::SIGINT | libc::SIGQUIT => {
                tracing::info!("stopping at once");
                self.stop_now();
            }
            libc::SIGHUP => self.reload(None),
            libc::SIGTTIN => self.scale(self.wanted + 1),
            libc::SIGTTOU => self.scale(self.wanted.saturating_sub(1)),
            libc::SIGUSR1 => {
                monodon_logging::reopen();
                tracing::info!("log files are opened anew");
                self.zygotes.iter().for_each(Zygote::reopen);
                self.processes.values().for_each(|process| process.signal(libc::SIGUSR1));
            }
            libc::SIGUSR2 => self.upgrade(),
            libc::SIGWINCH => self.stand_down(),
            // SIGCHLD: the next step reaps.
            _ => {}
        }
    }

    pub(super) fn scale(&mut self, wanted: usize) {
        let most = self.most();
        if wanted == 0 || wanted > most {
            tracing::warn!("processes stay {}: at least 1 and at most {most} without a restart", self.wanted);
            return;
        }
        self.wanted = wanted;
        self.tell_workers();
        tracing::info!(processes = wanted, "number of processes changed");
    }
}
