# SPDX-License-Identifier: Apache-2.0
# Shared by the scripts beside it; source it, do not run it.
# shellcheck shell=bash

ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
readonly ROOT
# The one that Debian's python3-* packages belong to, whatever else comes first in PATH.
# shellcheck disable=SC2034 # for the scripts that source this
readonly PYTHON=/usr/bin/python3

note() { printf '%s\n' "segue: $*" >&2; }
die() { note "$*"; exit 1; }

# The packages of packaging/apt-packages.txt that are not installed, one per line.
missing_packages() {
  local -a wanted
  mapfile -t wanted < <(sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' \
    "$ROOT/packaging/apt-packages.txt")
  comm -23 \
    <(printf '%s\n' "${wanted[@]}" | sort -u) \
    <(dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null |
      sed -n 's/^installed //p' | sort -u)
}

as_root() {
  if [[ $EUID -eq 0 ]]; then
    "$@"
  elif command -v sudo >/dev/null; then
    sudo -- "$@"
  else
    die "'$*' needs root: run it as root, or install sudo"
  fi
}

# Installs what is missing. The servers among the packages are only programs to us, so a policy file
# keeps the package scripts from starting them as services.
install_packages() {
  command -v dpkg-query >/dev/null ||
    die "packages can only be installed on Debian; install those of packaging/apt-packages.txt yourself"
  local -a missing
  mapfile -t missing < <(missing_packages)
  [[ ${#missing[@]} -eq 0 ]] && return 0

  note "installing ${#missing[@]} packages: ${missing[*]}"
  # shellcheck disable=SC2016 # expanded by the inner shell
  as_root env DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 bash -euc '
    policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
      trap "rm -f $policy" EXIT
      printf "#!/bin/sh\nexit 101\n" >"$policy"
      chmod 755 "$policy"
    fi
    install() { apt-get install -y -q --no-install-recommends "$@"; }
    # The package lists may be missing or old: fetch them once, and only then.
    install "$@" || { apt-get update -q && install "$@"; }
  ' install "${missing[@]}" >&2 || die "apt-get could not install: ${missing[*]} (its message is above)"
}

# build_preset PRESET [TARGET...]: configures and builds into build/PRESET; messages go to stderr.
build_preset() {
  local preset=$1
  shift
  local -a targets=()
  [[ $# -gt 0 ]] && targets=(--target "$@")
  cd "$ROOT" || return
  cmake --preset "$preset" --log-level=WARNING >&2
  cmake --build --preset "$preset" "${targets[@]}" >&2
}
