//! Names as the text format 0.0.4 allows them; prometheus_client itself takes any, and writes `_` for what is not.

/// `[a-zA-Z_:][a-zA-Z0-9_:]*`
pub fn metric(name: String) -> String {
    tidy(name, |c| c == ':')
}

/// `[a-zA-Z_][a-zA-Z0-9_]*`
pub fn label(name: String) -> String {
    tidy(name, |_| false)
}

fn tidy(name: String, also: impl Fn(char) -> bool) -> String {
    let good = |(at, c): (usize, char)| c.is_ascii_alphabetic() || c == '_' || at > 0 && c.is_ascii_digit() || also(c);
    if name.chars().enumerate().all(good) {
        return name;
    }
    name.chars().enumerate().map(|(at, c)| if good((at, c)) { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_format_does_not_know_is_an_underscore() {
        let metric = |name: &str| metric(name.to_owned());
        assert_eq!(metric("http:requests_total"), "http:requests_total");
        assert_eq!(metric("2xx.größe-€"), "_xx_gr__e__");
        assert_eq!(label("a:b".to_owned()), "a_b");
    }
}
