#!/usr/bin/env bash
# Builds the type-2 runtime that packaging/appimage.sh puts in front of the file system, without any download:
# packaging/appimage-runtime.sh TYPE2_RUNTIME SQUASHFUSE OUT, the first two being checkouts of github.com/AppImage/type2-runtime and
# github.com/vasi/squashfuse (0.5.2). Needs on Debian: clang autoconf automake libtool pkg-config libfuse3-dev libzstd-dev zlib1g-dev.
set -euo pipefail

if [ $# != 3 ]; then
    sed --quiet '2,4s/^# //p' "$0" >&2
    exit 2
fi
runtime=$(realpath "$1") squashfuse=$(realpath "$2") out=$(realpath "$3")
for tool in clang autoreconf libtoolize pkg-config; do
    if ! command -v $tool >/dev/null; then
        echo "appimage-runtime: $tool is missing; see the packages at the top of this script" >&2
        exit 1
    fi
done
work=$(mktemp --directory)
trap 'rm --recursive --force "$work"' EXIT

cp --recursive "$squashfuse" "$work/squashfuse"
(
    cd "$work/squashfuse"
    ./autogen.sh
    CFLAGS="-Os -ffunction-sections -fdata-sections" ./configure --disable-shared --disable-demo --without-lzo --without-lz4 --without-xz
    make libsquashfuse.la libsquashfuse_ll.la
) >"$work/log" 2>&1 || {
    tail "$work/log" >&2
    exit 1
}
cp --recursive "$runtime/src/runtime" "$work/runtime"
cd "$work/runtime"
commit=$(git -C "$runtime" rev-parse --short HEAD 2>/dev/null || echo unknown)
libraries=$work/squashfuse/.libs
clang -I"$work" -I"$work/squashfuse" -I/usr/include/fuse3 -std=gnu99 -Os -D_FILE_OFFSET_BITS=64 "-DGIT_COMMIT=\"$commit\"" \
    -T data_sections.ld -ffunction-sections -fdata-sections -Wl,--gc-sections -static runtime.c \
    "$libraries/libsquashfuse_ll.a" "$libraries/libsquashfuse.a" "$libraries/libfuseprivate.a" -lzstd -lz -lfuse3 -lpthread -ldl \
    -o runtime 2>"$work/log" || {
    tail "$work/log" >&2
    exit 1
}
strip runtime
printf 'AI\002' | dd of=runtime bs=1 count=3 seek=8 conv=notrunc status=none
install -D --mode=755 runtime "$out"
"$out" --appimage-version
