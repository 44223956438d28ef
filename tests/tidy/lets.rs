//! Each statement says one thing.

use crate::{files, report, text};

/// Where the bracket ends that `text` begins with.
fn end_of_bracket(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, letter) in text.char_indices() {
        match letter {
            '(' => depth += 1,
            ')' if depth == 1 => return Some(at + 1),
            ')' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// Whether `text` begins with a statement that gives a name to each of several values.
fn binds_several(text: &str) -> Option<bool> {
    let pattern = text.strip_prefix("let ")?;
    let rest = &pattern[end_of_bracket(pattern)?..];
    let is_typed = rest.starts_with(": (");
    let rest = if is_typed {
        &rest[2 + end_of_bracket(&rest[2..])?..]
    } else {
        rest
    };
    let values = rest.trim_start().strip_prefix("=")?.trim_start();
    let is_tuple = values.starts_with('(');
    Some(is_tuple && values[end_of_bracket(values)?..].starts_with(';'))
}

fn complaints(path: &str) -> Vec<String> {
    let text = text(path).unwrap_or_default();
    let is_statement =
        |at: usize| text[..at].ends_with([' ', '\n']) && binds_several(&text[at..]) == Some(true);
    let lets = text
        .match_indices("let (")
        .filter(|(at, _)| is_statement(*at));
    let line = |at: usize| text[..at].lines().count();
    lets.map(|(at, _)| format!("{path}:{}", line(at))).collect()
}

#[test]
fn a_statement_gives_one_value_a_name() {
    let code: Vec<String> = files()
        .into_iter()
        .filter(|path| path.ends_with(".rs"))
        .collect();
    let complaints: Vec<String> = code.iter().flat_map(|path| complaints(path)).collect();
    report(
        &complaints,
        "write one let for each value: let (a, b) = (x, y) hides what belongs together",
    );
}

#[test]
fn several_names_at_once_are_recognised() {
    let bad = [
        "let (a, mut b) = (f(1), 2);",
        "let (a, b): (u8, u8) = (1, 2);",
        "let (a, b) =\n    (1, 2);",
    ];
    let good = [
        "let (a, b) = f();",
        "let (a, b) = (1, 2).into();",
        "let (a, b): (u8, u8) = f(1);",
        "let a = (1, 2);",
    ];
    assert!(bad.iter().all(|text| binds_several(text) == Some(true)));
    assert!(good.iter().all(|text| binds_several(text) != Some(true)));
}
