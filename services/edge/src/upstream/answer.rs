//! Reading an answer's head: what the worker tells the edge alone, and what may go on to the client.

use super::Killed;
use super::address::ProcessHeader;
use super::headers;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use monodon_http1::Answer;

const PROCESS: &str = "x-monodon-process";
const KILLED: &str = "x-monodon-killed";
const BUFFERING: &str = "x-accel-buffering";
/// Room for the fields that every answer of ours gets, so that the map never grows.
const ADDED: usize = 8;

/// An answer's head as the edge sees it.
#[derive(Debug)]
pub struct Head {
    pub status: StatusCode,
    /// Without what belongs to the connection and without the worker's words to the edge.
    pub headers: HeaderMap,
    pub process: Option<ProcessHeader>,
    /// The answer stands for a request whose process was killed.
    pub killed: Option<Killed>,
    /// The body is to be streamed, not buffered.
    pub streams: bool,
    /// It may be silent for as long as it likes.
    pub patient: bool,
    /// Of a 101: that a WebSocket begins.
    pub websocket: bool,
    /// Seldom.
    pub accel: Option<Box<Accel>>,
}

/// What an application says to the edge of its answer, beside how it is buffered.
#[derive(Clone, Debug, Default)]
pub struct Accel {
    /// Where the answer is: a path of the site.
    pub redirect: Option<HeaderValue>,
    /// Or a file.
    pub sendfile: Option<HeaderValue>,
    /// Bytes a second.
    pub limit_rate: Option<u64>,
    pub charset: Option<HeaderValue>,
}

impl Accel {
    pub fn points(&self) -> bool {
        self.redirect.is_some() || self.sendfile.is_some()
    }
}

impl Head {
    fn new(status: StatusCode, fields: usize) -> Self {
        let headers = HeaderMap::with_capacity(fields + ADDED);
        Self {
            status,
            headers,
            process: None,
            killed: None,
            streams: false,
            patient: false,
            websocket: false,
            accel: None,
        }
    }

    /// `bytes` is exactly the head. The values point into it.
    pub fn read(answer: &Answer, bytes: &Bytes) -> Result<Self, &'static str> {
        let status = StatusCode::from_u16(answer.status).map_err(|_| "status_line")?;
        let mut head = Self::new(status, answer.fields.len());
        let mut listed = Vec::new();
        for field in &answer.fields {
            if head.is_for_us(field.name.of(bytes), field.value.of(bytes)) {
                continue;
            }
            let name = HeaderName::from_bytes(field.name.of(bytes)).map_err(|_| "field_name")?;
            let range = field.value.start as usize..field.value.end as usize;
            let value = HeaderValue::from_maybe_shared(bytes.slice(range)).map_err(|_| "control_byte")?;
            head.field(name, value, &mut listed)?;
        }
        for name in listed {
            head.headers.remove(name);
        }
        head.websocket = answer.upgrade.is_some_and(|value| value.of(bytes).eq_ignore_ascii_case(b"websocket"));
        Ok(head)
    }

    /// What nearly every answer of an upstream says to the edge alone needs no place in a map.
    fn is_for_us(&mut self, name: &[u8], value: &[u8]) -> bool {
        if name.eq_ignore_ascii_case(PROCESS.as_bytes()) {
            self.process = ProcessHeader::parse(value);
            return true;
        }
        // It names no other field.
        name.eq_ignore_ascii_case(b"connection") && matches!(value, b"keep-alive" | b"close")
    }

    /// The same of an answer that has been read into a map.
    pub fn of(status: StatusCode, fields: HeaderMap) -> Result<Self, &'static str> {
        let mut head = Self::new(status, fields.len());
        let mut listed = Vec::new();
        let mut last = None;
        for (name, value) in fields {
            last = name.or(last);
            if let Some(name) = &last {
                head.field(name.clone(), value, &mut listed)?;
            }
        }
        Ok(head)
    }

    fn field(
        &mut self,
        name: HeaderName,
        value: HeaderValue,
        listed: &mut Vec<HeaderName>,
    ) -> Result<(), &'static str> {
        match name.as_str() {
            "connection" => headers::listed(&value, listed),
            PROCESS => self.process = ProcessHeader::parse(value.as_bytes()),
            KILLED => {
                self.killed = match value.as_bytes() {
                    b"timeout" => Some(Killed::Timeout),
                    b"memory" => Some(Killed::Memory),
                    _ => None,
                }
            }
            BUFFERING => self.streams |= value.as_bytes().eq_ignore_ascii_case(b"no"),
            "x-accel-redirect" => self.accel().redirect = Some(value),
            "x-sendfile" => self.accel().sendfile = Some(value),
            "x-accel-charset" => self.accel().charset = Some(value),
            "x-accel-limit-rate" => {
                let rate = value.to_str().ok().and_then(|rate| rate.trim().parse().ok());
                self.accel().limit_rate = rate.filter(|rate| *rate > 0);
            }
            known if headers::stays_behind(known) => {}
            _ => {
                if name == CONTENT_TYPE && is_stream(value.as_bytes()) {
                    self.streams = true;
                    self.patient = true;
                }
                self.headers.try_append(name, value).map_err(|_| "too_many_fields")?;
            }
        }
        Ok(())
    }

    fn accel(&mut self) -> &mut Accel {
        self.accel.get_or_insert_default()
    }

    pub fn with<B>(self, body: B) -> Response<B> {
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(accel) = self.accel {
            response.extensions_mut().insert(*accel);
        }
        response
    }
}

fn is_stream(content_type: &[u8]) -> bool {
    [&b"text/event-stream"[..], b"application/grpc"]
        .iter()
        .any(|prefix| content_type.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use monodon_http1::AnswerLimits;

    fn read(lines: &str) -> Head {
        let bytes = Bytes::from(format!("HTTP/1.1 200 OK\r\n{lines}\r\n"));
        let mut answer = Answer::new();
        assert_eq!(answer.parse(&bytes, false, &AnswerLimits::default()), Ok(true));
        let head = Head::read(&answer, &bytes).unwrap();
        let mut fields = HeaderMap::new();
        for field in &answer.fields {
            let name = HeaderName::from_bytes(field.name.of(&bytes)).unwrap();
            fields.append(name, HeaderValue::from_bytes(field.value.of(&bytes)).unwrap());
        }
        let other = Head::of(StatusCode::OK, fields).unwrap();
        assert_eq!(
            (other.streams, other.patient, other.process, other.killed),
            (head.streams, head.patient, head.process, head.killed)
        );
        head
    }

    #[test]
    fn event_streams_grpc_and_the_application_s_word_are_streamed() {
        for line in [
            "content-type: text/event-stream; charset=utf-8",
            "content-type: application/grpc+proto",
            "X-Accel-Buffering: No",
        ] {
            let head = read(&format!("{line}\r\n"));
            // What is only not to be buffered has the time that any answer has.
            assert_eq!((head.streams, head.patient), (true, line.starts_with("content-type")), "{line}");
        }
        assert!(!read("content-type: text/html\r\n").streams);
        assert!(!read("x-accel-buffering: yes\r\n").streams);
    }

    #[test]
    fn what_is_between_us_and_the_worker_stays_there() {
        let head = read(
            "X-Monodon-Process: 1/1/2\r\nx-monodon-killed: memory\r\nConnection: keep-alive, X-Private\r\n\
             X-Private: 1\r\nkeep-alive: timeout=5\r\nTransfer-Encoding: chunked\r\nContent-Type: text/html\r\n\
             Set-Cookie: a\r\nSet-Cookie: b\r\nX-Accel-Redirect: /internal\r\n",
        );
        assert_eq!(head.process.map(|said| said.all), Some(2));
        assert_eq!(head.killed, Some(Killed::Memory));
        let mut names: Vec<_> = head.headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["content-type", "set-cookie"]);
        assert_eq!(head.accel.unwrap().redirect.unwrap(), "/internal");
        assert_eq!(head.headers.get_all("set-cookie").iter().count(), 2);
    }
}
