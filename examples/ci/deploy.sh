#!/bin/sh
# Rolls workflows out from a directory that is kept in git, from any CI.
#
#   deploy.sh plan DIR     what would change; status 0 also if there are changes, 1 for an error
#   deploy.sh apply DIR    puts it in place, looks whether all is well, and goes back if not; status 0 or 1
#
# The environment says the rest:
#   MMIDS_SERVER, MMIDS_TOKEN   the server's HTTP API, and its http_api_token
#   MMIDS_SET                   the set that DIR is all of (default): each team has its own, and touches no other
#   MAX_DISCONNECTS             clients that a change may disconnect at most (0)
#   WAIT_SECONDS                how long a change may take (30)
#   HEALTH_SECONDS              how long to look at it before it counts as healthy (10)
#   HEALTH_CHECK                a command of your own, which fails where the result is no good (none)
#   MMIDS_PYTHON                a Python to run the client with, where there is no mmids_trio on PATH
set -eu

say() { printf 'deploy: %s\n' "$*" >&2; }

mmids() {
    if [ -n "${MMIDS_PYTHON:-}" ]; then
        "$MMIDS_PYTHON" -m mmids_trio "$@"
    else
        mmids_trio "$@"
    fi
}

plan() {
    status=0
    mmids plan --set "$team" --prune "$1" || status=$?
    [ "$status" -eq 0 ] || [ "$status" -eq 2 ] # 2: there are changes
}

# healthy: whether every workflow of the set runs, and your own check agrees.
healthy() {
    mmids list --names --set "$team" >"$scratch/names" || return 1
    while IFS= read -r name; do
        mmids wait --timeout "$wait" -- "$name" </dev/null || return 1
    done <"$scratch/names"
    [ -z "${HEALTH_CHECK:-}" ] || sh -c "$HEALTH_CHECK" || return 1
}

apply() {
    scratch=$(mktemp -d)
    trap 'rm -rf "$scratch"' EXIT
    before=$(mmids export --set "$team" --etag --output "$scratch/before.mmids")
    mmids apply --set "$team" --prune --yes --wait "$wait" --max-disconnects "${MAX_DISCONNECTS:-0}" --if-match "$before" "$1"
    after=$(mmids export --set "$team" --etag)
    if healthy && sleep "${HEALTH_SECONDS:-10}" && healthy; then
        say "in place and healthy"
        return 0
    fi
    say "not healthy: going back to what ran before"
    # Only if nobody has changed the set since: what somebody else made is not ours to take away.
    if mmids apply --set "$team" --prune --yes --wait "$wait" --if-match "$after" "$scratch/before.mmids"; then
        say "rolled back"
    else
        say "NOT ROLLED BACK, see above"
    fi
    return 1
}

team=${MMIDS_SET:-default}
wait=${WAIT_SECONDS:-30}
case "${1:-} $#" in
"plan 2") plan "$2" ;;
"apply 2") apply "$2" ;;
*)
    say "usage: deploy.sh plan DIR | apply DIR"
    exit 1
    ;;
esac
