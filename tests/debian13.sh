#!/bin/bash
# debian13.sh: `make check` inside a Debian 13 chroot, against mbed TLS 3.6. The chroot is made once, in
# $DEBIAN13 (default build/debian13); the sources in it are replaced by ours on every run.
set -euo pipefail

cd "$(dirname "$0")/.."
root=$(realpath -m "${DEBIAN13:-${BUILD:-build}/debian13}")

if (($(id -u) != 0)); then
	if ! command -v sudo >/dev/null; then
		echo 'check-debian13: debootstrap and chroot need root, and there is no sudo here' >&2
		exit 1
	fi
	exec sudo "DEBIAN13=$root" bash tests/debian13.sh
fi

# The mirror that apt uses for Debian itself; nothing where it uses none, then debootstrap takes its own default.
mirror() {
	apt-get indextargets --format '$(ORIGIN)|$(LABEL)|$(SITE)' 'Created-By: Packages' 2>/dev/null |
		sed -n 's/^Debian|Debian|//p' | head -n 1
}

make_chroot() {
	local packages
	sh tests/deps.sh debian13
	packages=$(sh tests/deps.sh --list check python)
	rm -rf --one-file-system "$root"
	mkdir -p "$root"
	echo "check-debian13: making a Debian 13 in $root"
	# shellcheck disable=SC2046 # no argument at all where there is no mirror
	debootstrap --variant=minbase --include="${packages// /,}" trixie "$root" $(mirror) >"$root.log" 2>&1 ||
		{ tail -n 20 "$root.log" && return 1; }
	printf '127.0.0.1 localhost\n::1 localhost\n' >"$root/etc/hosts"
	rm -rf "$root"/var/cache/apt/archives/*.deb
	touch "$root/.made"
}

# What git tracks or would track; everything but the build where there is no git.
sources() {
	local file
	if git -c safe.directory='*' rev-parse --git-dir >/dev/null 2>&1; then
		git -c safe.directory='*' ls-files -z --cached --others --exclude-standard
	else
		find . -path ./build -prune -o -type f -print0
	fi | while IFS= read -r -d '' file; do
		[[ -e $file ]] && printf '%s\0' "$file"
	done
}

copy_sources() {
	rm -rf --one-file-system "$root/src"
	mkdir "$root/src"
	sources | tar --create --null --no-recursion --files-from - | tar --extract --no-same-owner --directory "$root/src"
}

# In a mount namespace of its own, so that nothing stays mounted, however it ends.
inside() {
	unshare --mount bash -euc '
		mount -t proc proc "$0/proc"
		for device in null zero full random urandom tty; do
			touch "$0/dev/$device"
			mount --bind "/dev/$device" "$0/dev/$device"
		done
		exec chroot "$0" /usr/bin/env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C.UTF-8 "${@}"' "$root" "$@"
}

[[ -e $root/.made ]] || make_chroot
copy_sources
inside make --no-print-directory -C /src -j "$(nproc)" check
