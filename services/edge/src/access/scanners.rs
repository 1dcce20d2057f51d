//! Paths that only scanners ask a Python site for.
//!
//! The path is the normalised one, so no way of writing it helps; case does not matter. Nothing below `/.well-known/` is
//! ever taken for a scanner's.

/// The list in words, for the reference.
pub const WORDS: &str = "`block_scanners` answers 403 to: files and folders of tools anywhere in a path (`/.env`, `/.env.*`, \
     `/.git`, `/.svn`, `/.hg`, `/.aws`, `/.ssh`, `/.docker`, `/.kube`, `/.vscode`, `/.idea`, `/.DS_Store`, `/.htaccess`, \
     `/.htpasswd`, `/.npmrc`, `/.netrc`, `/.bash_history`, `/.config.php` and the like), names that end in `.php`, `.phtml`, \
     `.asp`, `.aspx`, `.ashx`, `.jsp`, `.jspx`, `.cgi`, `.cfm` or `.php` with a digit or `~`, and paths that begin with \
     `/wp-admin`, `/wp-content`, `/wp-includes`, `/wp-json`, `/wordpress`, `/phpmyadmin`, `/pma`, `/myadmin`, `/cgi-bin`, \
     `/vendor/phpunit`, `/_ignition`, `/boaform`, `/hnap1`, `/actuator`, `/server-status`, `/solr`, `/owa`, `/ecp`, \
     `/autodiscover`, `/remote/login`, `/+cscoe+`, `/dana-na`, `/manager/html`.";

/// Names with a dot in front that are no web page.
const HIDDEN: &[&str] = &[
    ".env",
    ".git",
    ".gitignore",
    ".gitconfig",
    ".svn",
    ".hg",
    ".aws",
    ".ssh",
    ".docker",
    ".kube",
    ".vscode",
    ".idea",
    ".ds_store",
    ".htaccess",
    ".htpasswd",
    ".npmrc",
    ".netrc",
    ".bash_history",
    ".s3cfg",
    ".terraform",
];

/// Languages that a Python site does not speak.
const ENDINGS: &[&str] = &["php", "phtml", "asp", "aspx", "ashx", "jsp", "jspx", "cgi", "cfm"];

/// Beginnings, whole segments.
const BEGINNINGS: &[&[&str]] = &[
    &["wp-admin"],
    &["wp-content"],
    &["wp-includes"],
    &["wp-json"],
    &["wordpress"],
    &["phpmyadmin"],
    &["pma"],
    &["myadmin"],
    &["cgi-bin"],
    &["vendor", "phpunit"],
    &["_ignition"],
    &["boaform"],
    &["hnap1"],
    &["actuator"],
    &["server-status"],
    &["solr"],
    &["owa"],
    &["ecp"],
    &["autodiscover"],
    &["remote", "login"],
    &["+cscoe+"],
    &["dana-na"],
    &["manager", "html"],
];

/// Whether only a scanner asks for it. Looks at each byte a few times at most and keeps nothing.
pub fn asks(path: &str) -> bool {
    let mut segments = path.split('/').skip(1);
    if segments.clone().next() == Some(".well-known") {
        return false;
    }
    let begins = |beginning: &&[&str]| {
        let mut own = path.split('/').skip(1);
        beginning.iter().all(|wanted| own.next().is_some_and(|segment| segment.eq_ignore_ascii_case(wanted)))
    };
    segments.any(|segment| hidden(segment) || ending(segment)) || BEGINNINGS.iter().any(begins)
}

fn hidden(segment: &str) -> bool {
    if !segment.starts_with('.') {
        return false;
    }
    let environment = segment.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(".env."));
    environment || HIDDEN.iter().any(|name| segment.eq_ignore_ascii_case(name))
}

fn ending(segment: &str) -> bool {
    let Some((_, ending)) = segment.rsplit_once('.') else { return false };
    // `x.php7`, and what an editor leaves behind: `x.php~`.
    let ending = ending.trim_end_matches(|c: char| c == '~' || c.is_ascii_digit());
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scanners_ask_for() {
        for path in [
            "/.env",
            "/.ENV",
            "/app/.env.local",
            "/.git/config",
            "/x/.git",
            "/.aws/credentials",
            "/.DS_Store",
            "/wp-login.php",
            "/xmlrpc.php",
            "/a/b/index.PHP",
            "/index.php/x",
            "/shell.php7",
            "/wp-config.php~",
            "/default.aspx",
            "/phpmyadmin",
            "/PhpMyAdmin/index",
            "/wp-admin/",
            "/vendor/phpunit/src",
            "/cgi-bin/luci",
        ] {
            assert!(asks(path), "{path}");
        }
    }

    #[test]
    fn what_people_ask_for() {
        for path in [
            "/",
            "/a",
            "/.well-known/security.txt",
            "/.well-known/x.php",
            "/.environment",
            "/environment",
            "/git",
            "/repo.git/info/refs",
            "/static/app.js",
            "/php",
            "/learn.php.html",
            "/vendor/",
            "/vendor/list",
            "/wp-admins",
            "/owasp",
            "/files/caf\u{e9}.pdf",
            "/x/wp-admin",
            "/...",
            "/.\u{e9}\u{e9}\u{e9}\u{e9}",
        ] {
            assert!(!asks(path), "{path}");
        }
    }

    #[test]
    fn the_words_name_what_is_in_the_list() {
        let words = WORDS.to_ascii_lowercase();
        for name in ENDINGS {
            assert!(words.contains(&format!("`.{name}`")), "{name}");
        }
        for beginning in BEGINNINGS {
            assert!(words.contains(&format!("`/{}`", beginning.join("/"))), "{beginning:?}");
        }
    }
}
