#!/bin/sh
# Fails when the contracts break somebody who was built against an earlier version of them. That version is, in this order:
#   UAIT_BREAKING_BASE, a commit
#   the merge base with origin/main, or with main where there is no remote, unless that is this very commit
#   the parent of this commit
# In a shallow clone the missing commits are fetched where there is a remote. With no earlier version it says so and succeeds.
set -eu
cd "$(dirname "$0")/.."
buf="$PWD/ts/node_modules/.bin/buf"

commit() {
  git rev-parse --quiet --verify "$1^{commit}" 2>/dev/null
}

earlier() {
  if [ -n "${UAIT_BREAKING_BASE:-}" ]; then
    commit "$UAIT_BREAKING_BASE" || { echo "UAIT_BREAKING_BASE=$UAIT_BREAKING_BASE: must be a commit of this clone" >&2; exit 78; }
    return
  fi
  head=$(commit HEAD) || return 0
  for main in origin/main main; do
    base=$(git merge-base "$main" HEAD 2>/dev/null) || continue
    [ "$base" = "$head" ] || { echo "$base"; return; }
  done
  commit "HEAD^" || true
}

if [ -z "${UAIT_BREAKING_BASE:-}" ] && [ "$(git rev-parse --is-shallow-repository)" = true ] && ! commit "HEAD^" >/dev/null; then
  git fetch --quiet --deepen=50 origin 2>/dev/null || true
fi
base=$(earlier)
if [ -z "$base" ] || ! git cat-file -e "$base:buf.yaml" 2>/dev/null; then
  echo "proto: no earlier version to compare with"
  exit 0
fi

before=$(mktemp -d)
trap 'rm -rf "$before"' EXIT
trap 'exit 130' INT TERM
git archive "$base" buf.yaml proto | tar -x -C "$before"
"$buf" breaking --against "$before"
echo "proto: compatible with $(git log -1 --format='%h (%s)' "$base")"
