#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Events a second of the hold model, by pending events: our heap, SimGrid's kernel timers, SimGrid's
# actors, in turn, RUNS times; medians in millions, ours against the timers:
#   tests/bench/against_simgrid.sh [BUILD [RUNS]]
# Debian's libsimgrid-dev wants a Boost that cannot stand beside ours, so its headers are unpacked
# into .deps/simgrid; its library is a package that harms nobody.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=${1:-build/release}
runs=${2:-5}
die() { printf 'against_simgrid.sh: %s\n' "$*" >&2; exit 2; }
[ -f "$build/build.ninja" ] || die "$build is no build folder: first ./dev build release"

dpkg-query -W 'libsimgrid3*' >/dev/null 2>&1 \
  || die "SimGrid is missing: apt-get install --no-install-recommends libsimgrid3.32 (as root)"
headers=.deps/simgrid
if [ ! -f "$headers/usr/include/simgrid/s4u.hpp" ]; then
  work=$(mktemp -d)
  (cd "$work" && apt-get -qq download libsimgrid-dev 2>/dev/null) \
    || die "cannot fetch libsimgrid-dev: run apt-get update, then this again"
  mkdir -p "$headers"
  dpkg -x "$work"/libsimgrid-dev_*.deb "$headers"
  rm -rf "$work"
fi
cmake "$build" >/dev/null
cmake --build "$build" --target sim_bench simgrid_hold >&2

bench=$build/tests/bench
most_actors=100000 # Each has a stack: a million of them would take 16 GB.
rate() { tail -n 1 | awk '{ print $2 }'; }
median() { sort -g | awk '{ one[NR] = $1 } END { print one[int((NR + 1) / 2)] }'; }
printf '%9s %10s %15s %15s %7s\n' pending ours 'SimGrid timers' 'SimGrid actors' ratio
for pending in 1000 10000 100000 1000000; do
  ours='' timers='' actors=''
  for ((run = 0; run < runs; run++)); do
    ours+="$("$bench/sim_bench" heap "$pending" "$pending" | rate)"$'\n'
    timers+="$("$bench/simgrid_hold" timers "$pending" 2>/dev/null | rate)"$'\n'
    if [ "$pending" -le "$most_actors" ]; then
      actors+="$("$bench/simgrid_hold" actors "$pending" --cfg=contexts/stack-size:16 \
        --cfg=contexts/guard-size:0 2>/dev/null | rate)"$'\n'
    fi
  done
  of() { printf '%s' "$1" | median; }
  one=$(of "$ours") other=$(of "$timers")
  printf '%9d %10s %15s %15s %7s\n' "$pending" "$one" "$other" "$(of "$actors")" \
    "$(awk "BEGIN { printf \"%.1f\", $one / $other }")"
done
