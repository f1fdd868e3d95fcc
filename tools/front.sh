# Shared by ./demo, ./check and ./bench: what is said, what must be installed, how it is
# built. Sourced by bash from the top of the checkout.

build=${PORTICO_BUILD:-build}
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive

packages="gcc libc6-dev make cmake ninja-build pkg-config git clang clang-format
 libopendkim-dev libbpf-dev libsodium-dev
 libclang-rt-14-dev libcmocka-dev libevent-dev libpq-dev libnanomsg-dev libjansson-dev
 libldns-dev libhiredis-dev libcurl4-openssl-dev libnghttp2-dev
 chromium fonts-dejavu-core
 redis-tools libcmark-gfm-dev libcmark-gfm-extensions-dev libqrencode-dev
 libcrypt-dev libmilter-dev gnupg dovecot-dev libssl-dev mandoc dpkg-dev file apt-utils
 mmdebstrap debian-archive-keyring systemd-container nftables iproute2 wireguard-tools
 wireguard-go postgresql coturn uacme pebble util-linux ca-certificates openssl
 knot unbound bind9"

packages_arm64="mmdebstrap debian-archive-keyring gcc-aarch64-linux-gnu libc6-dev-arm64-cross
 qemu-user-static file"

die() { echo "$(basename "$0"): $*" >&2; exit 1; }

need_root() { [ "$(id -u)" = 0 ] || die "needs root: run it as 'sudo ./$(basename "$0")'"; }

# stage NAME COMMAND...: runs it, prints how long it took, returns its status.
stage() {
    local name=$1 start=$SECONDS status=0; shift
    printf '== %s\n' "$name"
    "$@" || status=$?
    printf '== %-10s %s  %d s\n' "$name" "$([ $status = 0 ] && echo ok || echo FAILED)" \
        $((SECONDS - start))
    return $status
}

install_missing() {
    local missing=
    for p in $packages; do
        dpkg-query -W -f '${db:Status-Status}\n' "$p" 2>/dev/null | grep -qx installed ||
            missing="$missing $p"
    done
    command -v npm >/dev/null || missing="$missing npm"
    [ -z "$missing" ] && return 0
    echo "installing:$missing"
    # Debian's cluster would start on port 5432; the tests start their own.
    mkdir -p /etc/postgresql-common
    [ -e /etc/postgresql-common/createcluster.conf ] ||
        echo 'create_main_cluster = false' >/etc/postgresql-common/createcluster.conf
    # Nor shall these servers run here.
    mkdir -p /etc/systemd/system
    for s in coturn nginx haproxy knot unbound bind9:named; do
        case " $missing " in *" ${s%:*} "*)
            s=${s#*:}
            [ -e /lib/systemd/system/$s.service ] || [ -L /etc/systemd/system/$s.service ] ||
                ln -s /dev/null /etc/systemd/system/$s.service ;;
        esac
    done
    { apt-get update -q && apt-get install -qy --no-install-recommends $missing; } \
        >/tmp/portico-install.log 2>&1 ||
        { tail -20 /tmp/portico-install.log; die "apt-get could not install them"; }
}

# [aim=TARGET] compile DIR [cmake options]: configures once, builds all, or that target.
compile() {
    local dir=$1; shift
    cmake -G Ninja -S . -B "$dir" "$@" >"$dir.log" 2>&1 &&
        ninja -C "$dir" "${aim:-all}" >>"$dir.log" 2>&1 || { tail -40 "$dir.log"; return 1; }
}

make_packages() {
    compile "$build" && ninja -C "$build" packages >>"$build.log" 2>&1 ||
        { tail -40 "$build.log"; return 1; }
}

# The lab up with this build's packages. What an earlier or crashed run left is cleared
# first; when nothing has changed since, the snapshot makes that a matter of seconds.
lab_up() { "$build/lab" down >/dev/null 2>&1; "$build/lab" up; }
