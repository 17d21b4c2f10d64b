#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds migrate.cpp as an application's author would: with a compiler and the library's package. Succeeds when it runs.
#   build_alone.sh COMPILER [FLAG ...]
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# Unquoted: pkg-config answers in words.
"$@" "$(dirname "$0")/migrate.cpp" $(pkg-config --cflags --libs consort-client) -o "$folder/migrate"
said=$("$folder/migrate" http://127.0.0.1:1 storyteller cpu 2>&1) && exit 1 # Nobody is there.
case $said in
  cpu:\ unreachable:*) ;;
  *) echo "it said: $said" >&2; exit 1 ;;
esac
