#!/usr/bin/env bash
# The tests with the lowest and with the highest versions that pyproject.toml allows, each in a fresh environment.
#
#   tests/versions.sh [lowest] [highest] [-- arguments of pytest, in place of: -q -n 2 -m 'not slow']
#
# Needs Python 3.10 and 3.13, on the path, in pyenv or fetched by uv, and a package index.
set -euo pipefail
cd "$(dirname "$0")/.."
which=()
while [ $# -gt 0 ] && [ "$1" != -- ]; do which+=("$1"); shift; done
[ ${#which[@]} -gt 0 ] || which=(lowest highest)
tests=(-q -n 2 -m 'not slow')
[ $# -le 1 ] || tests=("${@:2}")

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
declare -A version=([lowest]=3.10 [highest]=3.13) resolution=([lowest]=lowest-direct [highest]=highest) result=()
for one in "${which[@]}"; do
  [ -n "${version[$one]:-}" ] || { echo "versions.sh: got $one, expected lowest or highest" >&2; exit 2; }
done
uv=$(command -v uv) || { python3 -m venv "$work/tools" && "$work/tools/bin/pip" install -q uv && uv="$work/tools/bin/uv"; }

# A Python of that version that works; its name alone, for uv to find, where there is none.
python() {
  for path in "python$1" "${PYENV_ROOT:-$HOME/.pyenv}/versions/$1".*/bin/python; do
    "$path" -c '' 2>/dev/null && { command -v "$path"; return; }
  done
  echo "$1"
}

for one in "${which[@]}"; do
  printf '\n== %s versions\n' "$one"
  "$uv" venv -q --python "$(python "${version[$one]}")" "$work/$one"
  export VIRTUAL_ENV="$work/$one"
  "$uv" pip install -q --resolution "${resolution[$one]}" -e '.[slow]'
  "$uv" pip freeze -q | grep -E '^(hydra|keras|matplotlib|mlxtend|numpy|omegaconf|rich|tensor)'
  result[$one]=passed
  "$work/$one/bin/python" -m pytest "${tests[@]}" || result[$one]=failed
done

echo
for one in "${which[@]}"; do echo "$one: ${result[$one]}"; done
[[ " ${result[*]} " != *" failed "* ]]
