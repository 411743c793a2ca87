#!/bin/bash
# make run: a server, two folders, and a real tree through it.  Repeating it goes on with the same server and project.
#
# What it makes lies in demo/ beside the Makefile: data (the server's), studio and laptop (two devices' folders).
set -eu
cd "$(dirname "$0")/.."

here=$PWD
demo=$here/demo
bin=$here/build/release
listen=${DRAY_LISTEN:-127.0.0.1:8080}
source=${DRAY_SOURCE:-/usr/include /usr/share /usr/lib/python3}
export PATH=$bin:$PATH

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

running() { [ -s "$demo/drayd.pid" ] && kill -0 "$(cat "$demo/drayd.pid")" 2>/dev/null; }

stop() {
	if running; then
		kill "$(cat "$demo/drayd.pid")"
		while running; do sleep 0.1; done
		echo "Stopped."
	else
		echo "No server of make run is running."
	fi
	rm -f "$demo/drayd.pid"
}

start_server() {
	if running; then
		echo "The server of the last run still answers."
	else
		setsid drayd serve --data "$demo/data" --listen "$listen" >>"$demo/drayd.log" 2>&1 </dev/null &
		echo $! >"$demo/drayd.pid"
	fi
	for _ in $(seq 100); do
		[ -s "$demo/data/server.json" ] && url=http://$(jq -r .listen "$demo/data/server.json") &&
			curl -fs "$url/readyz" >/dev/null && return
		running || break
		sleep 0.1
	done
	echo "drayd did not start; the end of $demo/drayd.log:" >&2
	tail -5 "$demo/drayd.log" >&2
	echo "Is $listen in use?  DRAY_LISTEN=127.0.0.1:8081 make run takes another port." >&2
	exit 1
}

# link NAME: a device and its folder, once
link() {
	[ -e "$demo/$1/.dray/state.db" ] && return
	DRAY_TOKEN=$(drayd device add "$1" --project "$project" --data "$demo/data" | awk '{ print $NF }') \
		dray link "$url" --project "$project" "$demo/$1"
}

# listing DIR: every name with kind, mode, time and link target, and every file's hash
listing() {
	(cd "$1" && find . -path ./.dray -prune -o ! -path . -printf '%y %m %T@ %l %P\n' | sort &&
		find . -path ./.dray -prune -o -type f -print0 | sort -z | xargs -0 -r sha256sum)
}

prove_equal() {
	if cmp -s <(listing "$demo/studio") <(listing "$demo/laptop"); then
		n=$(find "$demo/laptop" -path "$demo/laptop/.dray" -prune -o -mindepth 1 -print | wc -l)
		echo "Proven equal: names, kinds, modes, times, link targets and SHA-256 of all $n entries."
	else
		echo "The two folders differ:" >&2
		diff <(listing "$demo/studio") <(listing "$demo/laptop") | head >&2
		exit 1
	fi
}

start() {
	mkdir -p "$demo"
	say "1. A server on its embedded default: SQLite and a local store"
	start_server
	echo "drayd listens on $url, its data is in demo/data, its log in demo/drayd.log"

	say "2. A project and two devices"
	project=$(drayd project list --data "$demo/data" --json | jq -r '[.projects[] | select(.name == "demo")][0].id // empty')
	[ -n "$project" ] || project=$(drayd project create demo --data "$demo/data" | awk '{ print $NF }')
	echo "project demo is $project"
	link studio
	link laptop

	say "3. A real tree into the first folder ($source)"
	if [ ! -e "$demo/studio/include" ]; then
		# shellcheck disable=SC2086 # a list of folders on purpose
		cp -a $source "$demo/studio/"
	fi
	echo "$(find "$demo/studio" -path "$demo/studio/.dray" -prune -o -mindepth 1 -print | wc -l) entries, $(du -sh --apparent-size --exclude=.dray "$demo/studio" | cut -f1)"

	say "4. studio -> server -> laptop"
	dray sync "$demo/studio"
	dray sync "$demo/laptop"
	prove_equal

	say "5. Changes on laptop: an edit, a new file, a rename, a deletion; back to studio"
	stamp=$(date +%s)
	mkdir -p "$demo/laptop/notes"
	echo "written on laptop, $stamp" >"$demo/laptop/notes/new $stamp.txt"
	echo "edited on laptop, $stamp" >>"$demo/laptop/notes/log.txt"
	echo "to be renamed, $stamp" >"$demo/laptop/notes/draft.txt"
	dray sync --quiet "$demo/laptop"
	mv "$demo/laptop/notes/draft.txt" "$demo/laptop/notes/final $stamp.txt"
	rm "$demo/laptop/notes/new $stamp.txt"
	dray sync "$demo/laptop"
	dray sync "$demo/studio"
	prove_equal

	say "6. And with nothing to do"
	dray sync "$demo/studio"

	say "The server goes on running.  Try next:"
	cat <<-END
	  export PATH=$bin:\$PATH
	  echo hello > demo/studio/hello.txt && dray sync demo/studio && dray sync demo/laptop
	  dray status demo/laptop
	  TOKEN=\$(cat demo/data/owner.token)
	  curl -H "Authorization: Bearer \$TOKEN" "$url/projects/$project/files?limit=3" | jq
	  make stop
	END
}

case ${1:-} in
start) start ;;
stop) stop ;;
*) echo "usage: tools/demo.sh start|stop" >&2; exit 2 ;;
esac
