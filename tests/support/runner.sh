# What stands before the commands of a page (tests/support/pages.py). Says where it is on descriptor 3.
set -eu # as a reader's shell, but that it ends with the first failure
background=() place=nowhere number=0 server=/dev/null

at() { place=$1; printf '%s\n' "$place" >&3; }

complain() {
    printf 'FAILED at %s: %s\n' "$place" "$*"
    for file in logs-of-commands/*; do
        printf -- '--- %s\n' "$file"; tail -n 15 "$file"
    done
}
trap 'complain "status $? of: $BASH_COMMAND"' ERR
trap 'kill -KILL "${background[@]}" 2>/dev/null || true' EXIT

# begin SIGN: something is about to start that goes on by itself; its output goes to $out and $err.
begin() {
    sign=$1 number=$((number + 1))
    out=logs-of-commands/$number-$sign.out err=logs-of-commands/$number-$sign.err
    mkdir -p logs-of-commands
    : >"$out" >"$err"
    joined=$(grep -c 'publisher joined' "$server" || true)
    [[ $sign != server && $sign != balanced ]] || server=$err
}

# until_at_work: what was started last has ended, or shows that it works.
until_at_work() {
    local child=$! tries
    background+=("$child")
    for ((tries = 0; tries < 300; tries++)); do
        case $sign in
            server) grep -q 'Try it:' "$out" && return ;;
            balanced) grep -q 'Lookup service:' "$out" && return ;;
            reactor) grep -q 'reactor test server' "$out" && return ;;
            files) grep -q 'Serving HTTP' "$out" && return ;;
            stream) grep -q '^retry:' "$out" && return ;;
            player) grep -q 'Input #0' "$err" && return ;;
            publisher) (($(grep -c 'publisher joined' "$server" || true) > joined)) && return ;;
        esac
        kill -0 "$child" 2>/dev/null || { complain "$sign ended by itself"; exit 1; }
        sleep 0.1
    done
    complain "$sign is not at work after 30 s"
    exit 1
}

# until_there URL: a playlist has to be made first.
until_there() {
    local tries
    for ((tries = 0; tries < 300; tries++)); do
        curl --output /dev/null "$1" 2>/dev/null && return
        sleep 0.1
    done
    complain "nothing at $1"
    exit 1
}

# ends_with STATUS COMMAND...
ends_with() {
    local wanted=$1 status=0
    shift
    "$@" || status=$?
    ((status == wanted)) || { complain "status $status, not $wanted, of: $*"; exit 1; }
}

# stop: Control-C in every terminal, newest first; whatever was started ends.
stop() {
    local child
    for child in $(printf '%s\n' "${background[@]}" | tac); do
        kill -TERM "$child" 2>/dev/null || true
        wait "$child" || true
    done
    background=()
    ! grep -l Traceback logs-of-commands/*.err || { complain "a traceback"; exit 1; }
}
