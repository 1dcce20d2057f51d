//! Text as WSGI has it: every byte of the wire is one character (PEP 3333, "Unicode issues").
#![allow(unsafe_code)]

use pyo3::{exceptions::PyValueError, ffi, prelude::*, types::PyString};

/// The `str` whose characters are these bytes.
pub fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyString>> {
    let len = ffi::Py_ssize_t::try_from(bytes.len())?;
    // SAFETY: pointer and length are those of one slice, which is only read during the call; the result is a new
    // reference to a `str`, or null with an exception set, which `from_owned_ptr_or_err` turns into an error.
    unsafe {
        let text = ffi::PyUnicode_DecodeLatin1(bytes.as_ptr().cast(), len, std::ptr::null());
        Bound::from_owned_ptr_or_err(py, text).map(|text| text.cast_into_unchecked())
    }
}

/// The bytes of a `str`, which may hold nothing above U+00FF. `scratch` is used when they are not ASCII.
pub fn bytes<'t>(text: &'t Bound<'_, PyString>, scratch: &'t mut Vec<u8>) -> PyResult<&'t [u8]> {
    let utf8 = text.to_str()?;
    if utf8.is_ascii() {
        return Ok(utf8.as_bytes());
    }
    scratch.clear();
    for character in utf8.chars() {
        let byte = u8::try_from(character).map_err(|_| {
            PyValueError::new_err(format!(
                "{utf8:?} holds {character:?}, which is not latin-1: encode it (as in RFC 8187) before it becomes a header"
            ))
        })?;
        scratch.push(byte);
    }
    Ok(scratch)
}
