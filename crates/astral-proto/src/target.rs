//! The targets of HTTP requests (RFC 9112, section 3.2), in the form that every listener compares.

/// The target in origin form, with every unreserved character decoded (RFC 3986, 6.2.2.2). Other percent encodings stay:
/// an encoded slash is not a separator.
pub fn normal(target: &str) -> String {
    let target = without_authority(target);
    let mut plain = String::with_capacity(target.len());
    let mut rest = target;
    while let Some(at) = rest.find('%') {
        let (before, encoded) = rest.split_at(at);
        plain.push_str(before);
        let taken = match unreserved(encoded) {
            Some(character) => {
                plain.push(character);
                3
            }
            None => {
                plain.push('%');
                1
            }
        };
        rest = &encoded[taken..];
    }
    plain.push_str(rest);
    plain
}

/// Removes scheme and authority from an absolute target, which a server must accept too (RFC 9112, 3.2.2).
fn without_authority(target: &str) -> &str {
    let Some((scheme, rest)) = target.split_once("://") else {
        return target;
    };
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return target;
    }
    rest.find(['/', '?']).map_or("/", |at| &rest[at..])
}

/// The character that `%XX` encodes, if it is unreserved.
fn unreserved(encoded: &str) -> Option<char> {
    let code = u8::from_str_radix(
        encoded
            .get(1..3)
            .filter(|digits| !digits.starts_with('+'))?,
        16,
    )
    .ok()?;
    let is_unreserved = code.is_ascii_alphanumeric() || b"-._~".contains(&code);
    is_unreserved.then(|| char::from(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_one_plain_form() {
        for (target, plain) in [
            ("/live/demo.flv?x=1", "/live/demo.flv?x=1"),
            ("/live/%64emo%2Eflv?%78=%31", "/live/demo.flv?x=1"),
            ("http://relay:8081/live/demo.flv", "/live/demo.flv"),
            (
                "HTTPS://relay/live/demo.flv?a=http://b/",
                "/live/demo.flv?a=http://b/",
            ),
            ("http://relay", "/"),
            ("http://relay?x=1", "?x=1"),
            ("/live/a%2Fb%25%zz%4", "/live/a%2Fb%25%zz%4"),
            ("/live/%+1%é", "/live/%+1%é"),
            ("/redirect?to=ftp://x/", "/redirect?to=ftp://x/"),
            ("*", "*"),
        ] {
            assert_eq!(normal(target), plain, "{target}");
        }
    }
}
