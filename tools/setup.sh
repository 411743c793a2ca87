#!/bin/bash
# Install what a group of tasks needs and is missing: tools/setup.sh build|test|full|run|bench|lint …
set -eu

packages_for() {
	case $1 in
	build) echo gcc libc6-dev meson ninja-build pkg-config python3 \
		libssl-dev libzstd-dev libisal-dev zlib1g-dev libsqlite3-dev libpq-dev libjansson-dev libcurl4-openssl-dev libcmocka-dev ;;
	test) echo python3-pytest python3-pytest-xdist python3-hypothesis python3-requests python3-yaml python3-jsonschema \
		python3-zstandard python3-websockets postgresql-15 man-db curl git jq zstd e2fsprogs mount ;;
	run) echo curl jq ;;
	bench) echo rsync curl openssl syncthing wrk nginx-light postgresql-15 ;;
	full) echo clang libclang-rt-14-dev chromium ;;
	lint) echo clang-format clang-tidy ;;
	*) echo "setup.sh: unknown group $1" >&2; exit 2 ;;
	esac
}

missing=
for group in "$@"; do
	for p in $(packages_for "$group"); do
		dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
	done
done
[ -z "$missing" ] && exit 0

sudo=
[ "$(id -u)" = 0 ] || sudo=sudo
echo "Installing$missing"
export DEBIAN_FRONTEND=noninteractive
# Tests start clusters of their own; the one that Debian makes would only take a port and memory.
case $missing in
*postgresql*)
	$sudo mkdir -p /etc/postgresql-common
	[ -e /etc/postgresql-common/createcluster.conf ] ||
		echo 'create_main_cluster = false' | $sudo tee /etc/postgresql-common/createcluster.conf >/dev/null ;;
esac
$sudo apt-get update -qq
# shellcheck disable=SC2086 # a list of words on purpose
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
