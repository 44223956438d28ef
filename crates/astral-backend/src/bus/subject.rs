//! Subjects, by the rules of NATS: parts between dots; in a pattern `*` is one part and a last `>` the rest.

use astral_proto::{Code, Problem};

/// Longest subject, in bytes.
const SUBJECT_BYTES_MAX: usize = 256;

/// Accepts a subject to send to.
pub(super) fn check(subject: &str) -> Result<(), Problem> {
    if is_pattern(subject) {
        return Err(malformed(subject, "a subject to send to has no wildcards"));
    }
    check_pattern(subject)
}

/// Accepts a subject to listen to.
pub(super) fn check_pattern(pattern: &str) -> Result<(), Problem> {
    if pattern.len() > SUBJECT_BYTES_MAX {
        return Err(malformed(
            &pattern[..pattern.floor_char_boundary(SUBJECT_BYTES_MAX)],
            "it is over 256 bytes",
        ));
    }
    let mut parts = pattern.split('.').peekable();
    while let Some(part) = parts.next() {
        if part.is_empty() || part.contains(|c: char| c.is_whitespace() || c.is_control()) {
            return Err(malformed(
                pattern,
                "its parts are not empty and hold no blanks",
            ));
        }
        if part == ">" && parts.peek().is_some() {
            return Err(malformed(pattern, "> stands last"));
        }
    }
    Ok(())
}

/// Whether it has wildcards.
pub(super) fn is_pattern(subject: &str) -> bool {
    subject.split('.').any(|part| part == "*" || part == ">")
}

/// Whether `pattern` takes in `subject`.
pub(super) fn matches(pattern: &str, subject: &str) -> bool {
    let mut parts = subject.split('.');
    for wanted in pattern.split('.') {
        match (wanted, parts.next()) {
            (_, None) => return false,
            (">", Some(_)) => return true,
            ("*", Some(_)) => {}
            (wanted, Some(part)) if wanted == part => {}
            _ => return false,
        }
    }
    parts.next().is_none()
}

fn malformed(subject: &str, rule: &str) -> Problem {
    Problem::new(Code::BadRequest, format!("subject {subject:?}: {rule}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wildcards_take_in_what_nats_says() {
        for (pattern, subject, expected) in [
            ("a.b", "a.b", true),
            ("a.b", "a", false),
            ("a.b", "a.b.c", false),
            ("a.*", "a.b", true),
            ("a.*", "a", false),
            ("a.*", "a.b.c", false),
            ("*.b", "a.b", true),
            ("a.>", "a.b.c", true),
            ("a.>", "a", false),
            (">", "a", true),
            ("a.*.c", "a.b.c", true),
            ("a.*.c", "a.b.d", false),
        ] {
            assert_eq!(matches(pattern, subject), expected, "{pattern} {subject}");
        }
    }

    #[test]
    fn malformed_subjects_are_refused() {
        for bad in [
            "",
            ".",
            "a.",
            ".a",
            "a..b",
            "a b",
            "a.\n",
            ">.a",
            &"x".repeat(257),
            &"é".repeat(257),
        ] {
            assert_eq!(
                check_pattern(bad).unwrap_err().code,
                Code::BadRequest,
                "{bad}"
            );
        }
        for pattern in ["*", "a.*.b", "a.>"] {
            assert!(check_pattern(pattern).is_ok(), "{pattern}");
            assert!(check(pattern).is_err(), "{pattern}");
        }
    }
}
