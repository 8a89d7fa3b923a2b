# shellcheck shell=bash
# What the scripts share. Sourced by them, after `set -euo pipefail`.

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$ROOT" || exit

# A shell that has not been restarted since rustup was installed does not know
# cargo yet.
if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-$HOME/.cargo}/bin/cargo ]]; then
    export PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
fi

# Where Rust came under another name than that of rust-toolchain.toml (an image with
# one version, say), rustup would fetch a second one.
if [[ -z ${RUSTUP_TOOLCHAIN:-} ]] && command -v rustup >/dev/null &&
    [[ $'\n'$(cd / && rustup toolchain list) != *$'\nstable'* ]] &&
    default=$(rustup default 2>/dev/null); then
    export RUSTUP_TOOLCHAIN=${default%% *}
fi

# One target folder outside the checkout, so that a second checkout, or a clean
# one, does not compile RocksDB again (10 to 20 minutes on two cores).
CARGO_TARGET_DIR=$(realpath -m "${HEADWATER_TARGET_DIR:-${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/headwater/target}}")
export CARGO_TARGET_DIR

# The binary that the scripts and the tests run. Whoever names another one has
# it already, and nothing is built. (The one that is built here is named by a
# script that calls this one, too, and must be brought up to date all the same.)
BUILT_BIN=$CARGO_TARGET_DIR/release/headwater
HEADWATER_BIN=${HEADWATER_BIN:-$BUILT_BIN}
PREBUILT=${HEADWATER_PREBUILT:-} # set by tests that run a script: theirs is up to date
if [[ $HEADWATER_BIN != "$BUILT_BIN" ]]; then
    PREBUILT=1
fi
export HEADWATER_BIN

BOLD='' GREEN='' RED='' PLAIN=''
if [[ -t 1 && -z ${NO_COLOR:-} ]]; then
    BOLD=$'\e[1m' GREEN=$'\e[32m' RED=$'\e[31m' PLAIN=$'\e[0m'
fi
: "$GREEN" "$RED" # not every script uses them

# -- Saying things ------------------------------------------------------------

step() {
    printf '%s▸ %s%s\n' "$BOLD" "$*" "$PLAIN"
}

note() {
    printf '  %s\n' "$*"
}

fail() {
    printf '%s: %s\n' "${0##*/}" "$*" >&2
    exit 1
}

# usage: the script's own opening comment.
usage() {
    awk 'NR > 1 { if (!/^#/) exit; sub(/^# ?/, ""); print }' "$0"
}

now_ms() {
    local now_us=${EPOCHREALTIME/[.,]/}
    echo $((now_us / 1000))
}

# since_ms START_MS: the time since then, as "0.4 s".
since_ms() {
    local elapsed_ms=$(($(now_ms) - $1))
    printf '%d.%d s' $((elapsed_ms / 1000)) $((elapsed_ms % 1000 / 100))
}

# grouped 27984: prints 27,984, whatever the locale says.
grouped() {
    sed -E ':again; s/^([0-9]+)([0-9]{3})/\1,\2/; t again' <<<"$1"
}

# -- Building -----------------------------------------------------------------

# build CARGO-OPTION…: in the release profile, with the features of the whole
# workspace: `-p` selects other ones, and another profile compiles RocksDB once
# more. With `--bin headwater` it is the program alone, as it is with `--bins`.
build() {
    [[ -z $PREBUILT ]] || return 0
    if [[ ! -x $HEADWATER_BIN ]]; then
        note "the first build compiles RocksDB, which takes 10 to 20 minutes on two cores"
    fi
    cargo build --release --locked --workspace "$@"
}

# -- Running things -----------------------------------------------------------

# wait_until SECONDS WHAT COMMAND…: asks COMMAND until it succeeds.
wait_until() {
    local limit_s=$1 what=$2 deadline=$((SECONDS + $1))
    shift 2
    until "$@"; do
        ((SECONDS < deadline)) || fail "gave up after $limit_s s: $what"
        sleep 0.1
    done
}

# in_parallel COMMAND ITEM…: runs COMMAND ITEM for every item at once, and fails
# after all have ended if one of them has failed.
in_parallel() {
    local command=$1 item pid pids=() failed=0
    shift
    for item in "$@"; do
        "$command" "$item" &
        pids+=($!)
    done
    for pid in "${pids[@]}"; do
        wait "$pid" || failed=1
    done
    return "$failed"
}

# -- Nodes --------------------------------------------------------------------
#
# Those of the demo, which must not have to compile the tests: scripts/testnet is a
# program of theirs (tests/src/bin/testnet).
#
# A node has a home folder: data/ (its data folder), mark/ (its mark), log (its stdout and
# stderr), commands.log (what commands to it wrote to stderr) and pid. All ports
# are 0, so that any number of networks run side by side; the addresses are read
# from the data folder.

# node_start HOME [RUN-OPTION…]
node_start() {
    local home=$1 pid
    shift
    mkdir -p "$home"
    # A node that was killed leaves its old addresses behind.
    rm -f "$home/data/api.addr" "$home/data/node.addrs"
    # A session of its own: Ctrl-C is for the script, which then stops its nodes.
    HEADWATER_MARK_DIR=$home/mark setsid "$HEADWATER_BIN" --data-dir "$home/data" run \
        --api-listen 127.0.0.1:0 "$@" >>"$home/log" 2>&1 </dev/null &
    pid=$!
    disown # it is found by its pid file, not as a job
    echo "$pid" >"$home/pid"
    # Until the child has become the node, node_alive cannot recognise it.
    while ! node_alive "$home" && kill -0 "$pid" 2>/dev/null; do sleep 0.01; done
}

# node_alive HOME: whether the process with the stored pid is this node. Its
# command line is compared, because pids are used again.
node_alive() {
    [[ -s $1/pid ]] && grep -qxzF -- "$1/data" "/proc/$(<"$1/pid")/cmdline" 2>/dev/null
}

# node_ready HOME: waits until the node listens.
node_ready() {
    local home=$1 deadline=$((SECONDS + 60))
    until [[ -s $home/data/api.addr && -s $home/data/node.addrs ]]; do
        node_alive "$home" || fail "node ${home##*/} ended while it started:
$(tail -n 5 "$home/log")"
        ((SECONDS < deadline)) || fail "node ${home##*/} does not listen after 60 s; see $home/log"
        sleep 0.05
    done
}

# node_stop HOME…: SIGTERM to all of them at once, and SIGKILL to who has not
# ended after 10 s.
node_stop() {
    local home deadline=$((SECONDS + 10))
    for home in "$@"; do
        ! node_alive "$home" || kill -TERM "$(<"$home/pid")" 2>/dev/null || true
    done
    for home in "$@"; do
        while node_alive "$home" && ((SECONDS < deadline)); do sleep 0.05; done
        if node_alive "$home"; then
            printf '%s: node %s did not end on SIGTERM and was killed\n' "${0##*/}" "${home##*/}" >&2
            kill -KILL "$(<"$home/pid")" 2>/dev/null || true
        fi
        rm -f "$home/pid"
    done
}

# node_address HOME: the multiaddr under which the others reach it.
node_address() {
    head -n 1 "$1/data/node.addrs"
}

# node_do HOME COMMAND…: runs a command on that node.
node_do() {
    local home=$1
    shift
    HEADWATER_MARK_DIR=$home/mark "$HEADWATER_BIN" --data-dir "$home/data" "$@" 2>>"$home/commands.log" ||
        fail "\`headwater $*\` failed on ${home##*/}:
$(tail -n 5 "$home/commands.log")"
}
