//! ffmpeg publishes to a session and plays from one. It must be installed.

#![allow(clippy::unwrap_used, reason = "the helpers are test code too")]

use astral_media::rtmp::{Event, MessageKind, ServerSession, write_message};
use bytes::{Bytes, BytesMut};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// A peer silent for this long has failed the test.
const SILENCE: Duration = Duration::from_secs(20);
/// What the publisher sends.
const FRAMES: usize = 60;
/// Added for the player, so that extended timestamps begin a second into the stream.
const LATE_MS: u32 = 0xFF_FFFF - 1000;

/// One connection from ffmpeg.
struct Connection {
    socket: TcpStream,
    session: ServerSession,
    input: BytesMut,
}

impl Connection {
    fn accept(listener: &TcpListener) -> Self {
        let listener = listener.try_clone().unwrap();
        let (sender, receiver) = mpsc::sync_channel(1);
        std::thread::spawn(move || sender.send(listener.accept().unwrap().0));
        let socket = receiver.recv_timeout(SILENCE).expect("ffmpeg connects");
        socket.set_read_timeout(Some(SILENCE)).unwrap();
        Self {
            socket,
            session: ServerSession::new(),
            input: BytesMut::new(),
        }
    }

    /// The next event; none when ffmpeg has closed.
    fn next(&mut self) -> Option<Event> {
        let mut buffer = [0; 16 << 10];
        loop {
            let event = self.session.receive(&mut self.input).unwrap();
            self.flush();
            if event.is_some() {
                return event;
            }
            match self.socket.read(&mut buffer) {
                // A player that has enough leaves without reading what was sent last.
                Ok(0) => return None,
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Ok(length) => self.input.extend_from_slice(&buffer[..length]),
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn flush(&mut self) {
        self.socket.write_all(&self.session.take_output()).unwrap();
    }

    fn relay(&mut self, kind: MessageKind, timestamp: u32, body: Bytes) {
        for piece in write_message(kind, timestamp + LATE_MS, &[body]) {
            self.socket.write_all(&piece).unwrap();
        }
    }
}

fn listener() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtmp://{}/live/SLUG?key=K", listener.local_addr().unwrap());
    (listener, url)
}

fn ffmpeg(arguments: &str, url: &str) -> Child {
    let arguments = arguments
        .split_whitespace()
        .map(|argument| if argument == "URL" { url } else { argument });
    let mut command = Command::new("ffmpeg");
    command
        .args(["-hide_banner", "-nostdin"])
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command.spawn().expect("ffmpeg must be installed")
}

fn publish(url: &str) -> Child {
    ffmpeg(
        "-re -f lavfi -i testsrc2=s=320x180:r=30 -f lavfi -i sine=r=44100 -frames:v 60 -shortest \
         -c:v libx264 -preset ultrafast -g 15 -c:a aac -f flv URL",
        url,
    )
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

/// Goal: real encoders and players can live with the session. Method: a player waits, ffmpeg
/// publishes, every message goes from one to the other; the player must decode every frame that the
/// publisher sent, without complaint.
#[test]
fn ffmpeg_plays_what_ffmpeg_publishes() {
    let (listener, url) = listener();
    let player = ffmpeg(
        "-v info -progress pipe:1 -i URL -c:v rawvideo -c:a pcm_s16le -f null -",
        &url,
    );
    let mut viewer = Connection::accept(&listener);
    assert!(matches!(viewer.next(), Some(Event::Play(request)) if request.name == "SLUG"));
    viewer.session.accept_play();
    viewer.flush();

    let encoder = publish(&url);
    let mut publisher = Connection::accept(&listener);
    let Some(Event::Publish(request)) = publisher.next() else {
        panic!("ffmpeg publishes")
    };
    assert_eq!(
        (&*request.app, &*request.name, request.parameter("key")),
        ("live", "SLUG", Some("K"))
    );
    publisher.session.accept_publish();
    publisher.flush();

    let mut videos = 0;
    let mut audios = 0;
    loop {
        match publisher.next() {
            Some(Event::Metadata(metadata)) => {
                assert!(metadata.expects_video && metadata.expects_audio);
                assert_eq!((metadata.width, metadata.video_codec), (Some(320), Some(7)));
            }
            Some(Event::Video { timestamp, body }) => {
                videos += 1;
                viewer.relay(MessageKind::Video, timestamp, body);
            }
            Some(Event::Audio { timestamp, body }) => {
                audios += 1;
                viewer.relay(MessageKind::Audio, timestamp, body);
            }
            Some(Event::Unpublish) => break,
            other => panic!("{other:?}"),
        }
    }
    viewer.session.end_play();
    viewer.flush();
    assert!(encoder.wait_with_output().unwrap().status.success());
    while viewer.next().is_some() {}

    // A configuration before the frames, an end of sequence after them.
    assert_eq!(videos, FRAMES + 2);
    assert!(audios > 80, "{audios} audio messages");
    let played = player.wait_with_output().unwrap();
    assert!(played.status.success(), "{}", text(&played));
    assert!(
        text(&played).contains(&format!("frame={FRAMES}\n")),
        "{}",
        text(&played)
    );
}

#[test]
fn ffmpeg_shows_why_its_publish_is_refused() {
    let (listener, url) = listener();
    let encoder = publish(&url);
    let mut publisher = Connection::accept(&listener);
    assert!(matches!(publisher.next(), Some(Event::Publish(_))));
    publisher
        .session
        .reject_publish("NetStream.Publish.Denied", "the key is wrong");
    publisher.flush();
    while publisher.next().is_some() {}
    let output = encoder.wait_with_output().unwrap();
    assert!(!output.status.success());
    assert!(
        text(&output).contains("the key is wrong"),
        "{}",
        text(&output)
    );
}
