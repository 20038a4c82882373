#!/bin/sh
# Installs the Debian packages that `make demo` or `make test` needs and this machine lacks. Without the right to install,
# it lists them. It never fails: whatever needs a missing program reports that itself.
#
# usage: packages.sh venv|demo|npm|test
set -u

# what is needed (a file pattern, or "!" and a command; ":" separates alternatives)      the package that provides it
VENV=
python3 -c 'import ensurepip, venv' 2>/dev/null || VENV='/no/ensurepip python3-venv'
NPM='!npm npm'
DEMO='
!Orthanc:/usr/sbin/Orthanc                              orthanc
/usr/share/orthanc/plugins/libOrthancDicomWeb.so        orthanc-dicomweb
/usr/bin/dcmdump                                        dcmtk
!bwrap                                                  bubblewrap
'
TEST="$DEMO"'
/usr/share/orthanc/plugins/libOrthancWebViewer.so       orthanc-webviewer
!chromium:!chromium-browser:!google-chrome              chromium
/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf         fonts-dejavu-core
/usr/lib/postgresql/*/bin/initdb                        postgresql
/usr/share/java/pixelmed.jar                            libpixelmed-java
!javac                                                  default-jdk-headless
'

present() { # whether one of the alternatives in $1 is there
    old_ifs=$IFS; IFS=:
    for one in $1; do
        case $one in
            !*) command -v "${one#!}" >/dev/null 2>&1 && { IFS=$old_ifs; return 0; } ;;
            *) IFS=$old_ifs; for path in $one; do [ -e "$path" ] && return 0; done; IFS=: ;;
        esac
    done
    IFS=$old_ifs
    return 1
}

missing() { # the packages of the lines on standard input whose programs or files are not there
    while read -r what package; do
        [ -z "$what" ] || present "$what" || printf '%s ' "$package"
    done
}

retry() { # another apt may hold the lock: wait for it, up to five minutes
    for _ in 1 2 3 4 5 6 7 8 9 10; do
        output=$("$@" 2>&1) && return 0
        case $output in *'Could not get lock'*|*'Unable to acquire'*|*'Unable to lock'*) sleep 30 ;; *) break ;; esac
    done
    printf '%s\n' "$output" | tail -n 5 >&2
    return 1
}

case "${1:-test}" in venv) wanted=$VENV ;; npm) wanted=$NPM ;; demo) wanted=$DEMO ;; *) wanted=$TEST ;; esac
packages=$(printf '%s\n' "$wanted" | missing)
[ -n "$packages" ] || exit 0

if ! command -v apt-get >/dev/null 2>&1; then
    echo "missing: $packages(names of Debian packages; this machine has no apt-get)" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null 2>&1 && { sudo -n true 2>/dev/null || { [ -t 0 ] && sudo -p "password of %u, to install $packages: " true; }; }; then
    as_root='sudo -n'
else
    echo "missing: $packages" >&2
    echo "install with: apt-get install --no-install-recommends $packages" >&2
    exit 0
fi

echo "installing: $packages"
apt="$as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq -o DPkg::Lock::Timeout=300"
retry $apt update
# if one package does not exist, install the others one by one: Ubuntu has no chromium package
if ! retry $apt install -y --no-install-recommends $packages; then
    for package in $packages; do
        retry $apt install -y --no-install-recommends "$package" || echo "cannot install: $package" >&2
    done
fi
exit 0
