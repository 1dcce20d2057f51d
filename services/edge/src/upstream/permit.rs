//! The right to have one request worked on.

use super::address::Address;
use super::bulkhead::Held;
use std::sync::Arc;

/// Comes back when dropped. It counts twice: in the address's total, which bounds what is sent there, and in the process
/// that the connection leads to, so that no request is sent behind a busy one. Where the request's route is measured or
/// bounded, it counts there too.
pub struct Permit {
    address: Arc<Address>,
    entry: Option<u32>,
    held: Option<Held>,
}

impl Permit {
    /// Of an address where one has been counted.
    pub(super) fn new(address: Arc<Address>) -> Self {
        Self { address, entry: None, held: None }
    }

    pub fn address(&self) -> &Arc<Address> {
        &self.address
    }

    /// The route's share in it goes back together with it.
    pub fn hold(&mut self, held: Option<Held>) {
        self.held = held.map(Held::begin);
    }

    /// Take a slot of this process, if one is free.
    pub fn try_bind(&mut self, entry: u32) -> bool {
        let Some(process) = self.address.process(entry) else {
            return true;
        };
        let taken = process.take();
        if taken {
            self.unbind();
            self.entry = Some(entry);
        }
        taken
    }

    /// The answer came from this process, whatever we thought before.
    pub fn bind(&mut self, entry: u32) {
        if self.entry == Some(entry) {
            return;
        }
        self.unbind();
        if let Some(process) = self.address.process(entry) {
            process.add();
            self.entry = Some(entry);
        }
    }

    fn unbind(&mut self) {
        if let Some(process) = self.entry.take().and_then(|entry| self.address.process(entry)) {
            process.give_back();
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.unbind();
        self.address.give_back();
        self.held = None;
        self.address.queue().pass();
    }
}

#[cfg(test)]
mod tests {
    use super::super::address::tests::address;
    use super::super::process::ProcessHeader;
    use http::StatusCode;

    #[test]
    fn a_process_takes_no_more_than_its_slots() {
        let address = address();
        address.learn(Some(ProcessHeader { entry: 0, slots: 1, all: 2 }), StatusCode::OK);
        address.learn(Some(ProcessHeader { entry: 1, slots: 1, all: 2 }), StatusCode::OK);
        let (mut a, mut b) = (address.take().unwrap(), address.take().unwrap());
        assert!(a.try_bind(0));
        assert!(!b.try_bind(0));
        assert!(b.try_bind(1));
        drop(a);
        let mut c = address.take().unwrap();
        assert!(!c.try_bind(1));
        assert!(c.try_bind(0));
    }
}
