#!/bin/sh
# Installs what the tests need and this machine lacks, from Debian's or Ubuntu's packages.
set -eu

PATH="$PATH:/usr/sbin" # where Debian keeps nats-server, and only root looks
missing=""
need() { command -v "$1" >/dev/null 2>&1 || missing="$missing $2"; }
need ffmpeg ffmpeg
need chromium chromium
need node "nodejs npm"
need redis-server redis-server
need nats-server nats-server
need prometheus prometheus
need faketime faketime
[ -n "$missing" ] || exit 0

command -v apt-get >/dev/null 2>&1 || { echo "please install:$missing" >&2; exit 1; }
as_root=""
[ "$(id -u)" = 0 ] || as_root=sudo
echo "installing:$missing"
$as_root apt-get update -qq
# shellcheck disable=SC2086 # a list of packages
DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq $missing >/dev/null
case "$missing" in *prometheus*)
	# The package starts it, on a port that Astral's own processes take by default.
	command -v systemctl >/dev/null 2>&1 && $as_root systemctl disable --now prometheus >/dev/null 2>&1 || true ;;
esac
