//! A page in headless Chromium, controlled over the Chrome DevTools Protocol through a pipe.

use harness::eventually;
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// A browser that takes longer for an answer hangs.
const ANSWER_WAIT: Duration = Duration::from_secs(20);
/// The ends of the pipe are descriptors 3 and 4 of the browser.
const LAUNCH: &str = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
const FLAGS: &str = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync --mute-audio \
                     --disable-background-networking --disable-component-update --remote-debugging-pipe \
                     --autoplay-policy=no-user-gesture-required";

/// A page with its own browser, which is killed when the page is dropped.
pub struct Page {
    pipe: Mutex<Pipe>,
    profile: PathBuf,
    _browser: Child,
}

struct Pipe {
    commands: ChildStdin,
    answers: BufReader<ChildStdout>,
    session: Option<String>,
    last_id: u64,
}

impl Page {
    /// Opens `url` in a new browser. `name` is the name of its profile.
    pub async fn open(name: &str, url: &str) -> Self {
        let profile = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("browser-{name}"));
        // An earlier run may have left one.
        drop(std::fs::remove_dir_all(&profile));
        let mut browser = Command::new("sh")
            .args(["-c", LAUNCH, "sh"])
            .args(FLAGS.split_whitespace())
            .arg(format!("--user-data-dir={}", profile.display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a shell starts");
        let commands = browser.stdin.take().expect("its input is piped");
        let answers = BufReader::new(browser.stdout.take().expect("its output is piped"));
        let mut pipe = Pipe {
            commands,
            answers,
            session: None,
            last_id: 0,
        };
        let target = pipe
            .call("Target.createTarget", json!({"url": "about:blank"}))
            .await;
        let attach = json!({"targetId": target["targetId"], "flatten": true});
        let session = pipe.call("Target.attachToTarget", attach).await;
        pipe.session = session["sessionId"].as_str().map(str::to_owned);
        pipe.call("Page.navigate", json!({ "url": url })).await;
        Self {
            pipe: Mutex::new(pipe),
            profile,
            _browser: browser,
        }
    }

    /// Goes to `url`.
    pub async fn goto(&self, url: &str) {
        self.pipe
            .lock()
            .await
            .call("Page.navigate", json!({ "url": url }))
            .await;
    }

    /// Shows the page on a phone whose screen is `width` CSS pixels wide.
    pub async fn resize(&self, width: u32) {
        let screen = json!({
            "width": width, "height": 800, "screenWidth": width, "screenHeight": 800,
            "deviceScaleFactor": 2, "mobile": true
        });
        self.pipe
            .lock()
            .await
            .call("Emulation.setDeviceMetricsOverride", screen)
            .await;
    }

    /// Evaluates the expression `script` in the page. If it is a promise, its result is returned.
    pub async fn evaluate(&self, script: &str) -> Value {
        let request = json!({"expression": script, "awaitPromise": true, "returnByValue": true});
        let answer = self
            .pipe
            .lock()
            .await
            .call("Runtime.evaluate", request)
            .await;
        let failure = &answer["exceptionDetails"];
        assert!(failure.is_null(), "{script}: {failure}");
        answer["result"]["value"].clone()
    }

    /// Waits until the expression `condition` is true in the page.
    pub async fn eventually(&self, condition: &str) {
        // The expression fails until the page has loaded.
        let careful = format!(
            "(async () => {{ try {{ return !!({condition}) }} catch {{ return false }} }})()"
        );
        eventually(condition, || async {
            (self.evaluate(&careful).await == true).then_some(())
        })
        .await;
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.profile));
    }
}

impl Pipe {
    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.last_id += 1;
        let mut command = json!({"id": self.last_id, "method": method, "params": params});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let bytes = format!("{command}\0");
        self.commands
            .write_all(bytes.as_bytes())
            .await
            .expect("chromium runs; `make setup` installs it");
        let answer = timeout(ANSWER_WAIT, self.answer()).await;
        answer.unwrap_or_else(|_| {
            panic!("the browser gave no answer to {method} within {ANSWER_WAIT:?}")
        })
    }

    /// Returns the answer to the last command. Events before it are ignored.
    async fn answer(&mut self) -> Value {
        loop {
            let mut message = Vec::new();
            let length = self
                .answers
                .read_until(0, &mut message)
                .await
                .expect("the pipe can be read");
            assert!(length > 0, "chromium runs; `make setup` installs it");
            message.pop();
            let mut message: Value =
                serde_json::from_slice(&message).expect("the browser speaks JSON");
            if message["id"] == self.last_id {
                assert!(message["error"].is_null(), "{}", message["error"]);
                return message["result"].take();
            }
        }
    }
}
