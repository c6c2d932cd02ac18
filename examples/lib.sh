# What the examples' `run` scripts share; each sources it first. It gives an example its own virtual host on
#  - the broker of LEDGERMQ_PORT (and LEDGERMQ_HOST), administered with LEDGERMQ_CTL, when they are set; else
#  - a broker of its own: LEDGERMQ_BIN, or the one that `cargo build` made, on a free port with a temporary store.
# Whatever was started or created is gone when the script ends.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$(dirname "$0")"
example=$(basename "$PWD")
vhost=example-$example
target=${CARGO_TARGET_DIR:-$root/target}
work=$(mktemp -d)
broker=
trap cleanup EXIT

cleanup() {
    local status=$?
    trap - EXIT
    [ $status = 0 ] || { echo "$example: FAILED"; tail -n 20 "$work"/*.log 2>/dev/null || true; } >&2
    ctl delete_vhost "$vhost" >/dev/null 2>&1 || true
    kill $(jobs -p) 2>/dev/null || true
    wait
    rm -rf "$work"
    [ $status != 0 ] || echo "$example: ok"
    exit $status
}

ctl() { ${LEDGERMQ_CTL:-env LEDGERMQ_DATA_DIR="$work/data" "$ledgermq" ctl} "$@"; }

# start NAME COMMAND...: in the background, its output in $work/NAME.log.
start() {
    local log=$work/$1.log
    shift
    "$@" >>"$log" 2>&1 &
}

# wait_for NAME PATTERN [TIMES]: until NAME's output holds PATTERN.
wait_for() {
    timeout 60 grep -Em "${3:-1}" -- "$2" <(tail -n +1 -F "$work/$1.log" 2>/dev/null) >"$work/found" || true
    [ "$(wc -l <"$work/found")" = "${3:-1}" ] || fail "$1 did not say: $2 (${3:-1} times)"
}

fail() { echo "$example: $*" >&2; exit 1; }

# expect WHAT ACTUAL EXPECTED
expect() { [ "$2" = "$3" ] || fail "$1: found '$2', expected '$3'"; }

free_port() {
    local port
    while port=$((20000 + RANDOM % 10000)); (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do :; done
    echo "$port"
}

start_broker() {
    : >"$work/broker.log"
    # It takes LEDGERMQ_… variables for its configuration; these are ours.
    start broker env -u LEDGERMQ_BIN -u LEDGERMQ_HOST -u LEDGERMQ_PORT \
        "$ledgermq" serve --data-dir "$work/data" --listen "127.0.0.1:$LEDGERMQ_PORT" --http-listen off
    broker=$!
    wait_for broker '\bready\b'
}

# crash PID: as a power cut or a bug would end it.
crash() {
    kill -9 "$1"
    wait "$1" 2>/dev/null || true
}

# add_user NAME PASSWORD: may do everything in the example's virtual host.
add_user() {
    ctl add_user "$1" "$2" >/dev/null 2>&1 || ctl change_password "$1" "$2" >/dev/null
    ctl set_permissions -p "$vhost" "$1" '.*' '.*' '.*' >/dev/null
}

# python_packages: a virtual environment with requirements.txt; `python` is then its interpreter.
python_packages() {
    local venv=$target/venv-$example
    if ! cmp -s requirements.txt "$venv/installed"; then
        python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r requirements.txt
        cp requirements.txt "$venv/installed"
    fi
    PATH=$venv/bin:$PATH
    export PYTHONUNBUFFERED=1
}

ledgermq=${LEDGERMQ_BIN:-$target/debug/ledgermq}
if [ -z "${LEDGERMQ_PORT:-}" ]; then
    [ -x "$ledgermq" ] || fail "no broker at $ledgermq: run cargo build, or set LEDGERMQ_BIN"
    unset LEDGERMQ_CTL
    LEDGERMQ_PORT=$(free_port)
    start_broker
fi
ctl delete_vhost "$vhost" >/dev/null 2>&1 || true
ctl add_vhost "$vhost" >/dev/null
add_user guest guest
address=${LEDGERMQ_HOST:-127.0.0.1}:$LEDGERMQ_PORT/$vhost
export AMQP_URL=amqp://guest:guest@$address
