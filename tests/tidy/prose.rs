//! Prose: how long lines are, and whether links in documents lead somewhere.

use crate::{files, report, root, text};
use std::path::{Path, PathBuf};

/// Longest line of a comment, in characters: as wide as rustfmt makes code.
const COMMENT_CHARS_MAX: usize = 100;
/// Longest line of a paragraph in a document, in characters.
const DOCUMENT_CHARS_MAX: usize = 130;
/// Comments longer than that from before there was a limit. This number only goes down.
const LONG_COMMENTS_MAX: usize = 1_106;
/// Lines of documents longer than that from before there was a limit. This number only goes down.
const LONG_PARAGRAPH_LINES_MAX: usize = 0;

/// The lines of `text` that are prose: neither code, nor a table, which cannot be wrapped.
fn paragraphs(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut is_code = false;
    text.lines().enumerate().filter(move |(_, line)| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence && !line.starts_with('|') && !line.starts_with("    ")
    })
}

/// The lines that are longer than `chars_max`, as complaints. A word that is longer by itself,
/// such as a URL, cannot be wrapped.
fn too_long<'a>(
    path: &str,
    lines: impl Iterator<Item = (usize, &'a str)>,
    chars_max: usize,
) -> Vec<String> {
    let is_long = |line: &str| {
        let longest_word = line
            .split_whitespace()
            .map(|word| word.chars().count())
            .max();
        line.chars().count() > chars_max && longest_word < Some(chars_max)
    };
    lines
        .filter(|(_, line)| is_long(line))
        .map(|(at, line)| format!("{path}:{}: {} characters", at + 1, line.chars().count()))
        .collect()
}

/// Fails with every complaint if there are more than `known`; also if there are fewer, so that the
/// number follows.
fn report_new(complaints: &[String], known: usize, number: &str) {
    let advice = format!("wrap them; {number} in tests/tidy/prose.rs may only go down");
    if complaints.len() > known {
        report(complaints, &advice);
    }
    println!("{} of {known} known long lines are left", complaints.len());
}

#[test]
fn comments_are_no_wider_than_code() {
    let rust = files().into_iter().filter(|path| path.ends_with(".rs"));
    let mut complaints = Vec::new();
    for path in rust {
        let text = text(&path).unwrap_or_default();
        let comments = text
            .lines()
            .enumerate()
            .filter(|(_, line)| line.trim_start().starts_with("//"));
        complaints.extend(too_long(&path, comments, COMMENT_CHARS_MAX));
    }
    report_new(&complaints, LONG_COMMENTS_MAX, "LONG_COMMENTS_MAX");
}

fn documents() -> Vec<String> {
    let documents = files().into_iter().filter(|path| path.ends_with(".md"));
    documents.collect()
}

#[test]
fn documents_can_be_read_beside_code() {
    let mut complaints = Vec::new();
    for path in documents() {
        let text = text(&path).unwrap_or_default();
        complaints.extend(too_long(&path, paragraphs(&text), DOCUMENT_CHARS_MAX));
    }
    report_new(
        &complaints,
        LONG_PARAGRAPH_LINES_MAX,
        "LONG_PARAGRAPH_LINES_MAX",
    );
}

/// Where the links and images of `text` lead.
fn links(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (_, line) in paragraphs(text).chain(tables(text)) {
        let targets = line.split("](").skip(1);
        found.extend(targets.filter_map(|target| Some(target.split_once(')')?.0.to_owned())));
    }
    found
}

fn tables(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .filter(|(_, line)| line.starts_with('|'))
}

/// The anchor that a page gets for each of its headings: lower case, words joined by hyphens.
fn anchors(text: &str) -> Vec<String> {
    let headings = paragraphs(text)
        .map(|(_, line)| line)
        .filter(|line| line.starts_with('#'));
    let anchor = |heading: &str| {
        let words = heading.trim_start_matches('#').trim().to_lowercase();
        let is_kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
        words
            .chars()
            .filter(is_kept)
            .collect::<String>()
            .replace(' ', "-")
    };
    headings.map(anchor).collect()
}

/// Why `link` on the page `path` leads nowhere; None if it leads somewhere, or out of here.
fn broken(path: &str, link: &str) -> Option<String> {
    if link.contains("://") || link.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = link.split_once('#').unwrap_or((link, ""));
    let folder = Path::new(path).parent().unwrap_or(Path::new(""));
    let target: PathBuf = if file.is_empty() {
        path.into()
    } else {
        folder.join(file)
    };
    if !root().join(&target).exists() {
        return Some(format!("{path}: there is no {}", target.display()));
    }
    let page = text(&target.to_string_lossy()).unwrap_or_default();
    let is_there = anchor.is_empty() || anchors(&page).iter().any(|there| there == anchor);
    (!is_there).then(|| format!("{path}: {} has no heading #{anchor}", target.display()))
}

#[test]
fn links_in_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    let mut count = 0;
    for path in documents() {
        let links = links(&text(&path).unwrap_or_default());
        count += links.len();
        complaints.extend(links.iter().filter_map(|link| broken(&path, link)));
    }
    assert!(count > 10, "only {count} links are seen");
    report(
        &complaints,
        "correct the link, or the heading that it names",
    );
}

#[test]
fn links_headings_and_long_lines_are_recognised() {
    let page =
        "# A `Bus`, and more\n[one](a.md#b) ![two](c.svg)\n```\n[no](x)\n```\n| [three](#d) |\n";
    assert_eq!(links(page), ["a.md#b", "c.svg", "#d"]);
    assert_eq!(anchors(page), ["a-bus-and-more"]);
    assert_eq!(broken("README.md", "https://a.example/b"), None);
    assert!(broken("README.md", "nowhere.md").is_some());
    assert!(broken("README.md", "#no-such-heading").is_some());
    let long = format!("{} end", "word ".repeat(20));
    let url = "x".repeat(120);
    let lines = [(0, &*long), (1, &*url), (2, "short")];
    let complaints = too_long("page", lines.into_iter(), COMMENT_CHARS_MAX);
    assert_eq!(complaints, ["page:1: 104 characters"]);
}
