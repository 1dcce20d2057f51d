//! Why a request is refused: one variant a rule, with the status it gets and a word for logs and metrics.

macro_rules! rejects {
    ($($(#[$doc:meta])* $name:ident = $status:literal $reason:literal,)*) => {
        /// A request that is not served. The connection closes after the answer, always: nobody can say where the next request begins.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reject { $($(#[$doc])* $name,)* }

        impl Reject {
            /// Every rule, for metrics that are there before the first refusal.
            pub const ALL: &'static [Self] = &[$(Self::$name,)*];

            /// The status of the answer.
            pub fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The rule in snake_case, for logs and metrics.
            pub fn reason(self) -> &'static str {
                match self { $(Self::$name => $reason,)* }
            }
        }
    };
}

rejects! {
    /// RFC 9112 2.2: we do not take a bare LF for a line's end, though we might.
    BareLf = 400 "bare_lf",
    /// RFC 9112 2.2: a bare CR is invalid.
    BareCr = 400 "bare_cr",
    /// RFC 9110 5.5: NUL is dangerous.
    Nul = 400 "nul",
    /// Another control byte.
    Control = 400 "control_byte",
    /// RFC 9112 2.2: at least one empty line before the request line should be ignored: exactly one is.
    EmptyLines = 400 "empty_lines",
    /// RFC 9112 3: three parts, one space between them.
    RequestLine = 400 "request_line",
    /// RFC 9110 9.1: a method is a token; ours are of capitals, and of three to twenty.
    Method = 400 "method",
    /// RFC 9112 3.2: space, control, non-ASCII or fragment in the target, or no form at all.
    Target = 400 "target",
    /// RFC 9112 3.2.3, 3.2.4: the form is for another method.
    TargetForm = 400 "target_form",
    /// RFC 9112 2.3: not `HTTP/` digit `.` digit.
    VersionSyntax = 400 "version_syntax",
    /// RFC 9110 15.6.6: neither 1.0 nor 1.1.
    Version = 505 "version",
    /// The request line is over its limit.
    LineTooLong = 414 "line_too_long",
    /// The whole head is over its limit.
    HeadTooLong = 431 "head_too_long",
    /// One field is over its limit.
    FieldTooLong = 431 "field_too_long",
    /// More fields than allowed.
    TooManyFields = 431 "too_many_fields",
    /// RFC 9112 5.2: a line that begins with whitespace.
    ObsFold = 400 "obs_fold",
    /// RFC 9112 5.1: whitespace in or after the name.
    SpaceInName = 400 "space_in_name",
    /// A field line without a colon.
    NoColon = 400 "no_colon",
    /// RFC 9110 5.1: a name is a token.
    FieldName = 400 "field_name",
    /// RFC 9112 3.2: HTTP/1.1 without Host.
    HostMissing = 400 "host_missing",
    /// RFC 9112 3.2: more than one Host.
    HostTwice = 400 "host_twice",
    /// RFC 9110 7.2: not host or host:port.
    Host = 400 "host",
    /// RFC 9110 8.6: not digits alone, or too large for 64 bits.
    ContentLength = 400 "content_length",
    /// RFC 9110 8.6 lets equal ones be merged; we refuse.
    ContentLengthTwice = 400 "content_length_twice",
    /// RFC 9110 5.3, 8.3: more than one Content-Type.
    ContentTypeTwice = 400 "content_type_twice",
    /// RFC 9112 6.1: both lengths; ought to be handled as an error.
    LengthAndEncoding = 400 "length_and_encoding",
    /// RFC 9112 6.1: anything but `chunked`, written in a way that hides something.
    TransferEncoding = 400 "transfer_encoding",
    /// RFC 9112 7: a coding that we do not know.
    TransferCoding = 501 "transfer_coding",
    /// RFC 9112 6.1: more than one Transfer-Encoding.
    TransferEncodingTwice = 400 "transfer_encoding_twice",
    /// RFC 9112 6.1: Transfer-Encoding in HTTP/1.0.
    TransferEncodingVersion = 400 "transfer_encoding_version",
    /// RFC 9110 10.1.1: only `100-continue`, once.
    Expect = 417 "expect",
    /// RFC 9110 7.8: an upgrade with a body, after which nobody knows what the bytes are.
    UpgradeWithBody = 400 "upgrade_with_body",
    /// More than one Upgrade field.
    UpgradeTwice = 400 "upgrade_twice",
    /// RFC 9112 7.1: not hexadecimal digits alone, or too many.
    ChunkSize = 400 "chunk_size",
    /// RFC 9112 7.1.1: extensions that are too long, hold control bytes, or are none.
    ChunkExtension = 400 "chunk_extension",
    /// RFC 9112 7.1: no CRLF after a chunk's data.
    ChunkEnd = 400 "chunk_end",
    /// RFC 9110 6.5.1: a field that says where the message goes, how long it is or who sends it.
    Trailer = 400 "trailer",
    /// RFC 9112 7.1.2: the trailers are too long.
    TrailersTooLong = 431 "trailers_too_long",
    /// RFC 9110 15.5.14: the body is over the limit.
    BodyTooLarge = 413 "body_too_large",
    /// RFC 9112 4, of an answer: not `HTTP/1.`, a digit, a space and three digits.
    StatusLine = 502 "status_line",
    /// RFC 9110 15.2, of an answer: one with a status of 1xx that announces a body.
    InterimBody = 502 "interim_body",
}

impl std::fmt::Display for Reject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl std::error::Error for Reject {}
