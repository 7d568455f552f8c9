#!/bin/bash
# What an operator does with sessionsctl alone: lists, filters, shows, ends, delivers again, moves, backs up.
# $1 is the subject of the one who leaves, $2 a folder for the backup. Each step says what it found, and the
# script ends with the first that finds something else.
set -euo pipefail

# has reads to the end, where grep -q would end the command before it by a closed pipe.
has() { grep -- "$1" >/dev/null; }
expect() { # expect WHAT WANTED FOUND
	[ "$2" = "$3" ] || { echo "$1: $3, want $2" >&2; exit 1; }
	echo "$1: $3"
}
lines() { tail -n +2 | wc -l; } # of a table below its head

expect 'sessions' 2 "$(sessionsctl sessions list | lines)"
expect 'sessions of the subject' 1 "$(sessionsctl sessions list --subject "$1" | lines)"
expect 'sessions of nobody' '[]' "$(sessionsctl sessions list --subject nobody -o json 2>/dev/null)"
expect 'sessions at the shop' 2 "$(sessionsctl sessions list --client shop --created-after 1h | lines)"
session=$(sessionsctl sessions list --subject "$1" | tail -n 1 | cut -d ' ' -f 1)
sessionsctl sessions show "$session" | has "^Subject  *$1\$"
expect 'tokens' true "$([ "$(sessionsctl grants list --subject "$1" --type refresh_token | lines)" -gt 0 ] && echo true)"
# One of them goes with what belongs to it; the session stays.
grant=$(sessionsctl grants list --subject "$1" --type refresh_token -o json | sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' | head -n 1)
sessionsctl grants remove --id "$grant" --dry-run | has '^Tokens to revoke  *[12]$'
sessionsctl grants remove --id "$grant" --yes | has '^Tokens revoked  *[12]$'
expect 'the grant again' 0 "$(sessionsctl grants remove --id "$grant" --yes | sed -n 's/^Tokens revoked  *//p')"

sessionsctl sessions remove --subject "$1" --dry-run | has '^Sessions to end  *1$'
code=0
sessionsctl sessions remove --subject "$1" 2>/dev/null </dev/null || code=$?
expect 'without --yes' 8 $code
expect 'sessions after that' 2 "$(sessionsctl sessions list | lines)"
sessionsctl sessions remove --subject "$1" --reason 'left the company' --yes | has '^Sessions ended  *1$'
expect 'sessions after the removal' 1 "$(sessionsctl sessions list | lines)"
code=0
sessionsctl sessions show "$session" 2>/dev/null || code=$?
expect 'the session that ended' 4 $code

expect 'notifications' 2 "$(sessionsctl deliveries list --session "$session" | lines)"
expect 'delivered again' 2 "$(sessionsctl deliveries retry --session "$session" --yes | sed 's/.* //')"
delivery=$(sessionsctl deliveries list --session "$session" | tail -n 1 | cut -d ' ' -f 1)
sessionsctl deliveries retry "$delivery" | has '^State  *pending$'

expect 'backend' ready "$(sessionsctl backend show | sed -n 's/^Status  *//p')"
expect 'swap' done "$(sessionsctl backend swap next --yes 2>/dev/null | sed -n 's/^State  *//p')"
expect 'sessions after the swap' 1 "$(sessionsctl sessions list | lines)"
job=$(sessionsctl sessions remove --all --no-wait --yes | sed -n 's/^Job  *//p')
expect 'removal of all' done "$(sessionsctl jobs watch "$job" 2>/dev/null | sed -n 's/^State  *//p')"
expect 'sessions at the end' '[]' "$(sessionsctl sessions list -o json 2>/dev/null)"

sessionsctl backend backup "$2/sessions.backup" >/dev/null
expect 'mode of the backup' 600 "$(stat -c %a "$2/sessions.backup")"
expect 'backup on stdout' true "$([ "$(sessionsctl backend backup - | wc -c)" -gt 0 ] && echo true)"
