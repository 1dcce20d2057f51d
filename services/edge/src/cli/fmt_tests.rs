//! What the usual form is, and that nothing is lost on the way to it.

use super::format;

#[track_caller]
fn is(text: &str, wanted: &str) {
    let formatted = format(text).unwrap();
    assert_eq!(formatted, wanted);
    assert_eq!(format(&formatted).unwrap(), formatted, "once is enough");
}

#[test]
fn blanks_quotes_and_comments() {
    is(
        "\n\n# Ours.\n  http=[ ':80',':81' ]   #  open\r\n\n\n\n'body_limit'   = '32MB'\nthreads =2 #x\n",
        "# Ours.\nhttp = [\":80\", \":81\"] #  open\n\nbody_limit = \"32MB\"\nthreads = 2 #x\n",
    );
    is("a = 'say \"x\"'\nb = '''\nx'''\nc = \"a\\nb\"\n", "a = 'say \"x\"'\nb = '''\nx'''\nc = \"a\\nb\"\n");
    is("", "");
    is("# only\n", "# only\n");
    is("a = 1\n\n\n# last\n\n", "a = 1\n\n# last\n");
}

#[test]
fn tables() {
    is(
        "a=1\n  # A site.\n  [[ site ]] # first\n   hosts=['x']\n [[site.route]]\n  path='/'\n\n\n# node\n[ upstreams . node ]\nservers=[]\n",
        "a = 1\n\n# A site.\n[[site]] # first\nhosts = [\"x\"]\n\n[[site.route]]\npath = \"/\"\n\n# node\n[upstreams.node]\nservers = []\n",
    );
    is("[a]\nb . c=1\n'd e'.f = 2\n", "[a]\nb.c = 1\n\"d e\".f = 2\n");
    is("# above\nb.c=1 # behind\n# more\nb.d=2\n", "# above\nb.c = 1 # behind\n# more\nb.d = 2\n");
    is("a={b=1,c = 'x'}\nd = {}\n", "a = { b = 1, c = \"x\" }\nd = {}\n");
}

#[test]
fn lists() {
    let entry = "'abcdefghijklmnopqrstuvwxyz'";
    let line = entry.replace('\'', "\"");
    is(
        &format!("a = [{entry},{entry},\n {entry} , {entry}]\n"),
        &format!("a = [\n    {line},\n    {line},\n    {line},\n    {line},\n]\n"),
    );
    is("a = [\n1,\n 2\n]\n", "a = [1, 2]\n");
    is(
        "a = [ # first\n  1, # one\n  # two\n  2, # last\n  # end\n]\n",
        "a = [\n    # first\n    1,\n    # one\n    # two\n    2,\n    # last\n    # end\n]\n",
    );
    is("a = [[1,2],['b']]\n", "a = [[1, 2], [\"b\"]]\n");
}

#[test]
fn what_is_no_toml_is_refused_with_its_line() {
    let (line, words) = format("a = 1\nb = [\nc = 2\n").unwrap_err();
    assert!((2..=4).contains(&line) && !words.is_empty(), "{line}: {words}");
    assert_eq!(format("a = 1\na = 2\n").unwrap_err().0, 2);
}

/// Bytes of good files shuffled about: no panic, and whatever is taken keeps its meaning and its comments.
#[test]
fn anything() {
    let good = "# c\na = [1, # x\n 'b']\n[[site]]\nhosts = ['a.example']\nx = { y = \"z\", w = [ ] }\n[u.n] # end\nb.'c' = '''\nq'''\n";
    let mut random = fastrand::Rng::with_seed(7);
    for _ in 0..8_000 {
        let mut bytes: Vec<char> = good.chars().collect();
        for _ in 0..random.usize(0..6) {
            let (from, to) = (random.usize(0..bytes.len()), random.usize(0..bytes.len()));
            match random.u8(0..3) {
                0 => bytes.swap(from, to),
                1 => bytes[from] = bytes[to],
                _ => drop(bytes.remove(from)),
            }
        }
        let text: String = bytes.into_iter().collect();
        if let Ok(formatted) = format(&text) {
            assert_eq!(format(&formatted).as_deref(), Ok(formatted.as_str()), "{text:?}");
            assert_eq!(formatted.matches('#').count(), text.matches('#').count(), "{text:?} became {formatted:?}");
        }
    }
}
