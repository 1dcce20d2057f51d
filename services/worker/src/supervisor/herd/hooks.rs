//! What the zygotes hear for the hooks of gunicorn's arbiter: which processes there are, and whose turn it is.

use super::Herd;
use crate::supervisor::process::Process;
use crate::supervisor::zygote::{Adopted, Order, Role, Zygote};

impl Herd {
    /// What the next zygote is started for.
    pub(super) fn role(&self, place: usize) -> Role {
        let before = self.reload.as_ref().filter(|_| !self.proven).map(super::super::reload::Reload::wanted);
        Role {
            place,
            generation: self.generation,
            workers: self.wanted,
            workers_before: before,
            reload: before.is_some(),
            first: before.is_none() && !self.proven,
        }
    }

    /// The newest zygote takes the place of those that are gone: it hears of their processes, and `when_ready` is called.
    pub(super) fn hand_over(&mut self) {
        let others = self.zygotes.iter().any(|zygote| Some(zygote.id) != self.breeder);
        let Some(zygote) = self.zygotes.iter_mut().find(|zygote| Some(zygote.id) == self.breeder) else { return };
        if others || !zygote.up || zygote.in_charge && zygote.greeted {
            return;
        }
        let orphans = || self.processes.values().filter(|process| process.parent != zygote.id);
        if !zygote.in_charge {
            let adopt: Vec<_> = orphans().filter_map(adopted).collect();
            if !adopt.is_empty() {
                zygote.tell(&Order::Adopt { adopt });
            }
            for reaped in self.unheard.drain(..) {
                zygote.tell(&Order::Reaped { reaped });
            }
        }
        // A port that a hook has opened is inherited by processes: during a reload their end is awaited.
        if !zygote.greeted && (self.reload.is_none() || orphans().next().is_none()) {
            zygote.greeted = true;
            zygote.taking_over = zygote.order(&Order::TakeOver { take_over: true }).is_ok();
        }
        zygote.in_charge = true;
        self.tell_workers();
    }

    /// A process that no zygote could wait for has ended.
    pub(super) fn unhear(&mut self, entry: usize) {
        let Some(reaped) = self.processes.get(&entry).and_then(adopted) else { return };
        let in_charge = |zygote: &&Zygote| zygote.in_charge && zygote.up && !zygote.ending;
        match self.zygotes.iter().find(in_charge) {
            Some(zygote) => zygote.tell(&Order::Reaped { reaped }),
            None => self.unheard.push(reaped),
        }
    }

    /// So many processes are wanted now.
    pub fn tell_workers(&mut self) {
        let workers = self.wanted;
        let knows = |zygote: &Zygote| zygote.workers == workers;
        for zygote in self.zygotes.iter_mut().filter(|zygote| zygote.in_charge && zygote.up && !knows(zygote)) {
            zygote.tell(&Order::Workers { workers });
            zygote.workers = workers;
        }
    }

    /// `os.kill(os.getppid(), …)` in an application or a hook is meant for gunicorn's master, which is the supervisor.
    /// A signal to the whole group of processes reaches both, though, and is one signal all the same.
    pub(super) fn signal_of_a_hook(&mut self, signal: i32) {
        match signal {
            libc::SIGTERM if self.stop.is_none() => {
                self.stopped_by_hook = true;
                self.stop_gracefully();
            }
            libc::SIGTERM => {}
            other => self.signal(other),
        }
    }
}

fn adopted(process: &Process) -> Option<Adopted> {
    Some(Adopted { pid: process.pid?, age: process.age, notes: process.notes.clone() })
}
