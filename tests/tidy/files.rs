//! How long files are, and what must not or must stand in them.

use crate::{files, report, root, text};

/// Longest file of code, in lines; tests stand apart.
const LINES_MAX: usize = 500;
/// What files should stay under.
const LINES_AIM: usize = 350;
/// Longest `main.rs` of a service: one call. The ticket broker also sets its allocator.
const MAIN_LINES_MAX: usize = 12;
/// Longest ARCHITECTURE.md, which is to be read whole.
const ARCHITECTURE_LINES_MAX: usize = 200;
/// What a newcomer reads.
const DOCUMENTS: &[&str] = &["README.md", "ARCHITECTURE.md"];
/// Folders of what is written by machines, or by others.
const NOT_OURS: &[&str] = &["Cargo.lock", "package-lock.json", "/vendor/"];

fn lines(path: &str) -> usize {
    text(path).map_or(0, |text| text.lines().count())
}

fn is_test(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("/tests.rs") || path.starts_with("tests/")
}

/// The lines of a file of code before the tests at its end.
fn lines_of_code(path: &str) -> usize {
    let text = text(path).unwrap_or_default();
    text.split("\n#[cfg(test)]\nmod tests {")
        .next()
        .map_or(0, |code| code.lines().count())
}

fn code() -> impl Iterator<Item = String> {
    files()
        .into_iter()
        .filter(|path| path.ends_with(".rs") && !is_test(path))
}

#[test]
fn files_have_one_subject_and_end_before_it_is_lost() {
    let lengths: Vec<_> = code().map(|path| (lines_of_code(&path), path)).collect();
    let over = |limit: usize| {
        let over = lengths.iter().filter(move |(lines, _)| *lines > limit);
        over.map(|(lines, path)| format!("{path}: {lines} lines"))
            .collect::<Vec<_>>()
    };
    let long = over(LINES_AIM);
    println!("{} files are over {LINES_AIM} lines: {long:?}", long.len());
    report(
        &over(LINES_MAX),
        "split foo.rs into foo.rs and foo/part.rs by subject; tests go to foo/tests.rs",
    );
}

/// The `main.rs` of each service.
fn mains() -> impl Iterator<Item = String> {
    code().filter(|path| path.starts_with("services/") && path.ends_with("/src/main.rs"))
}

#[test]
fn a_main_is_short_enough_to_hold_no_decision() {
    let long = mains()
        .map(|path| (lines_of_code(&path), path))
        .filter(|(lines, _)| *lines > MAIN_LINES_MAX);
    let complaints: Vec<_> = long
        .map(|(lines, path)| format!("{path}: {lines} lines"))
        .collect();
    report(
        &complaints,
        &format!(
            "a main.rs has at most {MAIN_LINES_MAX} lines: put the rest into lib.rs, where tests reach it"
        ),
    );
}

#[test]
fn a_main_only_runs_its_service() {
    let idle = mains().filter(|path| {
        let text = text(path).unwrap_or_default();
        !text.contains("::run()") && !text.contains("astral_service::run::<")
    });
    let complaints: Vec<_> = idle
        .map(|path| format!("{path} does not run its service"))
        .collect();
    report(
        &complaints,
        "call astral_service::run, or the run function of the service's library",
    );
}

#[test]
fn newcomers_find_a_readme_and_an_architecture_they_can_read_whole() {
    let missing = DOCUMENTS.iter().filter(|path| !root().join(path).is_file());
    let complaints: Vec<_> = missing.map(|path| format!("there is no {path}")).collect();
    report(&complaints, "write it");
    let length = lines("ARCHITECTURE.md");
    let advice =
        "leave out what code says itself: it names rooms, arrows, promises and walkthroughs";
    assert!(
        length < ARCHITECTURE_LINES_MAX,
        "ARCHITECTURE.md has {length} lines; {advice}"
    );
}

#[test]
fn nothing_is_left_to_be_done_later() {
    // Put together here, so that this file does not find itself.
    let marks = [
        ["TO", "DO"],
        ["FIX", "ME"],
        ["unimplemented", "!"],
        ["todo", "!"],
    ]
    .map(|mark| mark.concat());
    let ours = files()
        .into_iter()
        .filter(|path| !NOT_OURS.iter().any(|other| path.contains(other)));
    let mut complaints = Vec::new();
    for path in ours {
        let text = text(&path).unwrap_or_default();
        let marked = text
            .lines()
            .enumerate()
            .filter(|(_, line)| marks.iter().any(|mark| has_word(line, mark)));
        complaints.extend(marked.map(|(at, line)| format!("{path}:{}: {}", at + 1, line.trim())));
    }
    report(
        &complaints,
        "do it, or take it out: what is planned belongs into an issue",
    );
}

/// Whether `mark` stands in `line`, and not within a longer word.
fn has_word(line: &str, mark: &str) -> bool {
    line.match_indices(mark).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + mark.len()..].chars().next();
        let in_word =
            |neighbour: Option<char>| neighbour.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !in_word(before) && (mark.ends_with('!') || !in_word(after))
    })
}
