#!/usr/bin/env bash
# Instructions per message of each hot path, by callgrind: independent of what else the machine does.
#
#   benches/instructions.sh [PATH...]   measure, and show what benches/instructions.txt has
#   benches/instructions.sh --check     the same, and fail if a path takes over 5 % more than that
#   benches/instructions.sh --record    measure, and write benches/instructions.txt
#
# Every path is run with two counts, and the difference is divided by their difference, so that what
# starting costs cancels out. The numbers belong to one compiler, C library and kind of processor,
# which the first line of the file names; with another, nothing is compared. Needs valgrind.
# Exit: 0, 1 if a path takes more or could not be run, 2 for wrong usage, 77 without valgrind.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
export LC_ALL=C

expectations=benches/instructions.txt
few=2000 many=6000
# Callgrind counts `rep stosb` and `rep movsb` once per byte: clearing 128 KiB would be 131,072
# instructions, where the processor has some 4,000 stores to do.
export GLIBC_TUNABLES=glibc.cpu.x86_rep_stosb_threshold=1073741824
GLIBC_TUNABLES+=:glibc.cpu.x86_rep_movsb_threshold=1073741824
tolerance=5

main() {
  local mode=show only=' '
  while [ $# -gt 0 ]; do
    case $1 in
      --check | --record) mode=${1#--} ;;
      -h | --help)
        sed -n '2,/^set -/{/^#/s/^# \{0,1\}//p;}' "${BASH_SOURCE[0]}"
        exit 0
        ;;
      -*)
        echo "instructions: no option '$1' (--help shows them)" >&2
        exit 2
        ;;
      *) only+="$1 " ;;
    esac
    shift
  done
  command -v valgrind >/dev/null || {
    echo 'skipped: no valgrind: apt-get install valgrind'
    exit 77
  }
  binary=$(build)
  local paths
  paths=$("$binary")
  check_names "$only" "$paths"
  local setting known found
  setting=$(setting)
  known=$(sed -n '1s/^# //p' "$expectations" 2>/dev/null || true)
  found=$(measure "$only" "$paths")
  case $mode in
    record)
      [ "$only" = ' ' ] || { echo 'instructions: --record takes all paths' >&2; exit 2; }
      { echo "# $setting"; echo "$found"; } >"$expectations"
      cat "$expectations"
      ;;
    *) compare "$mode" "$found" "$setting" "$known" ;;
  esac
}

# The bench, in the release profile; prints where it is.
build() {
  local said binary locked=
  [ "${CI:-}" != true ] || locked=--locked
  # shellcheck disable=SC2086 # an option or none
  if ! said=$(cargo bench $locked --no-run --bench instructions 2>&1); then
    echo "$said" >&2
    return 1
  fi
  binary=$(sed -n 's/.*(\(.*instructions-[0-9a-f]*\)).*/\1/p' <<<"$said")
  [ -x "$binary" ] || { echo "instructions: cargo does not say where the bench is" >&2; return 1; }
  echo "$binary"
}

# What the numbers depend on besides the source: code is chosen by what the processor has, too.
setting() {
  local libc vectors=plain
  libc=$(getconf GNU_LIBC_VERSION 2>/dev/null || echo 'other libc')
  ! grep -qsw avx2 /proc/cpuinfo || vectors=avx2
  echo "$(rustc --version), $(uname -m) $vectors, $libc"
}

check_names() {
  local name
  for name in $1; do
    grep -q "^$name:" <<<"$2" || {
      echo "instructions: no path '$name'; there is: $(cut -d: -f1 <<<"$2" | xargs)" >&2
      exit 2
    }
  done
}

# measure ONLY PATHS: lines of path, instructions and what is counted.
measure() {
  local path what least most
  while IFS=: read -r path what; do
    [ "$1" = ' ' ] || [[ $1 == *" $path "* ]] || continue
    least=$(count "$path" $few) most=$(count "$path" $many)
    printf '%-14s %7d  %s\n' "$path" $(((most - least) / (many - few))) "${what# }"
  done <<<"$2"
}

count() {
  valgrind --tool=callgrind --callgrind-out-file=/dev/null "$binary" "$1" "$2" 2>&1 |
    awk '/Collected/ { print $4; found = 1 } END { exit !found }'
}

# compare MODE FOUND SETTING KNOWN
compare() {
  if [ "$3" != "$4" ]; then
    echo "$2"
    echo "not compared: $expectations is of"
    echo "  ${4:-nothing}"
    echo 'and this is'
    echo "  $3"
    return
  fi
  awk -v tolerance="$tolerance" -v check="$1" -v file="$expectations" '
    FNR == NR { if ($1 != "#") expected[$1] = $2; next }
    {
      was = expected[$1]
      note = "new: record it"
      if (was != "") {
        change = 100 * ($2 - was) / was
        note = sprintf("%+.1f %% of %d", change, was)
        if (change > tolerance) { note = note ": MORE"; more++ }
        if (change < -tolerance) { note = note ": less, lower it"; less++ }
      } else unknown++
      what = $0; sub(/^[^ ]+ +[0-9]+ +/, "", what)
      printf "%-14s %7d  %-28s %s\n", $1, $2, note, what
    }
    END {
      if (less + unknown) print "to be recorded: benches/instructions.sh --record"
      if (more) printf "over %d %% more than %s says: %d\n", tolerance, file, more
      exit check == "check" && more + unknown > 0
    }' "$expectations" - <<<"$2"
}

main "$@"
