#!/bin/sh
# Makes this machine gateway {{name}} of {{domain}}. Written by "chatops gateway invite",
# whose line said the SHA-256 of this text; what is fetched from here on is checked against
# a SHA-256 in it. Run again it goes on, or brings package and files up to date; the key of
# the tunnel stays.
#
# usage: sh FILE TOKEN
set -eu
export LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive
token=${1:?usage: sh FILE TOKEN}
dir=/var/cache/portico
log=/var/log/portico-apt.log

say() { echo "portico: $*"; }
die() { echo "portico: $*" >&2; exit 1; }

# ask PATH OPTIONS...: the store, by the first of its gateways that leads there. Whose
# certificate it has to be is known by its key.
ask() {
    ask_path=$1
    shift
    for ask_door in {{doors}}; do
        curl -gsSk --fail-with-body --connect-timeout 15 --max-time 600 \
            --pinnedpubkey 'sha256//{{pin}}' -H "{{header}}: $token" "$@" \
            "https://$ask_door/enrol/$ask_path" && return 0
    done
    return 1
}

[ "$(id -u)" = 0 ] || die "this has to be run by root"
. /etc/os-release
[ "$ID $VERSION_ID" = "debian 12" ] || die "this machine runs $ID $VERSION_ID; it must be Debian 12"
[ -d /run/systemd/system ] || die "this machine does not run systemd; it must"
[ -c /dev/net/tun ] || [ -d /sys/module/wireguard ] || modprobe -nq wireguard 2>/dev/null ||
    die "neither WireGuard in the kernel nor /dev/net/tun; have the provider switch on TUN/TAP"
if [ ! -e /etc/chatmail/gateway.conf ]; then
    busy=$(ss -Hltn 2>/dev/null | awk '$4 !~ /^(127\.|\[::1\])/ { sub(/.*:/, "", $4); print $4 }' |
        grep -xE '{{ports}}' | sort -nu | tr '\n' ' ') || true
    [ -z "$busy" ] || die "other programs listen on port $busy; stop and disable them"
fi
arch=$(dpkg --print-architecture)
sha=
case $arch in
{{packages}}esac
[ -n "$sha" ] || die "there is no package for $arch"

say "fetching the package"
mkdir -p "$dir"
rm -f "$dir"/portico-gateway-*.deb
deb=$dir/portico-gateway-$sha.deb
ask "package?$sha" -o "$deb.new" || {
    [ ! -s "$deb.new" ] || head -c 300 "$deb.new" >&2
    die "the store did not send the package; is the invite good still, is a gateway up?"
}
echo "$sha  $deb.new" | sha256sum -c --quiet >/dev/null 2>&1 ||
    die "what came is not the package that was invited: nothing was installed"
mv "$deb.new" "$deb"

say "installing it with what it needs (all of what apt says: $log)"
{ apt-get -q update &&
    apt-get -qy -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold \
        install --no-install-recommends --reinstall --allow-downgrades "$deb"; } \
    >"$log" 2>&1 </dev/null || die "apt-get failed: $(tail -1 "$log")"

{{files}}
key=$(chatmail-gateway keygen | sed -n 's/.*"wg":"\([^"]*\)".*/\1/p')
[ -n "$key" ] || die "chatmail-gateway keygen made no key"

systemctl daemon-reload
systemctl restart systemd-sysctl.service systemd-journald.service || true
systemctl -q enable chatmail-tunnel@wg0.service chatmail-gateway.service
systemctl start chatmail-tunnel@wg0.service
systemctl restart chatmail-gateway.service

version=$(dpkg-query -W -f '${Version}' portico-gateway)
printf 'portico %s\nportico-gateway_%s_%s.deb\nsha256 %s\n' "$version" "$version" "$arch" "$sha" \
    >/etc/chatmail-version.new
chmod 644 /etc/chatmail-version.new
mv /etc/chatmail-version.new /etc/chatmail-version

{ echo "$key"; ip -o addr show scope global; } >"$dir/join"
said=$(ask join --data-binary "@$dir/join") || die "the store did not take it: ${said:-no answer}"
print=$(printf %s "$key" | sha256sum | cut -c 1-20 | sed 's/..../& /g; s/ $//')
say "this machine is ready to be gateway {{name}}. Its fingerprint: $print"
say "on your own machine, when it shows the same: chatops gateway accept {{name}}"
