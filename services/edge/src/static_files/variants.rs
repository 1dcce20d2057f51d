//! The same file in content codings: siblings that lie beside it, and small ones that were made here.

use super::entity::Entity;
use crate::compress::Coding;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::{Duration, Instant};

/// By [`Coding`].
pub type Siblings = [Option<Rc<Entity>>; 3];

#[derive(Default)]
pub struct Variants {
    siblings: RefCell<Siblings>,
    /// When siblings were last looked for.
    looked: Cell<Option<Instant>>,
    made: RefCell<[Made; 3]>,
    worth: Cell<Option<Worth>>,
}

/// Whether it is worth looking for siblings, and sending it in codings of ours.
#[derive(Clone, Copy)]
pub struct Worth {
    pub siblings: bool,
    pub coding: bool,
}

#[derive(Default, Clone)]
pub enum Made {
    #[default]
    No,
    /// A thread is at it.
    Working,
    /// It would not be smaller.
    Never,
    Ready(Rc<Entity>),
}

impl Variants {
    /// Asked once for each version of a file.
    pub fn worth(&self, find: impl FnOnce() -> Worth) -> Worth {
        self.worth.get().unwrap_or_else(|| {
            let worth = find();
            self.worth.set(Some(worth));
            worth
        })
    }

    pub fn is_fresh(&self, now: Instant, fresh: Duration) -> bool {
        self.looked.get().is_some_and(|looked| now < looked + fresh)
    }

    pub fn found(&self, now: Instant, siblings: Siblings) {
        self.looked.set(Some(now));
        *self.siblings.borrow_mut() = siblings;
    }

    pub fn siblings(&self) -> Siblings {
        self.siblings.borrow().clone()
    }

    pub fn has_siblings(&self) -> bool {
        self.siblings.borrow().iter().any(Option::is_some)
    }

    pub fn sibling(&self, coding: Coding) -> Option<Rc<Entity>> {
        self.siblings.borrow().get(coding as usize).cloned().flatten()
    }

    pub fn made(&self, coding: Coding) -> Made {
        self.made.borrow().get(coding as usize).cloned().unwrap_or(Made::Never)
    }

    pub fn set_made(&self, coding: Coding, made: Made) {
        if let Some(place) = self.made.borrow_mut().get_mut(coding as usize) {
            *place = made;
        }
    }

    pub fn weight(&self) -> usize {
        let siblings: usize = self.siblings.borrow().iter().flatten().map(|entity| entity.weight()).sum();
        let made = self.made.borrow();
        let made = made.iter().map(|made| if let Made::Ready(entity) = made { entity.weight() } else { 0 });
        siblings + made.sum::<usize>()
    }
}
