//! The relay link, for those who have no ticket to it.

use crate::house::{SLUG, house};
use crate::wire::{Answer, get};
use astral_proto::limits::CLOCK_TOLERANCE;
use astral_proto::ticket::{Claims, sign};
use astral_proto::{Kbps, NodeId, TicketId, UnixMillis};
use ed25519_dalek::SigningKey;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn now() -> UnixMillis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    UnixMillis::ZERO + since.expect("it is after 1970")
}

/// A ticket for relay 1 that is good.
fn good() -> Claims {
    Claims {
        id: TicketId::random(),
        slug: SLUG.parse().expect("a slug"),
        provider: house().cluster.network.relays[0].node,
        subscriber: NodeId::random(),
        standby: false,
        kbps: Kbps::new(100),
        expires_at: now() + Duration::from_secs(60),
    }
}

async fn ask(token: &str, query: &str) -> Answer {
    let field = format!("Authorization: Bearer {token}\r\n");
    get(
        house().cluster.media(1),
        &format!("/relay/{SLUG}{query}"),
        &field,
    )
    .await
}

async fn ask_by(claims: &Claims, key: &SigningKey) -> Answer {
    ask(&sign(claims, key), "").await
}

#[tokio::test]
async fn a_link_without_a_ticket_is_401() {
    let target = format!("/relay/{SLUG}");
    let door = house().cluster.media(1);
    for fields in [
        "",
        "Authorization: Basic YTpi\r\n",
        "Authorization: Bearer\r\n",
        "Authorization: \r\n",
    ] {
        get(door, &target, fields)
            .await
            .is_problem(401, "unauthenticated");
    }
    house().is_unharmed().await;
}

#[tokio::test]
async fn forged_expired_and_garbled_tickets_are_401() {
    let forger = SigningKey::from_bytes(&[8; 32]);
    ask_by(&good(), &forger)
        .await
        .is_problem(401, "unauthenticated");
    let expired = Claims {
        expires_at: now() - CLOCK_TOLERANCE - Duration::from_secs(1),
        ..good()
    };
    ask_by(&expired, &house().key)
        .await
        .is_problem(401, "unauthenticated");
    let token = sign(&good(), &house().key);
    let (signed, signature) = token.rsplit_once('.').expect("three parts");
    let unsigned = format!("{signed}.");
    let cut = &token[..token.len() - 3];
    let swapped = format!(
        "{}.{signature}",
        sign(&expired, &house().key)
            .rsplit_once('.')
            .expect("parts")
            .0
    );
    for token in [
        "x",
        "..",
        "a.b.c",
        &unsigned,
        cut,
        &swapped,
        &"x".repeat(5000),
    ] {
        ask(token, "").await.is_problem(401, "unauthenticated");
    }
    house().is_unharmed().await;
}

#[tokio::test]
async fn a_ticket_for_another_stream_or_provider_is_403() {
    let other_stream = Claims {
        slug: "other".parse().expect("a slug"),
        ..good()
    };
    ask_by(&other_stream, &house().key)
        .await
        .is_problem(403, "forbidden");
    let other_provider = Claims {
        provider: NodeId::random(),
        ..good()
    };
    ask_by(&other_provider, &house().key)
        .await
        .is_problem(403, "forbidden");
    house().is_unharmed().await;
}

#[tokio::test]
async fn a_link_from_no_frame_is_400_and_one_from_long_ago_is_410_or_whole() {
    let token = sign(&good(), &house().key);
    for from in [
        "garbage",
        "",
        "1",
        "1.x",
        "-1.0",
        "1.2.3",
        "99999999999999999999.0",
        "1.4294967296",
    ] {
        ask(&token, &format!("?from={from}"))
            .await
            .is_problem(400, "bad_request");
    }
    house().is_unharmed().await;
}
