#!/usr/bin/env bash
# Makes an AppImage of a built program: packaging/appimage.sh [BINARY [FOLDER]]. Without words it builds the dist profile first and
# writes to target/packages. Needs mksquashfs (Debian: squashfs-tools) and, named by APPIMAGE_RUNTIME, the type-2 runtime of the
# AppImage project; without that it leaves the AppDir and its file system and ends with status 3.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

target=${CARGO_TARGET_DIR:-target}
binary=${1:-}
out=${2:-$target/packages}
runtime=${APPIMAGE_RUNTIME:-}
name=healthgpt-workbench
if ! command -v mksquashfs >/dev/null; then
    echo "appimage: mksquashfs is missing; apt-get install squashfs-tools" >&2
    exit 1
fi
if [ -z "$binary" ]; then
    cargo build --profile dist --locked
    binary=$target/dist/workbench
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head --lines=1)
architecture=$(uname --machine)
mkdir --parents "$out"
app=$out/$name.AppDir
rm --recursive --force "$app"

install -D --mode=755 "$binary" "$app/usr/bin/workbench"
strip --strip-unneeded "$app/usr/bin/workbench"
share=$app/usr/share/$name
mkdir --parents "$share"
cp --recursive assets/models assets/samples "$share/"
install -D --mode=644 packaging/linux/$name-mime.xml "$app/usr/share/mime/packages/$name.xml"
install -D --mode=644 packaging/linux/$name.desktop "$app/usr/share/applications/$name.desktop"
install -D --mode=644 packaging/linux/$name.svg "$app/usr/share/icons/hicolor/scalable/apps/$name.svg"
documents=$app/usr/share/doc/$name
mkdir --parents "$documents"
cat LICENSE LICENSE-MIT LICENSE-APACHE >"$documents/copyright"
cp README.md CHANGELOG.md "$documents/"
packaging/sbom.sh "$documents/workbench.cdx.json"
# What the specification wants at the top: the entry, its icon under both names, and what is started.
ln --symbolic usr/share/applications/$name.desktop "$app/$name.desktop"
ln --symbolic usr/share/icons/hicolor/scalable/apps/$name.svg "$app/$name.svg"
ln --symbolic $name.svg "$app/.DirIcon"
ln --symbolic usr/bin/workbench "$app/AppRun"

files=$out/$name-$version-$architecture.squashfs
rm --force "$files"
mksquashfs "$app" "$files" -root-owned -noappend -no-progress -quiet -comp zstd -Xcompression-level 3
if [ -z "$runtime" ]; then
    du --human-readable "$files"
    echo "appimage: there is no AppImage, as the type-2 runtime is missing: set APPIMAGE_RUNTIME to the file runtime-$architecture" \
        "of the AppImage project's type2-runtime releases. $app/AppRun runs as it is" >&2
    exit 3
fi
# An AppImage of type 2 says so in bytes 8 to 10 of its ELF header.
if [ "$(od --address-radix=n --format=x1 --skip-bytes=8 --read-bytes=3 "$runtime" | tr --delete ' ')" != 414902 ]; then
    echo "appimage: $runtime is no type-2 runtime" >&2
    exit 1
fi
package=$out/$name-$version-$architecture.AppImage
cat "$runtime" "$files" >"$package"
chmod 755 "$package"
rm --force "$files"
du --human-readable "$package"
