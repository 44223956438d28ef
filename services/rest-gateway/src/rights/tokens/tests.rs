use super::*;
use std::fmt::Write;

/// The hash of `token`, as `sha256sum` prints it.
fn hash(token: &str) -> String {
    Sha256::digest(token)
        .iter()
        .fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
}

fn entry(name: &str, role: &str, token: &str, more: &str) -> String {
    format!(
        "[[token]]\nname = {name:?}\nrole = {role:?}\nsha256 = {:?}\n{more}\n",
        hash(token)
    )
}

/// A file of one test.
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str, text: &str) -> Self {
        let path =
            std::env::temp_dir().join(format!("astral-tokens-{}-{name}.toml", std::process::id()));
        fs::write(&path, text).unwrap();
        Self(path)
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

#[test]
fn a_token_is_found_by_its_hash_alone() {
    let file = Scratch::new(
        "found",
        &(entry("ops", "admin", "one", "") + &entry("eye", "read", "two", "")),
    );
    let tokens = Tokens::read(&file.0).unwrap();
    assert_eq!(tokens.find("two").unwrap().entry.name, "eye");
    assert_eq!(tokens.find("one").unwrap().entry.role, TokenRole::Admin);
    for stranger in ["", "three", &hash("one"), &"x".repeat(600)] {
        assert!(tokens.find(stranger).is_none(), "{stranger}");
    }
}

#[test]
fn a_bad_file_is_refused_and_none_of_its_lines_quoted() {
    let secret = "a-token-that-stands-here-in-the-clear";
    for (bad, said) in [
        (format!("token = {secret}"), ""),
        (
            format!("[[token]]\nname = \"x\"\nrole = \"admin\"\nsha256 = \"{secret}\""),
            "64 hexadecimal",
        ),
        (entry("x", "king", "t", ""), "king"),
        (entry("x", "admin", "t", "colour = 1"), "colour"),
        (entry("x", "node", "t", ""), "names its node"),
        (
            entry(
                "x",
                "read",
                "t",
                &format!("node = \"{}\"", NodeId::random()),
            ),
            "names its node",
        ),
    ] {
        let why = parse(&bad).unwrap_err();
        assert!(why.contains(said) && !why.contains(secret), "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_file_is_read_again_when_it_changes_and_only_if_it_is_good() {
    let kept = entry("eye", "read", "three", "");
    let file = Scratch::new("followed", &(entry("ops", "admin", "one", "") + &kept));
    let tokens = Arc::new(Tokens::read(&file.0).unwrap());
    let stopping = CancellationToken::new();
    let following = tokio::spawn(tokens.clone().follow(stopping.clone()));
    tokio::task::yield_now().await;
    let [gone, stays] = ["one", "three"].map(|token| tokens.find(token).unwrap().revoked);
    fs::write(&file.0, "not toml at all").unwrap();
    tokio::time::sleep(LOOK_INTERVAL * 2).await;
    assert!(tokens.find("one").is_some(), "a bad file changes nothing");
    assert!(!gone.is_cancelled());
    fs::write(&file.0, entry("operations", "admin", "two", "") + &kept).unwrap();
    tokio::time::sleep(LOOK_INTERVAL * 2).await;
    assert!(tokens.find("one").is_none() && tokens.find("two").is_some());
    assert!(
        gone.is_cancelled() && !stays.is_cancelled(),
        "whoever still has a token goes on"
    );
    stopping.cancel();
    following.await.unwrap();
}
