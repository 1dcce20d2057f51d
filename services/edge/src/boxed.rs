//! Large futures on the heap, made where they stay.

use std::pin::Pin;

/// As `Box::pin(make())` for a future that is large and new, of which only the arguments are set.
///
/// `Box::pin` is given a value that stands on the stack already, and that has to be dropped should there be no memory: so all its bytes
/// are copied, 8 kB for a request. Here the room is there first, and the compiler sets the few fields in it.
#[inline(always)]
#[allow(clippy::inline_always, reason = "what is not inlined is made elsewhere and copied")]
pub fn boxed<F: Future>(make: impl FnOnce() -> F) -> Pin<Box<F>> {
    let room = Box::new_uninit();
    Box::into_pin(Box::write(room, make()))
}
