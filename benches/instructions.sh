#!/usr/bin/env bash
# Instructions per message of each hot path, by callgrind: independent of what else the machine does.
#
#   benches/instructions.sh [PATH...]
#
# Every path is run with two counts, and the difference is divided by their difference, so that what
# starting costs cancels out. Needs valgrind. The numbers belong to one compiler and one profile;
# compare those of two commits, not those of two machines.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

command -v valgrind > /dev/null || { echo "instructions: valgrind is missing" >&2; exit 77; }
binary=$(cargo bench --no-run --bench instructions 2>&1 | sed -n 's/.*(\(.*instructions-[0-9a-f]*\)).*/\1/p')
[ -x "$binary" ] || { echo "instructions: the bench was not built" >&2; exit 1; }

count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 |
    awk '/Collected/ { print $4 }'
}

"$binary" | while IFS=: read -r path what; do
  [ $# -eq 0 ] || [[ " $* " == *" $path "* ]] || continue
  few=$(count "$path" 1600) many=$(count "$path" 4800)
  printf '%-14s %6d  %s\n' "$path" $(((many - few) / 3200)) "${what# }"
done
