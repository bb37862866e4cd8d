# Shell functions that start a server for a script; to be sourced by bash.
#
# start_holdfast DIR   starts Holdfast on four fresh drives below DIR and sets ENDPOINT (host:port),
#                      ACCESS_KEY, SECRET_KEY and server (its process id). HOLDFAST names the binary;
#                      without it one is built into DIR. DRIVES is how many drives (4). The caller kills
#                      $server and removes DIR.

# free_port prints a port of the loopback that nobody listens on. It lies below those that the system gives to
# outgoing connections (from 32768 on), one of which could take it before the server does.
free_port() {
	local port
	while :; do
		port=$((20000 + RANDOM % 12000))
		(exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port"; return; }
	done
}

# http_status HOST:PORT PATH prints the status of a GET, or nothing when nobody answers.
http_status() {
	(
		exec 3<>"/dev/tcp/${1%:*}/${1##*:}" || exit 0
		printf 'GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n' "$2" "$1" >&3
		read -r -t 5 _ status _ <&3 && echo "$status"
	) 2>/dev/null || true
}

# wait_ready HOST:PORT PATH PID LOG waits up to 30 s for a 200.
wait_ready() {
	local i
	for ((i = 0; i < 600; i++)); do
		[ "$(http_status "$1" "$2")" != 200 ] || return 0
		kill -0 "$3" 2>/dev/null || break
		sleep 0.05
	done
	echo "the server at $1 did not become ready; its log ends with:" >&2
	tail -20 "$4" >&2
	return 1
}

start_holdfast() {
	local dir=$1 root
	root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
	if [ -z "${HOLDFAST:-}" ]; then
		(cd "$root" && CGO_ENABLED=0 go build -o "$dir/holdfast" ./daemon) || return 1
		HOLDFAST=$dir/holdfast
	fi
	ACCESS_KEY=testadmin SECRET_KEY=testsecret0123456789
	ENDPOINT=127.0.0.1:$(free_port)
	mkdir -p "$dir/drives"
	HOLDFAST_ROOT_USER=$ACCESS_KEY HOLDFAST_ROOT_PASSWORD=$SECRET_KEY \
		"$HOLDFAST" server --address "$ENDPOINT" "$dir/drives/drive{1...${DRIVES:-4}}" >"$dir/server.log" 2>&1 &
	server=$!
	wait_ready "$ENDPOINT" /-/health/ready "$server" "$dir/server.log"
}
