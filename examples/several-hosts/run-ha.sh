#!/usr/bin/env bash
# Runs two servers on a private PostgreSQL, behind nginx, and the demo clients, until Ctrl-C, and then removes
# everything. A killed server is restarted, as by systemd or Kubernetes.
#
# PORT (9000) is the port of nginx; the demo clients use the next two ports, the servers PORT+10 and PORT+20.
# Arguments are passed to both servers. SERVER names a built fosite-server, CLIENTS a file of clients that replaces
# the demo clients.
set -euo pipefail

port=${PORT:-9000} first=$((${PORT:-9000} + 10)) second=$((${PORT:-9000} + 20))
issuer=http://localhost:$port
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)

need() { echo "run-ha: $1 is missing: on Debian, apt-get install $2" >&2; exit 1; }
PATH=$PATH:/usr/sbin
postgres=$(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -V | tail -n 1) || true
[ -n "$postgres" ] || need PostgreSQL postgresql
command -v nginx >/dev/null || need nginx nginx-light
command -v openssl >/dev/null || need openssl openssl
command -v curl >/dev/null || need curl curl

# Files are private to this user. PostgreSQL does not run as root: then its files belong to user postgres.
umask 077
folder=$(mktemp -d /tmp/run-ha-XXXXXX)
as=()
if [ "$(id -u)" -eq 0 ]; then
	as=(setpriv --reuid=postgres --regid=postgres --init-groups)
	chmod 711 "$folder"
fi
stop() {
	trap - EXIT
	trap '' INT TERM # ignore a second Ctrl-C
	touch "$folder/stopping"
	for name in first second demo nginx; do
		[ ! -s "$folder/$name.pid" ] || kill "$(cat "$folder/$name.pid")" 2>/dev/null || true
	done
	wait "${supervised[@]}" 2>/dev/null || true
	"${as[@]}" "$postgres/pg_ctl" -D "$folder/postgres/data" -m fast -s stop || true
	rm -rf "$folder"
}
supervised=()
trap stop EXIT
trap 'exit 0' INT TERM

server=${SERVER:-}
if [ -z "$server" ]; then
	server=$folder/fosite-server
	go build -C "$here/../fosite-server" -o "$server" .
fi

# The database listens on a socket in a private folder.
mkdir "$folder/postgres"
[ ${#as[@]} -eq 0 ] || chown postgres: "$folder/postgres"
"${as[@]}" "$postgres/initdb" -D "$folder/postgres/data" -A trust -U owner >"$folder/initdb.log"
"${as[@]}" "$postgres/pg_ctl" -D "$folder/postgres/data" -l "$folder/postgres/log" -s -w \
	-o "-c listen_addresses='' -k '$folder/postgres'" start
echo "host=$folder/postgres user=owner dbname=postgres" >"$folder/dsn"

# The keys, shared by both servers.
mkdir "$folder/keys"
openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$folder/keys/signing-key.pem" 2>/dev/null ||
	openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$folder/keys/signing-key.pem" 2>/dev/null
for name in global-secret admin-token; do
	openssl rand -base64 32 | tr '+/' '-_' | tr -d '=\n' >"$folder/keys/$name"
done

# The clients, shared by both servers.
clients=${CLIENTS:-}
if [ -z "$clients" ]; then
	clients=$folder/clients.json
	client() {
		cat <<-JSON
			{"client_id": "$1", "client_name": "$2", "client_secret": "$(openssl rand -hex 16)",
			 "redirect_uris": ["http://localhost:$3/callback"], "post_logout_redirect_uris": ["http://localhost:$3/"],
			 "backchannel_logout_uri": "http://localhost:$3/backchannel-logout",
			 "backchannel_logout_session_required": true, "scope": "openid profile email offline_access",
			 "grant_types": ["authorization_code", "refresh_token"], "response_types": ["code"]}
		JSON
	}
	echo "[$(client demo-photos "Demo Photos" $((port + 1))), $(client demo-notes "Demo Notes" $((port + 2)))]" >"$clients"
fi

# supervise NAME COMMAND... restarts a command whenever it ends, and records its process id.
supervise() {
	local name=$1
	shift
	while [ ! -e "$folder/stopping" ]; do
		"$@" >"$folder/$name.out" 2>>"$folder/$name.log" &
		echo $! >"$folder/$name.pid"
		[ ! -e "$folder/stopping" ] || kill $! # stop may have missed it
		wait $! || true
		[ -e "$folder/stopping" ] || sleep 1
	done
}
start() { supervise "$@" & supervised+=($!); }

# ready waits until an address answers.
ready() {
	for _ in $(seq 600); do
		! curl -fsS -o /dev/null "$1" 2>/dev/null || return 0
		sleep 0.1
	done
	echo "run-ha: nothing answers at $1" >&2
	tail -n 5 "$folder"/*.log >&2
	exit 1
}

for name in first second; do
	start "$name" "$server" -addr "127.0.0.1:${!name}" -issuer "$issuer" -data "$folder/$name" \
		-keys "$folder/keys" -clients "$clients" -backend postgres -dsn-file "$folder/dsn" \
		-trusted-proxy 127.0.0.1/32 -allow-logout-cidr 127.0.0.0/8 -allow-logout-cidr ::1/128 "$@"
	ready "http://127.0.0.1:${!name}/readyz"
done
sed -e "s#{folder}#$folder#; s#{port}#$port#; s#{first}#$first#; s#{second}#$second#" "$here/nginx.conf" >"$folder/nginx.conf"
start nginx nginx -e stderr -p "$folder" -c "$folder/nginx.conf" -g "user $(id -un) $(id -gn);"
ready "$issuer/readyz"
if [ -z "${CLIENTS:-}" ]; then
	start demo "$server" -addr "localhost:$port" -issuer "$issuer" -demo-clients "$clients"
	ready "http://localhost:$((port + 1))/"
fi

cat <<TEXT
issuer: $issuer
first: http://127.0.0.1:$first
second: http://127.0.0.1:$second
folder: $folder

Sign in at http://localhost:$((port + 1)) as ann with ann-demo. Then kill either server, and check that you are still signed in:

  kill -9 \$(cat $folder/first.pid)

End the session at one of the servers, and both demo clients are notified:

  curl -H "Authorization: Bearer \$(cat $folder/keys/admin-token)" \\
    --json '{"subject_id":"1001"}' http://127.0.0.1:$second/admin/sessions/remove

$issuer/admin/ui/ requires the admin token. Logs are in $folder. Stop with Ctrl-C.
TEXT
wait "${supervised[@]}"
