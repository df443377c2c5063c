#!/bin/bash
# Checks the unit files with systemd's own tools. Needs systemd-analyze, systemd-sysusers and systemd-tmpfiles.
set -u
units="$(cd "$(dirname "$0")/../systemd" && pwd)"
root="$(mktemp -d)"
trap 'rm -rf "$root"' EXIT
passed=0 failed=0

verdict() { # name, whether it is good, what to show if not
    if [ "$2" = yes ]; then
        passed=$((passed + 1)); echo "ok   $1"
    else
        failed=$((failed + 1)); echo "FAIL $1"; printf '%s\n' "$3" | sed 's/^/     /'
    fi
}

for tool in systemd-analyze systemd-sysusers systemd-tmpfiles; do
    command -v "$tool" >/dev/null || { echo "FAIL $tool is not installed"; echo "0 passed, 1 failed"; exit 1; }
done

# The program itself need not be installed to check what surrounds it.
mkdir -p "$root/units" "$root/bin" "$root/tree/etc/trunkline"
printf '#!/bin/sh\n' >"$root/bin/trunkline"
chmod 0755 "$root/bin/trunkline"
for unit in trunkline.service trunkline.socket; do
    sed "s,/usr/bin/trunkline,$root/bin/trunkline," "$units/$unit" >"$root/units/$unit"
done
said="$(systemd-analyze verify "$root/units/trunkline.service" "$root/units/trunkline.socket" 2>&1)" && [ -z "$said" ] && good=yes || good=no
verdict "the units are understood without a word" "$good" "$said"

said="$(systemd-analyze security --offline=yes --threshold=20 "$units/trunkline.service" 2>&1)" && good=yes || good=no
level="$(printf '%s\n' "$said" | sed -n 's/.*Overall exposure level for [^:]*: \([0-9.]*\).*/\1/p')"
[ -n "$level" ] || good=no
verdict "the service is exposed no more than 2.0 (it is ${level:-unknown})" "$good" "$said"

# The stop must outlast the drain, or messages in flight are cut off.
stop="$(sed -n 's/^TimeoutStopSec=\([0-9]*\)s$/\1/p' "$units/trunkline.service")"
[ "${stop:-0}" -gt 50 ] && good=yes || good=no
verdict "a stop outlasts the drain of 50 s" "$good" "TimeoutStopSec is ${stop:-not in seconds}"

said="$(systemd-sysusers --root="$root/tree" "$units/sysusers.d/trunkline.conf" 2>&1)" && good=yes || good=no
grep -q '^trunkline:.*:/var/lib/trunkline:' "$root/tree/etc/passwd" || good=no
verdict "the user is made" "$good" "$said"

if [ "$(id -u)" = 0 ]; then
    touch "$root/tree/etc/trunkline/trunkline.toml"
    said="$(systemd-tmpfiles --root="$root/tree" --create "$units/tmpfiles.d/trunkline.conf" 2>&1)" && good=yes || good=no
    modes="$(cd "$root/tree/etc/trunkline" && stat -c '%n %a' . trunkline.toml credentials | tr '\n' ' ')"
    [ "$modes" = ". 750 trunkline.toml 640 credentials 700 " ] || good=no
    verdict "the configuration is private" "$good" "$said $modes"
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
