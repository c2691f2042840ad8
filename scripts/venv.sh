# shellcheck shell=bash
# Sourced by demo, test and lint: one virtual environment for all of them, made on first use and reused afterwards.
#
#   PYTHON        the interpreter it is made with (default: python3)
#   SIDELOG_VENV  where it is (default: .venv in the repository)

root=$(cd -P "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${SIDELOG_VENV:-$root/.venv}
[[ $venv == /* ]] || venv=$PWD/$venv
name=${0##*/}

say() {
    printf '%s: %s\n' "$name" "$*"
}

fail() {
    printf '%s: %s\n' "$name" "$*" >&2
    exit 1
}

# need_venv EXTRAS: return when the project stands in $venv, editable, with these extras.
need_venv() {
    local extras=$1 state stamp
    stamp=$venv/.sidelog-$extras
    # A changed pyproject.toml or a moved repository installs again.
    state="$root $(cksum <"$root/pyproject.toml")"
    if [[ -x $venv/bin/python ]]; then
        check_python "$venv/bin/python"
    fi
    if [[ -x $venv/bin/python && -f $stamp && $(<"$stamp") == "$state" ]]; then
        say "using $venv"
        return
    fi
    if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
        make_venv "${PYTHON:-python3}"
    fi
    install_project "$extras"
    printf '%s\n' "$state" >"$stamp"
}

check_python() {
    local python=$1 version
    command -v "$python" >/dev/null || fail "there is no $python here: install Python 3.10 or newer, or set PYTHON to one"
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || fail "$python does not run"
    if ((${version%%.*} * 1000 + ${version##*.} < 3010)); then
        fail "$python is Python $version, expected 3.10 or newer: set PYTHON to one"
    fi
}

make_venv() {
    local python=$1 trouble
    check_python "$python"
    "$python" -c 'import ensurepip, venv' 2>/dev/null ||
        fail "$python has no venv: install it (Debian, Ubuntu: apt-get install python3-venv), or set PYTHON to another"
    say "making $venv"
    trouble=$("$python" -m venv "$venv" 2>&1) || fail "$venv cannot be made: ${trouble##*$'\n'}"
}

install_project() {
    local extras=$1 log=$venv/pip.log reason
    if [[ -n $(find "$venv/lib" -maxdepth 3 -name torchvision -print -quit 2>/dev/null) ]]; then
        say "installing sidelog[$extras] into $venv"
    else
        say "installing sidelog[$extras] with torch and torchvision into $venv: about 2 minutes (tail -f $log)"
    fi
    if ! "$venv/bin/python" -m pip install --disable-pip-version-check --editable "${root}[$extras]" >"$log" 2>&1; then
        # Where pip met the error it says last, in a line of its own kind: the cause stands above it.
        reason=$(sed -n -e '/ERROR: Failed to build/d' -e 's/^.*ERROR: //p' "$log" | tail -n 1)
        fail "pip cannot install sidelog[$extras]: ${reason:-$(tail -n 1 "$log")} (all it said: $log)"
    fi
}
