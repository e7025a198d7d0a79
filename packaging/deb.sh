#!/usr/bin/env bash
# Makes a Debian package of a built program: packaging/deb.sh [BINARY [FOLDER]]. Without words it builds the dist profile first and
# writes to target/packages. dpkg-deb, strip and what packaging/sbom.sh needs are enough.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
binary=${1:-}
out=${2:-$target/packages}
if [ -z "$binary" ]; then
    cargo build --profile dist --locked
    binary=$target/dist/workbench
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head --lines=1)
architecture=$(dpkg --print-architecture)
root=$(mktemp --directory)
trap 'rm -rf "$root"' EXIT
chmod 755 "$root"

install -D --mode=755 "$binary" "$root/usr/bin/workbench"
strip --strip-unneeded "$root/usr/bin/workbench"
share=$root/usr/share/healthgpt-workbench
mkdir --parents "$share"
cp --recursive assets/models assets/samples "$share/"
install -D --mode=644 packaging/linux/healthgpt-workbench.desktop "$root/usr/share/applications/healthgpt-workbench.desktop"
install -D --mode=644 packaging/linux/healthgpt-workbench-mime.xml "$root/usr/share/mime/packages/healthgpt-workbench.xml"
install -D --mode=644 packaging/linux/healthgpt-workbench.svg "$root/usr/share/icons/hicolor/scalable/apps/healthgpt-workbench.svg"
documents=$root/usr/share/doc/healthgpt-workbench
mkdir --parents "$documents"
cat LICENSE LICENSE-MIT LICENSE-APACHE >"$documents/copyright"
cp README.md CHANGELOG.md "$documents/"
packaging/sbom.sh "$documents/workbench.cdx.json"
find "$root/usr/share" -type d -exec chmod 755 {} + -o -type f -exec chmod 644 {} +

mkdir --parents "$root/DEBIAN"
cat >"$root/DEBIAN/control" <<CONTROL
Package: healthgpt-workbench
Version: $version
Architecture: $architecture
Maintainer: HealthGPT Workbench developers <noreply@localhost>
Installed-Size: $(du --summarize --block-size=1K "$root/usr" | cut --fields=1)
Depends: libc6, libstdc++6, libgcc-s1
Recommends: libvulkan1, mesa-vulkan-drivers, libx11-6, libx11-xcb1, libxcursor1, libxi6, libxrandr2, libxkbcommon0, libxkbcommon-x11-0, libwayland-client0
Section: science
Priority: optional
Description: medical vision-language model on your own machine, on your own scans
 Opens DICOM and NIfTI, answers questions about a slice, makes synthetic previews and trains plug-ins, all without a
 network. Research use only, not for diagnosis.
CONTROL
mkdir --parents "$out"
package=$out/healthgpt-workbench_${version}_$architecture.deb
dpkg-deb --root-owner-group --build "$root" "$package"
du --human-readable "$package"
