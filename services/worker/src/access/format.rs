//! `access_log_format` compiled: literal text and atoms, in the language of Python's `%` with names (PEP 3101's
//! elder), for gunicorn hands its atoms to `logging` as a mapping.

/// A compiled format.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Format {
    pub(super) pieces: Vec<Piece>,
    wants: Wants,
}

/// What has to be kept for the line while the request is answered, because it is gone when the line is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wants {
    /// The response's fields.
    pub response: bool,
    /// Keys of the environ, in lower case: they are looked for whatever their case is there.
    pub environ: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    Text(Vec<u8>),
    Atom(Atom, Option<Width>),
}

/// The atoms, in the order of gunicorn's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Atom {
    Client,
    User,
    Time,
    RequestLine,
    Method,
    Path,
    Query,
    Protocol,
    Status,
    Length,
    Referer,
    Agent,
    Seconds,
    Millis,
    Micros,
    Decimal,
    Pid,
    RequestField(Vec<u8>),
    ResponseField(Vec<u8>),
    /// A place in [`Wants::environ`].
    Environ(usize),
    /// What nobody knows is a dash, as in gunicorn; `l` is one always.
    Dash,
}

/// `%(T)05d`, `%(h)-15s`, `%(a).20s`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Width {
    pub left: bool,
    pub zero: bool,
    pub least: usize,
    /// Of texts: no more than so many characters.
    pub most: Option<usize>,
}

/// Nobody pads a line to more than this; it bounds what one line can take.
const WIDEST: usize = 4096;

impl Format {
    /// Compiles; the error is a sentence that says what is wrong and what to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut format = Self { pieces: Vec::new(), wants: Wants::default() };
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('%') {
            format.text(before);
            rest = match after.strip_prefix('%') {
                Some(after) => {
                    format.text("%");
                    after
                }
                None => format.atom(after)?,
            };
        }
        format.text(rest);
        Ok(format)
    }

    pub fn wants(&self) -> &Wants {
        &self.wants
    }

    fn text(&mut self, text: &str) {
        match self.pieces.last_mut() {
            _ if text.is_empty() => {}
            Some(Piece::Text(known)) => known.extend_from_slice(text.as_bytes()),
            _ => self.pieces.push(Piece::Text(text.as_bytes().to_vec())),
        }
    }

    /// Reads from behind the `%`; returns what follows the atom.
    fn atom<'t>(&mut self, text: &'t str) -> Result<&'t str, String> {
        let shown = |text: &str| text.chars().take(24).collect::<String>();
        let (name, spec) = text.strip_prefix('(').and_then(|text| text.split_once(')')).ok_or_else(|| {
            format!("`%{}` is no atom: atoms are written %(h)s, and a percent sign itself %%", shown(text))
        })?;
        let (width, kind, rest) = Width::read(spec).ok_or_else(|| {
            format!("`%({name}){}` ends in no conversion: write %({name})s, or %({name})d for a number", shown(spec))
        })?;
        let atom = self.named(name);
        let number = matches!(atom, Atom::Seconds | Atom::Millis | Atom::Micros) || name == "B";
        if kind == b'd' && !number {
            return Err(format!("%({name})d: only T, M, D and B are numbers; write %({name})s"));
        }
        self.pieces.push(Piece::Atom(atom, width));
        Ok(rest)
    }

    fn named(&mut self, name: &str) -> Atom {
        match name {
            "h" => Atom::Client,
            "u" => Atom::User,
            "t" => Atom::Time,
            "r" => Atom::RequestLine,
            "m" => Atom::Method,
            "U" => Atom::Path,
            "q" => Atom::Query,
            "H" => Atom::Protocol,
            "s" => Atom::Status,
            "b" | "B" => Atom::Length,
            "f" => Atom::Referer,
            "a" => Atom::Agent,
            "T" => Atom::Seconds,
            "M" => Atom::Millis,
            "D" => Atom::Micros,
            "L" => Atom::Decimal,
            "p" => Atom::Pid,
            _ => self.looked_up(name).unwrap_or(Atom::Dash),
        }
    }

    /// `{user-agent}i`, `{content-type}o`, `{wsgi.url_scheme}e`, in any case.
    fn looked_up(&mut self, name: &str) -> Option<Atom> {
        let (key, kind) = name.strip_prefix('{')?.rsplit_once('}')?;
        let key = key.to_lowercase();
        match kind {
            "i" | "I" => Some(Atom::RequestField(key.into_bytes())),
            "o" | "O" => {
                self.wants.response = true;
                Some(Atom::ResponseField(key.into_bytes()))
            }
            "e" | "E" => {
                let environ = &mut self.wants.environ;
                let place = environ.iter().position(|known| *known == key).unwrap_or_else(|| {
                    environ.push(key);
                    environ.len() - 1
                });
                Some(Atom::Environ(place))
            }
            _ => None,
        }
    }
}

impl Width {
    /// Flags, width, precision and conversion: what is given of them, the conversion (`s` or `d`), and what follows.
    fn read(spec: &str) -> Option<(Option<Self>, u8, &str)> {
        let flags = spec.len() - spec.trim_start_matches(['-', '0', '#', ' ', '+']).len();
        let (flags, rest) = spec.split_at(flags);
        let (least, rest) = number(rest);
        let (most, rest) = match rest.strip_prefix('.') {
            Some(rest) => {
                let (most, rest) = number(rest);
                // A bare point is a precision of zero.
                (Some(most.unwrap_or(0)), rest)
            }
            None => (None, rest),
        };
        // C's length modifiers mean nothing, to Python neither.
        let rest = rest.strip_prefix(['h', 'l', 'L']).unwrap_or(rest);
        let kind = match rest.as_bytes().first()? {
            b's' => b's',
            b'd' | b'i' | b'u' => b'd',
            _ => return None,
        };
        if least.is_some_and(|least| least > WIDEST) {
            return None;
        }
        let width = Self {
            left: flags.contains('-'),
            zero: kind == b'd' && flags.contains('0'),
            least: least.unwrap_or(0),
            most: most.filter(|_| kind == b's'),
        };
        let plain = width.least == 0 && width.most.is_none();
        Some(((!plain).then_some(width), kind, rest.get(1..)?))
    }
}

fn number(text: &str) -> (Option<usize>, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    (if digits.is_empty() { None } else { Some(digits.parse().unwrap_or(usize::MAX)) }, rest)
}
