#!/bin/sh
# Three relays and a publisher on this machine, until Ctrl-C.
set -eu
cd "$(dirname "$0")/.."

command -v ffmpeg >/dev/null 2>&1 || {
    echo "the demo publishes with ffmpeg: install the package ffmpeg, or run make setup" >&2
    exit 1
}

http=${ASTRAL_HTTP_LISTEN:-127.0.0.1:8080}
rtmp=${ASTRAL_RTMP_LISTEN:-127.0.0.1:1935}
stop() {
    trap - EXIT
    kill ${publisher:-} ${astral:-} 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

target/release/astral up --relays 3 "$@" &
astral=$!

# A publisher cannot start before its door is open; ffmpeg that ends is started again while the network runs.
publish() {
    clock="drawtext=text='%{localtime\:%T}':fontsize=h/8:x=(w-tw)/2:y=h*0.72:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=16"
    ffmpeg -hide_banner -loglevel error -f lavfi -i color=size=16x16:duration=0.1,"$clock" -f null - 2>/dev/null || clock=null
    exec ffmpeg -hide_banner -loglevel error -re -f lavfi -i testsrc2=size=1280x720:rate=30 -f lavfi -i sine=frequency=330 \
        -vf "$clock" -c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -b:v 2500k -maxrate 2500k -bufsize 2500k -g 60 \
        -c:a aac -b:a 128k -f flv "rtmp://$rtmp/live/demo"
}
