#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# What only a machine with an NVIDIA GPU shows: consort-nvml against nvidia-smi, the energy counter against power over
# time, and a real engine (tests/backends/real/torch-server: PyTorch, random weights) through `consort up`: TTFT, ITL and
# throughput at 1 to 64 streams, joules per token. No network.
#
#   nvidia_real.sh pack DIR   on the machine that built: the stripped release binary, its plugins and libraries
#   nvidia_real.sh run DIR    on the machine with the GPU: reports into $OUT (default: .); exit 0 when the readings agree
#   nvidia_real.sh stray DIR  whether an engine that holds the GPU and computes on the host is found out; exit 0 when it is
#   nvidia_real.sh steady DIR of that what comes last: the cost model's error over requests at random times
set -u
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
build=${CONSORT_BUILD:-$root/build/release}

pack() {
  mkdir -p "$1/bin" "$1/share/consort/plugins" "$1/lib"
  cp "$build/cli/consort" "$1/bin/" && strip "$1/bin/consort"
  for plugin in nvidia nvidia-smi; do cp -r "$build/share/consort/plugins/$plugin" "$1/share/consort/plugins/"; done
  for file in "$1/bin/consort" "$1/share/consort/plugins/nvidia/consort-nvml"; do
    ldd "$file" | sed -n 's/.*=> \(\/[^ ]*\).*/\1/p'
  done | sort -u | grep -v '/\(libc\|libm\|libpthread\|libdl\|librt\|libresolv\|libstdc++\|libgcc_s\)\.so' | while read -r library; do cp -L "$library" "$1/lib/"; done
  cp -r "$here/real/torch-server" "$1/share/consort/plugins/"
  du -sh "$1"
}

# figure NAME < a line of consort-nvml: the first device's figure.
figure() { sed -n "s/.*\"$1\":\"\{0,1\}\([^,\"}]*\).*/\1/p" | head -n 1; }
smi() { nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits | head -n 1 | tr -d ' '; }

# agree NAME OURS THEIRS TOLERANCE: notes the pair and whether they are that near.
agree() {
  verdict=$(awk -v a="$2" -v b="$3" -v t="$4" 'BEGIN { d = a - b; if (d < 0) d = -d; print (d <= t) ? "agrees" : "DIFFERS" }')
  echo "$1,$2,$3,$4,$verdict" | tee -a "$OUT/nvml_vs_smi.csv"
  [ "$verdict" = agrees ] || differs=1
}

compare() {
  line=$("$nvml") || { echo "consort-nvml failed"; differs=1; return; }
  echo "$line" > "$OUT/nvml.json"
  nvidia-smi > "$OUT/nvidia-smi.txt"
  agree "$1:memory_total_mib" "$(echo "$line" | figure memory_bytes | awk '{ print $1 / 1048576 }')" "$(smi memory.total)" 1
  agree "$1:memory_used_mib" "$(echo "$line" | figure memory_used_bytes | awk '{ print $1 / 1048576 }')" "$(smi memory.used)" 700
  agree "$1:power_w" "$(echo "$line" | figure power_mw | awk '{ print $1 / 1000 }')" "$(smi power.draw)" "$2"
  agree "$1:power_limit_w" "$(echo "$line" | figure power_limit_mw | awk '{ print $1 / 1000 }')" "$(smi power.limit)" 1
  agree "$1:temperature_c" "$(echo "$line" | figure temperature_c)" "$(smi temperature.gpu)" 4
  agree "$1:utilization" "$(echo "$line" | figure utilization)" "$(smi utilization.gpu)" "$3"
  echo "$1: uuid $(echo "$line" | figure uuid) is $(smi uuid); MIG $(echo "$line" | figure mig), nvidia-smi $(smi mig.mode.current); health $(echo "$line" | figure health)" | tee -a "$OUT/report.txt"
}

# The counter's joules over ten seconds against the mean of the power read meanwhile.
energy() {
  "$nvml" --watch 0.5 > "$OUT/watch-$1.json" 2>&1 & watching=$!
  sleep 10
  kill "$watching" 2>/dev/null
  wait "$watching" 2>/dev/null
  first=$(head -n 1 "$OUT/watch-$1.json" | figure energy_mj)
  last=$(tail -n 1 "$OUT/watch-$1.json" | figure energy_mj)
  count=$(wc -l < "$OUT/watch-$1.json")
  mean=$(while read -r one; do echo "$one" | figure power_mw; done < "$OUT/watch-$1.json" | awk '{ s += $1 } END { print s / NR / 1000 }')
  counter=$(awk -v a="$first" -v b="$last" -v n="$count" 'BEGIN { print (b - a) / 1000 / ((n - 1) * 0.5) }')
  agree "$1:energy_counter_w" "$counter" "$mean" "$(awk -v m="$mean" 'BEGIN { print m * 0.15 }')"
}

joules() {
  "$consort" --server "$url" devices -o json | python3 -c '
import json, sys
seen = json.load(sys.stdin)
for one in seen.get("devices", seen) if isinstance(seen, dict) else seen:
    if one["spec"]["type"] == "gpu":
        print(one["reading"].get("energy_mj") or 0)
        break'
}

# row MODEL STREAMS MJ_BEFORE MJ_AFTER: one line of bench.csv from the latest bench.
row() {
  python3 -c '
import json, sys
model, streams, before, after = sys.argv[1:5]
run = json.load(open(sys.argv[5]))["runs"][0]
run = run.get("consort", run)
def ms(name, which):
    return round(((run.get(name) or {}).get(which + "_us") or 0) / 1000, 3)
joules = (int(after) - int(before)) / 1000
print(",".join(str(one) for one in [
    model, streams, run["finished"], sum((run.get("errors") or {}).values()),
    ms("ttft", "p50"), ms("ttft", "p99"), ms("itl", "p50"), ms("itl", "p99"),
    round(run["tokens_per_s"], 1), round(joules / max(run["tokens"], 1), 4)]))' "$1" "$2" "$3" "$4" "$OUT/last.json" || echo "$1,$2,no figures"
}

# Starts `consort up` with both models; sets up, url and data.
start() {
  data=$(mktemp -d)
  "$consort" up --listen 127.0.0.1:18080 --data "$data" --plugins "$packed/share/consort/plugins" --model "random-1b=server:random-1b" --model "random-8b=server:random-8b" --model "random-stray=server:random-stray" >> "$OUT/consort.log" 2>&1 & up=$!
  url=http://127.0.0.1:18080
  for _ in $(seq 100); do "$consort" --server "$url" status > "$OUT/status.txt" 2>&1 && break; sleep 0.2; done
}
stop() {
  kill "$up"
  wait "$up"
  rm -rf "$data"
}
scrape() { python3 -c 'import sys, urllib.request; sys.stdout.buffer.write(urllib.request.urlopen(sys.argv[1] + "/metrics").read())' "$url" > "$OUT/metrics.txt"; }
predictions() { scrape && grep consort_prediction "$OUT/metrics.txt" | grep -v '^#' | sed "s|^|$1 |" | tee -a "$OUT/report.txt"; }

# What requests were charged and what was idle, beside what the board's counter says: it counts since the driver was
# loaded, so only what two of these differ by can be compared.
energies() {
  scrape
  grep -E '^consort_(energy|device_charged|device_idle|request_energy|token_energy)_joules' "$OUT/metrics.txt" | sed "s|^|$1 |" | tee -a "$OUT/report.txt"
}

# steady MODEL RATE REQUESTS: what the cost model makes of requests that come at random, by a scheduler that knows nothing.
steady() {
  start
  sleep 5 # The first readings.
  energies "before $1:"
  "$consort" --server "$url" bench --model "$1" --device gpu --rate "$2" -n "$3" --input-tokens 128 --max-tokens 128 > "$OUT/steady-$1.txt" 2>&1
  cat "$OUT/steady-$1.txt"
  sleep 2.5 # The reading behind the load.
  predictions "steady $1 at $2/s:"
  energies "steady $1 at $2/s:"
  stop
}

measure() {
  python3 -c 'import torch, sys; sys.exit(not torch.cuda.is_available())' 2>/dev/null || { echo "no python3 with torch on a GPU: no engine" | tee -a "$OUT/report.txt"; return; }
  start
  "$consort" --server "$url" devices > "$OUT/devices.txt" 2>&1
  echo 'model,streams,requests,errors,ttft_p50_ms,ttft_p99_ms,itl_p50_ms,itl_p99_ms,tokens_per_s,joules_per_token' > "$OUT/bench.csv"
  for model in random-1b random-8b; do
    "$consort" --server "$url" bench --model "$model" --device gpu -c 1 -n 2 --max-tokens 16 > "$OUT/warm-$model.txt" 2>&1
    for streams in 1 2 4 8 16 32 64; do
      before=$(joules)
      "$consort" --server "$url" bench --model "$model" --device gpu -c "$streams" -n $((streams * 3)) --input-tokens 128 --max-tokens 128 -o json > "$OUT/last.json" 2>> "$OUT/bench.err"
      sleep 2.5 # The reading behind the load.
      after=$(joules)
      row "$model" "$streams" "${before:-0}" "${after:-0}" >> "$OUT/bench.csv"
    done
    [ "$model" = random-8b ] || energy load-idle
  done
  "$consort" --server "$url" bench --model random-8b --device gpu -c 32 -n 96 --input-tokens 128 --max-tokens 256 > /dev/null 2>&1 & load=$!
  sleep 5
  compare load 60 40
  energy load
  wait "$load"
  predictions "bursts:"
  "$consort" --server "$url" events -n 1000 > "$OUT/events.txt" 2>&1
  stop
  both_steady
}

both_steady() {
  steady random-1b 8 480
  steady random-8b 4 300
}

# Two answers with a pause between, as an engine has to be seen idle before it is judged (docs/decisions/0117).
stray() {
  use "$1" || return
  start
  "$consort" --server "$url" bench --model random-stray --device gpu -c 1 -n 1 --max-tokens 8 > "$OUT/stray-warm.txt" 2>&1
  sleep 20
  "$consort" --server "$url" bench --model random-stray --device gpu -c 2 -n 2 --max-tokens 900 > "$OUT/stray-bench.txt" 2>&1 & load=$!
  for _ in $(seq 90); do
    nvidia-smi --query-gpu=power.draw,utilization.gpu,memory.used --format=csv,noheader >> "$OUT/stray-power.csv"
    sleep 2
    kill -0 "$load" 2>/dev/null || break
  done
  "$consort" --server "$url" events -n 1000 > "$OUT/stray-events.txt" 2>&1
  "$consort" --server "$url" devices > "$OUT/stray-devices.txt" 2>&1
  stop
  cat "$OUT/stray-bench.txt" "$OUT/stray-events.txt" "$OUT/stray-devices.txt"
  grep -E 'does not (seem to )?use|not use|unused' "$OUT/stray-events.txt" "$OUT/stray-devices.txt"
}

# What `pack` left in that folder.
use() {
  packed=$(cd "$1" && pwd) && [ -x "$packed/bin/consort" ] || { echo "$1 was not packed" >&2; return 2; }
  export LD_LIBRARY_PATH="$packed/lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}"
  OUT=${OUT:-.}
  consort=$packed/bin/consort
  nvml=$packed/share/consort/plugins/nvidia/consort-nvml
}

run() {
  use "$1" || return
  differs=0
  echo 'reading,ours,theirs,tolerance,verdict' > "$OUT/nvml_vs_smi.csv"
  : > "$OUT/report.txt"
  compare idle 15 5
  energy idle
  "$consort" plugin check --no-run "$packed/share/consort/plugins/nvidia" | tee -a "$OUT/report.txt"
  "$consort" plugin check --no-run "$packed/share/consort/plugins/nvidia-smi" | tee -a "$OUT/report.txt"
  measure
  cat "$OUT/bench.csv" 2>/dev/null
  return "$differs"
}

case "${1:-}" in
  pack | run | stray) [ -n "${2:-}" ] && "$1" "$2" ;;
  steady) [ -n "${2:-}" ] && use "$2" && both_steady ;;
  *) echo "usage: $0 pack DIR | run DIR | stray DIR | steady DIR" >&2; exit 2 ;;
esac
