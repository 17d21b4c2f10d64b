#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# instructions.sh BUILD [--write | --against FILE]: instructions per request life in the core (submitted, decided, started,
# finished), by callgrind, which counts the same on every run; for `takeover`, per device that comes with a replica, of the
# second half of them, so that what grows with those that are there already shows. Compares with instructions.txt or FILE: more than 10 % above
# is a failure, which also covers what another patch level of the compiler makes of it. Without valgrind it is skipped (77).
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1/tests/bench/core_instructions
expected=$here/instructions.txt
[ "${2:-}" != --against ] || expected=$3
command -v valgrind >/dev/null || { echo "instructions.sh: install valgrind first (apt-get install valgrind)"; exit 77; }
[ -x "$program" ] || { echo "instructions.sh: build $program first"; exit 2; }

# Instructions of a whole run with so many lives.
collected() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" "$3" 2>&1 |
    sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}

failed=0
while read -r devices policy bound; do
  if [ "$policy" = takeover ]; then
    half=$(( devices / 2 ))
    few=$(collected "$half" 0 latency)
    many=$(collected "$devices" 0 latency)
    each=$(( (many - few) / half ))
  else
    few=$(collected "$devices" 500 "$policy")
    many=$(collected "$devices" 2500 "$policy")
    each=$(( (many - few) / 2000 ))
  fi
  if [ "${2:-}" = --write ]; then
    sed -i "s/^$devices $policy .*/$devices $policy $each/" "$expected"
    bound=$each
  fi
  verdict=ok
  [ "$bound" != 0 ] || { verdict="no figure to compare with: run once with --write"; failed=1; }
  [ "$bound" = 0 ] || [ "$each" -le $(( bound * 11 / 10 )) ] || { verdict="more than 10 % above $bound"; failed=1; }
  printf '%8d devices  %-14s %8d instructions each  %s\n' "$devices" "$policy" "$each" "$verdict"
done < <(grep -v '^#' "$expected")
exit $failed
