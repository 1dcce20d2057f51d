//! `wsgi.input`: the body that has arrived, as a file to read from.

use std::{
    fs::File,
    io::{BufRead, BufReader, Cursor, Read},
};

use pyo3::{
    prelude::*,
    types::{PyBytes, PyList},
};

use crate::process::body::{Body, Memory};

enum Source {
    Memory(Cursor<Memory>),
    File(BufReader<File>),
}

#[pyclass(module = "monodon")]
pub struct Input {
    source: Source,
    left: u64,
}

impl Input {
    pub fn new(body: Body) -> Self {
        let left = body.len();
        let source = match body {
            Body::Empty => Source::Memory(Cursor::default()),
            Body::Memory(memory) => Source::Memory(Cursor::new(memory)),
            Body::File { file, .. } => Source::File(BufReader::with_capacity(64 * 1024, file)),
        };
        Self { source, left }
    }

    fn reader(&mut self) -> &mut dyn BufRead {
        match &mut self.source {
            Source::Memory(memory) => memory,
            Source::File(file) => file,
        }
    }

    /// Negative or none: all that is left.
    fn amount(&self, size: Option<i64>) -> usize {
        let left = usize::try_from(self.left).unwrap_or(usize::MAX);
        size.and_then(|size| usize::try_from(size).ok()).map_or(left, |size| size.min(left))
    }

    /// At most `most` bytes of the next line, with its end.
    fn line<'py>(&mut self, py: Python<'py>, most: usize) -> PyResult<Bound<'py, PyBytes>> {
        let line = if let Source::Memory(memory) = &mut self.source {
            let at = usize::try_from(memory.position()).unwrap_or(usize::MAX);
            let rest = memory.get_ref().as_ref().get(at..).unwrap_or_default();
            let rest = rest.get(..most.min(rest.len())).unwrap_or_default();
            let len = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = PyBytes::new(py, rest.get(..len).unwrap_or_default());
            memory.set_position((at + len) as u64);
            line
        } else {
            let mut line = Vec::new();
            self.reader().take(most as u64).read_until(b'\n', &mut line)?;
            PyBytes::new(py, &line)
        };
        self.left = self.left.saturating_sub(line.as_bytes().len() as u64);
        Ok(line)
    }
}

#[pymethods]
impl Input {
    #[pyo3(signature = (size=None, /))]
    fn read<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let amount = self.amount(size);
        let bytes = match &mut self.source {
            Source::Memory(memory) => {
                let at = usize::try_from(memory.position()).unwrap_or(usize::MAX);
                let rest = memory.get_ref().as_ref().get(at..).unwrap_or_default();
                let bytes = PyBytes::new(py, rest.get(..amount).unwrap_or_default());
                memory.set_position((at + amount) as u64);
                bytes
            }
            Source::File(file) => PyBytes::new_with(py, amount, |bytes| Ok(file.read_exact(bytes)?))?,
        };
        self.left = self.left.saturating_sub(amount as u64);
        Ok(bytes)
    }

    #[pyo3(signature = (size=None, /))]
    fn readline<'py>(&mut self, py: Python<'py>, size: Option<i64>) -> PyResult<Bound<'py, PyBytes>> {
        let amount = self.amount(size);
        self.line(py, amount)
    }

    /// All lines, or as many as are needed for `hint` bytes.
    #[pyo3(signature = (hint=None, /))]
    fn readlines<'py>(&mut self, py: Python<'py>, hint: Option<i64>) -> PyResult<Bound<'py, PyList>> {
        let enough = hint.and_then(|hint| usize::try_from(hint).ok()).filter(|hint| *hint > 0).unwrap_or(usize::MAX);
        let lines = PyList::empty(py);
        let mut read = 0;
        while read < enough && self.left > 0 {
            let line = self.readline(py, None)?;
            read += line.as_bytes().len();
            lines.append(line)?;
        }
        Ok(lines)
    }

    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyBytes>>> {
        if self.left == 0 {
            return Ok(None);
        }
        self.readline(py, None).map(Some)
    }
}
