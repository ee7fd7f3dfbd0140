#!/bin/sh
# The compilers and emulators of tools/parity, all from Debian 12 and its security updates. As root, or through sudo.
set -eu

packages="clang-22 llvm-22 lld-22 binutils-xtensa-lx106 gcc-xtensa-lx106 gcc-riscv64-unknown-elf gcc-arm-none-eabi
gcc-aarch64-linux-gnu qemu-system-misc qemu-system-arm qemu-user"
command -v gcc >/dev/null || packages="$packages gcc libc6-dev"
command -v node >/dev/null || packages="$packages nodejs"

missing=""
for package in $packages; do
    dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null | grep -qx installed || missing="$missing $package"
done
[ -n "$missing" ] || exit 0

sudo=""
[ "$(id -u)" = 0 ] || sudo=sudo
echo "installing$missing"
$sudo apt-get update --quiet
# shellcheck disable=SC2086 # a list of words
DEBIAN_FRONTEND=noninteractive $sudo apt-get install --yes --no-install-recommends $missing
