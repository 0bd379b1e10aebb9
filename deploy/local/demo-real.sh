#!/bin/sh
# Tidemark on real data behind a server that nobody here made: datasette serves Seattle's weather
# as paged JSON, Tidemark turns it into metrics, and every number is compared with SQL.
#
#   sh deploy/setup.sh real                fetches datasette and the data (once)
#   sh deploy/local/demo-real.sh           shows the first numbers of every answer
#   sh deploy/local/demo-real.sh --all     shows every number
#
# Runs $TIDEMARK_BINARY, else the binary that `cargo build -p tidemark` made. Takes free ports and a
# temporary folder, and leaves nothing behind. Ends with 0 only when every number is equal.
set -eu

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
root=$(CDPATH='' cd -- "$here/../.." && pwd)

if [ -z "${TIDEMARK_BINARY:-}" ]; then
    target=$(cd "$root" && cargo metadata --format-version 1 --no-deps |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["target_directory"])')
    TIDEMARK_BINARY="$target/debug/tidemark"
fi
export TIDEMARK_BINARY
TIDEMARK_NATS_SERVER=${TIDEMARK_NATS_SERVER:-$root/.tools/bin/nats-server}
export TIDEMARK_NATS_SERVER

exec python3 "$here/demo_real.py" "$@"
