#!/bin/sh
# Three relays and a publisher on this machine, until Ctrl-C. Flags are handed on to `astral up`.
set -eu
cd "$(dirname "$0")/.."

command -v ffmpeg >/dev/null 2>&1 || {
    echo "the demo publishes with ffmpeg, which is not here: install the package ffmpeg, or run make setup" >&2
    exit 1
}

network="" publisher=""
stop() {
    trap - EXIT
    # shellcheck disable=SC2086 # none, one or two ids
    kill $publisher $network 2>/dev/null || true
    wait
}
trap stop EXIT
trap 'exit 0' INT TERM

log=$(mktemp)
target/release/astral up --relays 3 --log-format json "$@" 2>"$log" &
network=$!

# Where the network opened the first of its doors called $1; empty until it has.
door() { sed -n "s/.*\"door\":\"$1\",\"address\":\"\([^\"]*\)\".*/\1/p" "$log" | head -n 1; }
until [ -n "$(door http)" ]; do
    kill -0 "$network" 2>/dev/null || { cat "$log" >&2; rm "$log"; exit 1; }
    sleep 0.1
done
http=$(door http) rtmp=$(door rtmp)
rm "$log"

clock="drawtext=text='%{localtime}':fontsize=h/9:x=(w-tw)/2:y=h*0.74:fontcolor=white:box=1:boxcolor=black@0.6:boxborderw=18"
# Without a font the pattern's own clock has to do.
ffmpeg -loglevel quiet -f lavfi -i "color,$clock" -frames:v 1 -f null - || clock=null
ffmpeg -loglevel fatal -re -f lavfi -i "testsrc2=size=1280x720:rate=30,$clock" -f lavfi -i sine=frequency=330 \
    -c:v libx264 -preset veryfast -tune zerolatency -pix_fmt yuv420p -b:v 2500k -maxrate 2500k -bufsize 2500k -g 60 \
    -c:a aac -b:a 128k -f flv "rtmp://$rtmp/live/demo" </dev/null &
publisher=$!

echo "open   http://$http/watch/demo"
echo "stop   Ctrl-C"
wait "$network"
