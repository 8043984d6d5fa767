#!/usr/bin/env bash
# The tests with the lowest and with the highest versions that pyproject.toml allows, each in a fresh environment.
#
#   tests/versions.sh [lowest] [highest] [-- arguments of pytest, in place of: -q -m 'not slow']
#
# Needs Python 3.10 and 3.13 (uv fetches what is missing) and a package index.
set -euo pipefail
cd "$(dirname "$0")/.."
which=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do which+=("$1"); shift; done
[ ${#which[@]} -gt 0 ] || which=(lowest highest)
[ $# -gt 1 ] && { shift; tests=("$@"); } || tests=(-q -m 'not slow')

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
uv=$(command -v uv) || { python3 -m venv "$work/tools" && "$work/tools/bin/pip" install -q uv && uv="$work/tools/bin/uv"; }

declare -A python=([lowest]=3.10 [highest]=3.13) resolution=([lowest]=lowest-direct [highest]=highest) result=()
for one in "${which[@]}"; do
  [ -n "${python[$one]:-}" ] || { echo "versions.sh: got $one, expected lowest or highest" >&2; exit 2; }
  printf '\n== %s versions\n' "$one"
  "$uv" venv -q --python "${python[$one]}" "$work/$one"
  VIRTUAL_ENV="$work/$one" "$uv" pip install -q --resolution "${resolution[$one]}" -e '.[test]'
  VIRTUAL_ENV="$work/$one" "$uv" pip freeze -q --exclude-editable | grep -E '^(hydra|keras|matplotlib|mlxtend|numpy|omegaconf|pandas|protobuf|rich|tensor)'
  result[$one]=passed
  "$work/$one/bin/python" -m pytest "${tests[@]}" || result[$one]=failed
done

echo
for one in "${which[@]}"; do echo "$one: ${result[$one]}"; done
[[ ! " ${result[*]} " =~ " failed " ]]
