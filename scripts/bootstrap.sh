# Sourced by ./run and ./check: finds a Python, installs what is missing, and leaves VENV ready and ARGS free of --python.
#
# It never stops or reconfigures a service. What it builds is in .venv-<version>/ and is built again only when the locked
# requirements or the interpreter change.

set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
PYTHON_VERSIONS=(3.11 3.12 3.13 3.14) # in the order of preference
VENV=
ARGS=()
unset PYTHONPATH PYTHONHOME
export PYTHONNOUSERSITE=1 PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

say() { printf '%s\n' "$*" >&2; }

give_up() { # exit status, message
    local status=$1
    shift
    say "$(basename "$0"): $*"
    exit "$status"
}

quietly() { # command; its output is shown only when it fails, and then in full
    local output
    output=$("$@" 2>&1 </dev/null) || {
        say "$output"
        give_up 1 "this failed: $*"
    }
}

take_python_option() {
    while (($#)); do
        case $1 in
            --python)
                (($# > 1)) || give_up 2 "--python needs a version, such as 3.11"
                PYTHON_VERSIONS=("$2")
                shift
                ;;
            --python=*) PYTHON_VERSIONS=("${1#*=}") ;;
            --)
                ARGS+=("$@")
                break
                ;;
            *) ARGS+=("$1") ;;
        esac
        shift
    done
    [[ ${PYTHON_VERSIONS[0]} =~ ^3\.(1[1-9]|[2-9][0-9])$ ]] || give_up 2 "--python takes 3.11 or newer, not ${PYTHON_VERSIONS[0]}"
}

find_python() { # version; prints the interpreter's path. A pyenv shim for a version that is not selected does not count.
    local candidate
    while read -r candidate; do
        if "$candidate" -c "import sys; sys.exit('%d.%d' % sys.version_info[:2] != '$1')" 2>/dev/null </dev/null; then
            printf '%s\n' "$candidate"
            return
        fi
    done < <(
        type -aP "python$1" || true # none in PATH; there may be one in pyenv
        compgen -G "${PYENV_ROOT:-${HOME:-/nonexistent}/.pyenv}/versions/$1.*/bin/python$1"
    )
    return 1
}

stamp_of() { # requirement files...; what they contain, and where the venv stands: its scripts hold absolute paths
    (cd "$ROOT" && printf '%s\n' "$ROOT" && sha256sum "$@")
}

has_stamp() { # name, requirement files...
    local name=$1
    shift
    [[ -f $VENV/$name && $(<"$VENV/$name") == "$(stamp_of "$@")" ]]
}

RUNTIME_FILES=(requirements/build.txt requirements/runtime.txt)
DEV_FILES=("${RUNTIME_FILES[@]}" requirements/dev.txt)
PROJECT_FILES=(pyproject.toml setup.cfg)

runtime_is_ready() {
    has_stamp stamp-runtime "${RUNTIME_FILES[@]}" && "$VENV/bin/python" -I -S -c "" 2>/dev/null
}

venv_is_ready() { # runtime or dev
    runtime_is_ready && has_stamp stamp-project "${PROJECT_FILES[@]}" &&
        { [[ $1 == runtime ]] || has_stamp stamp-dev "${DEV_FILES[@]}"; }
}

missing_to_run() { # prints the Debian packages that hold the programs and the reader driver a run starts
    (PATH=$PATH:/usr/sbin:/sbin && type -P pcscd >/dev/null) || echo pcscd
    [[ -e /usr/lib/pcsc/drivers/serial/libifdvpcd.so ]] || echo vsmartcard-vpcd
    type -P unshare >/dev/null && type -P setpriv >/dev/null && type -P flock >/dev/null || echo util-linux
}

missing_to_check() { # prints the Debian packages of the programs that the checks start: modem's users, database, devices, a terminal
    type -P gammu >/dev/null || echo gammu
    type -P gammu-smsd >/dev/null || echo gammu-smsd
    (PATH=$PATH:/usr/sbin:/sbin && type -P smsd >/dev/null) || echo smstools
    type -P umockdev-wrapper >/dev/null || echo umockdev
    type -P evtest >/dev/null || echo evtest
    type -P espeak-ng >/dev/null || echo espeak-ng
    type -P sox >/dev/null || echo sox
    type -P tmux >/dev/null || echo tmux
    compgen -G "/usr/lib/postgresql/*/bin/postgres" >/dev/null || echo postgresql
}

missing_to_build() { # interpreter, version; prints the Debian packages that pyscard's compilation and the venv need
    local python=$1 version=$2
    if ! "$python" -c "import venv, ensurepip" 2>/dev/null; then echo "python$version-venv"; fi
    if ! "$python" -c "import os, sys, sysconfig as s; sys.exit(not os.path.exists(s.get_path('include') + '/Python.h'))"; then
        echo "python$version-dev"
    fi
    type -P swig >/dev/null || echo swig
    type -P gcc >/dev/null || echo gcc
    [[ -e /usr/include/stdio.h ]] || echo libc6-dev
    [[ -e /usr/include/PCSC/winscard.h ]] || echo libpcsclite-dev
}

install_packages() { # Debian packages...
    (($#)) || return 0
    local as_root=() install=(apt-get install --yes --no-install-recommends "$@")
    if ! type -P apt-get >/dev/null; then
        give_up 3 "missing, by their Debian names: $*. There is no apt-get here; please install them."
    fi
    if ((EUID != 0)); then
        if type -P sudo >/dev/null && sudo -n true 2>/dev/null; then
            as_root=(sudo -n)
        else
            say "$(basename "$0"): Debian packages are missing: $*"
            warn_of_service "$@"
            say "Please run this once, then try again:"
            say "  sudo apt-get update && sudo apt-get install --yes --no-install-recommends $*"
            exit 3
        fi
    fi
    say "Installing Debian packages: $*"
    warn_of_service "$@"
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update
    quietly "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive "${install[@]}"
}

warn_of_service() { # Debian packages...
    case " $* " in
        *" pcscd "*)
            say "  (The package pcscd also enables its own system service, which answers when a program asks for a card reader."
            say "   The simulated readers do not use it: they run a private pcscd. It may be switched off.)"
            ;;
    esac
    case " $* " in
        *" postgresql "*)
            say "  (The package postgresql also enables a system service with a database server of its own."
            say "   The checks do not use it: they run a private server. It may be switched off.)"
            ;;
    esac
}

choose_venv() { # runtime or dev; sets VENV, and PYTHON unless the venv is ready
    local version
    for version in "${PYTHON_VERSIONS[@]}"; do
        VENV=$ROOT/.venv-$version VERSION=$version PYTHON=
        if venv_is_ready "$1" || PYTHON=$(find_python "$version"); then return; fi
    done
    install_python
}

install_python() { # for a machine without a fitting Python: Debian's own, where it is one of the versions wanted
    local version
    for version in "${PYTHON_VERSIONS[@]}"; do
        if type -P apt-cache >/dev/null && apt-cache show "python$version" >/dev/null 2>&1; then
            # shellcheck disable=SC2046 # a list of names
            install_packages "python$version" "python$version-venv" "python$version-dev" $(missing_to_run)
            VENV=$ROOT/.venv-$version VERSION=$version
            PYTHON=$(find_python "$version") && return
        fi
    done
    give_up 3 "no Python ${PYTHON_VERSIONS[*]} found (looked for python${PYTHON_VERSIONS[0]} and so on in PATH and in pyenv)"
}

build_venv() { # runtime or dev; does only the part that is out of date
    local pip=("$VENV/bin/python" -m pip install --quiet)
    if ! runtime_is_ready; then
        say "Setting up ${VENV#"$ROOT"/} with $PYTHON ..."
        rm -rf "$VENV"
        quietly "$PYTHON" -m venv "$VENV"
        quietly "${pip[@]}" --require-hashes --requirement "$ROOT/requirements/build.txt"
        quietly "${pip[@]}" --require-hashes --no-build-isolation --requirement "$ROOT/requirements/runtime.txt"
        stamp_of "${RUNTIME_FILES[@]}" >"$VENV/stamp-runtime"
    fi
    if [[ $1 == dev ]] && ! has_stamp stamp-dev "${DEV_FILES[@]}"; then
        say "Adding the tools of the checks to ${VENV#"$ROOT"/} ..."
        quietly "${pip[@]}" --require-hashes --no-build-isolation --requirement "$ROOT/requirements/dev.txt"
        stamp_of "${DEV_FILES[@]}" >"$VENV/stamp-dev"
    fi
    if ! has_stamp stamp-project "${PROJECT_FILES[@]}"; then
        quietly "${pip[@]}" --no-deps --no-build-isolation --no-index --editable "$ROOT"
        stamp_of "${PROJECT_FILES[@]}" >"$VENV/stamp-project"
    fi
}

usage_of_run() { # to the end, with the help of `campus-sim run` where that is already set up; installs nothing
    cat <<'END'
usage: ./run [--python VERSION] [OPTION...]

Sets up what is missing, then starts `campus-sim run` with the options that it takes.

  --python VERSION  another Python, such as 3.13 (3.11 or newer)

Exit status: that of `campus-sim run` (0, 1, 2, and 130 when interrupted), 1 also when the set-up failed,
2 also for a wrong --python, 3 when something is missing that could not be installed.

END
    for VERSION in "${PYTHON_VERSIONS[@]}"; do
        VENV=$ROOT/.venv-$VERSION
        if venv_is_ready runtime; then exec "$VENV/bin/campus-sim" run "${ARGS[@]}"; fi
    done
    printf '%s\n' "The options of campus-sim run are in sim/SIM.md, and here once ./run has set up what is missing."
    exit 0
}

bootstrap() { # runtime or dev, then the command line; sets VENV and ARGS
    local kind=$1 packages
    shift
    take_python_option "$@"
    if [[ $kind == dev ]]; then
        [[ ${ARGS[*]} == "" || ${ARGS[*]} == --slow ]] ||
            give_up 2 "unknown argument: ${ARGS[*]} (only --python VERSION and --slow are taken)"
    elif [[ " ${ARGS[*]} " =~ \ (-h|--help)\  ]]; then
        usage_of_run
    fi
    choose_venv "$kind"
    packages=$(missing_to_run)
    if [[ $kind == dev ]]; then packages+=" $(missing_to_check)"; fi
    if ! runtime_is_ready; then packages+=" $(missing_to_build "$PYTHON" "$VERSION")"; fi
    # shellcheck disable=SC2086 # a list of names
    install_packages $packages
    if venv_is_ready "$kind"; then return; fi
    [[ -w $ROOT ]] || give_up 1 "cannot write to $ROOT, where the virtual environment goes; use a clone of your own"
    # One set-up at a time. The lock is let go before anything else starts, so that a long run does not hold it.
    exec 9>"$ROOT/.venv-lock"
    flock 9
    if ! venv_is_ready "$kind"; then build_venv "$kind"; fi
    exec 9>&-
}
