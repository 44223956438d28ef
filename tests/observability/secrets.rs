//! Secrets in the logs of every program: there are none, whatever level is asked for.

use crate::live::SLUG;
use astral_proto::NodeId;
use astral_proto::message::{RequestTicket, Tickets};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use harness::processes::{Deployment, Program};
use harness::{Gateway, Publisher, Viewer, eventually, http};
use sha2::{Digest, Sha256};
use std::path::PathBuf;

/// Of NATS and Redis, with what a URL must encode.
const PASSWORD: &str = "p@ss/word#of:both?100%";
const KEY: &str = "publish-key~s3cret";
const WRONG_KEY: &str = "guessed-key~0815";
const ADMIN_TOKEN: &str = "admin-token-d41d8cd98f00b204";
const NODE_TOKEN: &str = "node-token-e9800998ecf8427e";
const WRONG_TOKEN: &str = "wrong-token-7215ee9c7d9dc229";
/// How every signed ticket begins.
const TICKETS: &str = "eyJhbGciOiJFZERTQSJ9";

/// A file that is gone with this.
struct File(PathBuf);

impl File {
    fn holding(text: &str) -> Self {
        let path = std::env::temp_dir().join(format!("astral-secrets-{}", NodeId::random()));
        std::fs::write(&path, text).expect("a file in the temporary directory");
        Self(path)
    }

    fn path(&self) -> &str {
        self.0.to_str().expect("it is plain ASCII")
    }
}

impl Drop for File {
    fn drop(&mut self) {
        drop(std::fs::remove_file(&self.0));
    }
}

fn tokens(node: NodeId) -> File {
    let hash = |token: &str| {
        Sha256::digest(token)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect::<String>()
    };
    File::holding(&format!(
        "[[token]]\nname = \"boss\"\nrole = \"admin\"\nsha256 = \"{}\"\n\
         [[token]]\nname = \"venue\"\nrole = \"node\"\nnode = \"{node}\"\nsha256 = \"{}\"\n",
        hash(ADMIN_TOKEN),
        hash(NODE_TOKEN)
    ))
}

/// Everything by which `secret` could be known to a reader: as it is, percent-encoded, in hexadecimal, and in base64 wherever
/// it stands in what was encoded.
fn forms(secret: &str) -> Vec<String> {
    let percent = |upper: bool| {
        let encoded = secret.bytes().map(|byte| match byte {
            _ if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) => {
                char::from(byte).to_string()
            }
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        });
        encoded.collect::<String>()
    };
    let hexadecimal = secret
        .bytes()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>();
    let mut forms = vec![
        secret.to_owned(),
        percent(true),
        percent(false),
        hexadecimal,
    ];
    for before in 0..3 {
        let bytes = [&vec![0; before][..], secret.as_bytes()].concat();
        for encoded in [
            STANDARD_NO_PAD.encode(&bytes),
            URL_SAFE_NO_PAD.encode(&bytes),
        ] {
            // The first and the last characters depend on what stands beside the secret.
            forms.push(encoded[4..encoded.len() - 4].to_owned());
        }
    }
    forms
}

fn holds_none(name: &str, program: &Program, secrets: &[&str]) {
    let written = program.written();
    assert!(!written.is_empty(), "{name} has logged nothing");
    for secret in secrets {
        for form in forms(secret) {
            let line = written.lines().find(|line| line.contains(&form));
            assert!(
                line.is_none(),
                "{name} logs {secret:?} as {form:?}: {line:?}"
            );
        }
    }
    let ticket = written.lines().find(|line| line.contains(TICKETS));
    assert!(ticket.is_none(), "{name} logs a ticket: {ticket:?}");
}

async fn says(program: &Program, word: &str) {
    let ops = program.door("ops");
    eventually(&format!("/readyz says {word:?}"), || async {
        http::get(ops, "/readyz")
            .await?
            .text()
            .contains(word)
            .then_some(())
    })
    .await;
}

/// One ticket, as a node outside the cluster gets it.
async fn ticket(gateway: Gateway, node: NodeId) -> String {
    let slug = SLUG.parse().expect("a stream's name");
    let ask = RequestTicket {
        slug,
        subscriber: node,
        exclude: vec![],
        left: vec![],
    };
    let path = format!("/v1/streams/{SLUG}/tickets");
    let body = serde_json::to_string(&ask).expect("plain data");
    let answer = eventually("there is a ticket", || async {
        let answer = http::send_as(gateway.0, NODE_TOKEN, "POST", &path, &body).await?;
        (answer.status == 201).then_some(answer)
    });
    answer.await.json::<Tickets>().active.token.to_string()
}

/// Goal: no log of any program holds a secret, however much is logged. Method: every program runs at `trace`; secrets of all
/// kinds, right and wrong ones, are used; bus and state go away and come back; then the logs are searched.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_program_logs_a_secret_at_any_level() {
    let node = NodeId::random();
    let tokens = tokens(node);
    let token = File::holding(NODE_TOKEN);
    let variables = [
        ("ASTRAL_LOG_LEVEL", "trace"),
        ("ASTRAL_API_TOKENS_FILE", tokens.path()),
    ];
    let mut deployment = Deployment::start_secured(1, PASSWORD, &variables).await;
    let gateway = deployment.gateway();
    let body = format!(r#"{{"slug":"{SLUG}","key":"{KEY}"}}"#);
    for (token, status) in [(WRONG_TOKEN, 401), (NODE_TOKEN, 403), (ADMIN_TOKEN, 201)] {
        let made = http::send_as(gateway.0, token, "POST", "/v1/streams", &body).await;
        assert_eq!(made.map(|answer| answer.status), Some(status));
    }
    let changes = deployment.program("rest-gateway-1").logged();
    let change = changes
        .iter()
        .find(|line| line["message"] == "changed over REST")
        .expect("it is logged");
    assert_eq!(
        (&change["token"], &change["stream.slug"]),
        (&"boss".into(), &SLUG.into()),
        "{change}"
    );
    let rtmp = deployment
        .add_relay("origin", "supernode", &[])
        .await
        .door("rtmp");
    let own = [
        "--uuid",
        &node.to_string(),
        "--token-file",
        token.path(),
        "--role",
        "node",
    ];
    let media = deployment.add_edge_with("edge", &own).await.door("media");
    Publisher::start(rtmp, &format!("{SLUG}?key={WRONG_KEY}"))
        .gives_up()
        .await;
    let _publisher = Publisher::start(rtmp, &format!("{SLUG}?key={KEY}"));
    gateway.lists_live(SLUG).await;
    let viewer = Viewer::start(media, SLUG);
    viewer.sees_more(1).await;
    let ticket = ticket(gateway, node).await;
    deployment.nats.kill();
    says(deployment.program("directory-1"), "bus: away").await;
    deployment.nats.restart().await;
    says(deployment.program("directory-1"), "bus: up").await;
    deployment.redis.kill();
    says(deployment.program("directory-1"), "state: away").await;
    deployment.redis.restart().await;
    says(deployment.program("directory-1"), "state: up").await;
    says(deployment.program("edge"), "control_plane: up").await;
    viewer.sees_more(1).await;
    let secrets = [
        PASSWORD,
        KEY,
        WRONG_KEY,
        ADMIN_TOKEN,
        NODE_TOKEN,
        WRONG_TOKEN,
        &ticket,
    ];
    for (name, program) in deployment.programs() {
        holds_none(name, program, &secrets);
    }
}
