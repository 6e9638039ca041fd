#!/usr/bin/env bash
# Says what this machine lacks for `make up`, and how to get it; exits 1 when anything is missing. Installs nothing.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

missing=0
lack() { # what it is, how to install it
  ((missing += 1))
  printf 'missing: %s\n  install: %s\n' "$1" "$2" >&2
}

at_least() { # found, wanted: whether version found >= wanted
  [[ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" == "$2" ]]
}

toolchain() { # command, least version, command that prints its version, how to install it
  local found
  if ! command -v "$1" >/dev/null; then
    lack "$1 >= $2 (not on PATH)" "$4"
  elif ! found="$(eval "$3" 2>/dev/null | grep -oE '[0-9]+(\.[0-9]+)+' | head -n 1)" || [[ -z "$found" ]]; then
    lack "$1 >= $2 ($1 does not tell its version)" "$4"
  elif ! at_least "$found" "$2"; then
    lack "$1 >= $2 (found $found)" "$4"
  fi
}

[[ "$(uname -s)" == Linux ]] || lack "Linux (found $(uname -s))" "use a Linux machine, or the containers of deploy/compose"

toolchain go 1.26 'go env GOVERSION' 'https://go.dev/doc/install, or: apt-get install golang-go (where it is 1.26)'
toolchain cargo 1.95 'cargo --version' 'https://rustup.rs, then: rustup toolchain install 1.95'
toolchain node 20.0 'node --version' 'https://nodejs.org/en/download (20 LTS or newer), or: apt-get install nodejs'
toolchain npm 9.0 'npm --version' 'it comes with Node; on Debian: apt-get install npm'
toolchain python3 3.11 'python3 --version' 'apt-get install python3'
if command -v python3 >/dev/null && ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  lack "python3's venv" 'apt-get install python3-venv'
fi
for command in cc cmake make tail; do
  command -v "$command" >/dev/null && continue
  case "$command" in
    cc) lack 'cc (a C compiler, for the linker)' 'apt-get install build-essential' ;;
    cmake) lack 'cmake (ml-inference compiles llama.cpp)' 'apt-get install cmake' ;;
    make) lack make 'apt-get install make' ;;
    tail) lack tail 'apt-get install coreutils' ;;
  esac
done

libclang="$(ls /usr/lib/llvm*/lib/libclang*.so* /usr/lib*/*/libclang*.so* /usr/lib*/libclang*.so* "${LIBCLANG_PATH:-/nowhere}"/libclang*.so* 2>/dev/null)"
if [[ -z "$libclang" ]]; then
  lack 'libclang (ml-inference makes its bindings to llama.cpp)' 'apt-get install libclang-dev, or set LIBCLANG_PATH'
fi

if ((missing > 0)); then
  printf '\n%d missing: nothing was installed or started.\n' "$missing" >&2
  exit 1
fi
