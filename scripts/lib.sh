# shellcheck shell=bash
# What the scripts of this directory share. Sourced, never run: it goes to the root of the repository and sets strict mode.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# npm speaks of nothing but what it was asked.
export npm_config_update_notifier=false npm_config_fund=false npm_config_audit=false

say() { printf '%s\n' "$*"; }

# warn speaks loudly: what it says must not be overlooked in a long log.
warn() { printf '\n!!! %s\n\n' "$*" >&2; }

die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}

# modules prints the directories of all Go modules below the main one.
modules() {
	local mod
	for mod in tools bench; do
		if [ -f "$mod/go.mod" ]; then say "$mod"; fi
	done
}

# count passed failed skipped: adds tests to the sum that scripts/test prints at its end.
count() {
	if [ -n "${HOLDFAST_TEST_TALLY:-}" ]; then printf '%d %d %d\n' "$1" "$2" "$3" >>"$HOLDFAST_TEST_TALLY"; fi
}

# gotest module arguments...: runs go test with these arguments in the directory of a module, shows what failed and what
# was skipped, and counts.
gotest() {
	local mod=$1
	shift
	go -C tools build -o ../bin/gotest ./gotest
	go -C "$mod" test -json "$@" | bin/gotest -tally "${HOLDFAST_TEST_TALLY:-}"
}

# vitest script: runs a script of ts/package.json that calls vitest, and counts.
vitest() {
	local result status=0
	result=$(mktemp)
	npm --prefix ts run "$1" -- --reporter=default --reporter=json --outputFile.json="$result" || status=$?
	if [ -s "$result" ]; then
		# Unquoted on purpose: three numbers.
		# shellcheck disable=SC2046
		count $(node -e '
			const r = JSON.parse(require("fs").readFileSync(process.argv[1], "utf8"))
			console.log(r.numPassedTests, r.numFailedTests, r.numPendingTests + (r.numTodoTests ?? 0))' "$result")
	fi
	rm -f "$result"
	return "$status"
}
