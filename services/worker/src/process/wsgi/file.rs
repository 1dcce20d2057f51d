//! `wsgi.file_wrapper`: a file as a response, sent by the kernel where it is a real file, else read in blocks.

use std::{fs::File, os::fd::RawFd};

use pyo3::{intern, prelude::*, types::PyBytes};

use crate::process::fds;

#[pyclass(module = "monodon")]
pub struct FileWrapper {
    #[pyo3(get)]
    filelike: Py<PyAny>,
    #[pyo3(get)]
    blksize: usize,
}

/// A part of a file that the kernel can send.
pub struct Sendable {
    pub file: File,
    pub offset: u64,
    pub len: u64,
}

impl FileWrapper {
    /// The file behind it from where it stands now, if it is a regular one.
    pub fn sendable(&self, py: Python<'_>) -> Option<Sendable> {
        // An object that translates what it reads (gzip, text) may have a descriptor too: only the two plain readers
        // are known to give the file's own bytes. Wrappers such as Django's `File` pass on the method of one.
        let filelike =
            &self.filelike.bind(py).getattr(intern!(py, "read")).ok()?.getattr(intern!(py, "__self__")).ok()?;
        let io = py.import(intern!(py, "io")).ok()?;
        let plain = [intern!(py, "BufferedReader"), intern!(py, "FileIO"), intern!(py, "BufferedRandom")];
        let is = |name| io.getattr(name).is_ok_and(|class| filelike.get_type().is(&class));
        if !plain.into_iter().any(is) {
            return None;
        }
        if let Ok(raw) = filelike.getattr(intern!(py, "raw"))
            && !raw.get_type().is(&io.getattr(intern!(py, "FileIO")).ok()?)
        {
            return None;
        }
        let fd: RawFd = filelike.call_method0(intern!(py, "fileno")).ok()?.extract().ok()?;
        let offset: u64 = filelike.call_method0(intern!(py, "tell")).ok()?.extract().ok()?;
        let file = File::from(fds::duplicate(fd).ok()?);
        let meta = file.metadata().ok().filter(std::fs::Metadata::is_file)?;
        Some(Sendable { file, offset, len: meta.len().saturating_sub(offset) })
    }
}

#[pymethods]
impl FileWrapper {
    #[new]
    #[pyo3(signature = (filelike, blksize=8192, /))]
    fn new(filelike: Py<PyAny>, blksize: usize) -> Self {
        Self { filelike, blksize }
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let block = self.filelike.bind(py).call_method1(intern!(py, "read"), (self.blksize,))?;
        Ok(Some(block).filter(|block| !block.cast::<PyBytes>().is_ok_and(|bytes| bytes.as_bytes().is_empty())))
    }

    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.filelike.bind(py).getattr_opt(intern!(py, "close"))? {
            Some(close) => close.call0().map(drop),
            None => Ok(()),
        }
    }
}
