#!/bin/sh
# Makes this machine gateway edge3 of chat.example.org. Written by "chatops gateway invite",
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
    for ask_door in 198.51.100.11 '[2001:db8:1::11]'; do
        curl -gsSk --fail-with-body --connect-timeout 15 --max-time 600 \
            --pinnedpubkey 'sha256//UElOUElOUElOUElOUElOUElOUElOUElOUElOUElOUEk=' -H "X-Portico-Token: $token" "$@" \
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
        grep -xE '25|80|143|443|465|587|993' | sort -nu | tr '\n' ' ') || true
    [ -z "$busy" ] || die "other programs listen on port $busy; stop and disable them"
fi
arch=$(dpkg --print-architecture)
sha=
case $arch in
amd64) sha=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef ;;
arm64) sha=fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210 ;;
esac
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

mkdir -p /etc/sysctl.d
cat >/etc/sysctl.d/60-chatmail.conf.new <<'PORTICO-END'
# Written by chatops run. A gateway routes; what it lets through says nft.
net.ipv4.ip_forward = 1
# With forwarding on the kernel would forget a default route learnt from the provider's
# router advertisements, unless told to keep listening.
-net.ipv6.conf.*.accept_ra = 2
net.ipv6.conf.all.forwarding = 1
-net.netfilter.nf_conntrack_max = 262144
PORTICO-END
chown root:root /etc/sysctl.d/60-chatmail.conf.new
chmod 0644 /etc/sysctl.d/60-chatmail.conf.new
mv /etc/sysctl.d/60-chatmail.conf.new /etc/sysctl.d/60-chatmail.conf
mkdir -p /etc/systemd/journald.conf.d
cat >/etc/systemd/journald.conf.d/chatmail.conf.new <<'PORTICO-END'
# Written by chatops run. Logs live in memory and are forgotten after three days.
[Journal]
Storage=volatile
MaxRetentionSec=3day
MaxFileSec=1day
PORTICO-END
chown root:root /etc/systemd/journald.conf.d/chatmail.conf.new
chmod 0644 /etc/systemd/journald.conf.d/chatmail.conf.new
mv /etc/systemd/journald.conf.d/chatmail.conf.new /etc/systemd/journald.conf.d/chatmail.conf
mkdir -p /etc/chatmail
cat >/etc/chatmail/gateway.conf.new <<'PORTICO-END'
# Written by chatops run. All a gateway knows before it has heard from the store.
[gateway]
name = edge3
number = 3
wg_port = 51820
bus_port = 4710
cluster_key = Q0xVU1RFUktFWUNMVVNURVJLRVlDTFVTVEVSS0VZQ0w=
store_wg_key = U1RPUkVLRVlTVE9SRUtFWVNUT1JFS0VZU1RPUkVLRVk=
PORTICO-END
chown root:root /etc/chatmail/gateway.conf.new
chmod 0644 /etc/chatmail/gateway.conf.new
mv /etc/chatmail/gateway.conf.new /etc/chatmail/gateway.conf

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
say "this machine is ready to be gateway edge3. Its fingerprint: $print"
say "on your own machine, when it shows the same: chatops gateway accept edge3"
