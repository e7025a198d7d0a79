#!/usr/bin/env bash
# Makes a fresh Debian or Ubuntu machine ready to build, run and test the workbench. Can be run again at any time:
# what is already there is left as it is.
set -euo pipefail

# Oldest Rust that builds the workspace; the same as rust-version in Cargo.toml.
rust_needed=1.95

packages=(
    build-essential      # the linker that cargo calls
    pkg-config           # build scripts of the X11 bindings ask it
    cmake                # builds CharLS, the C++ library that decodes JPEG-LS
    ca-certificates      # cargo fetches crates over https
    libvulkan1           # Vulkan loader
    mesa-vulkan-drivers  # Vulkan for Intel and AMD, and in software (lavapipe) for tests and machines without a GPU
    libx11-6 libx11-xcb1 libxcursor1 libxi6 libxrandr2 libxkbcommon0 libxkbcommon-x11-0 # windows on X11
    libwayland-client0   # windows on Wayland
    python3              # packaging/sbom.sh
    xdotool              # presses keys in the test of the real window
    xvfb                 # a display for `workbench demo` and for screenshots where there is none
)

install_packages() {
    local missing=() package
    for package in "${packages[@]}"; do
        if ! dpkg-query --show --showformat='${Status}' "$package" 2>/dev/null | grep --quiet 'ok installed'; then
            missing+=("$package")
        fi
    done
    if [ "${#missing[@]}" -eq 0 ]; then
        echo "setup: system packages are all there"
        return
    fi
    echo "setup: installing ${missing[*]}"
    local root=()
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "setup: sudo is missing; as root run: apt-get install ${missing[*]}" >&2
            exit 1
        fi
        root=(sudo)
    fi
    "${root[@]}" apt-get update --quiet
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install --yes --quiet --no-install-recommends "${missing[@]}"
}

check_rust() {
    if ! command -v cargo >/dev/null; then
        echo "setup: Rust is missing; install version $rust_needed or newer from https://rustup.rs and run this again" >&2
        exit 1
    fi
    local found
    found=$(cargo --version | cut --delimiter=' ' --fields=2)
    if [ "$(printf '%s\n%s\n' "$rust_needed" "$found" | sort --version-sort | head --lines=1)" != "$rust_needed" ]; then
        echo "setup: Rust $found is too old, $rust_needed or newer is needed; run: rustup update stable" >&2
        exit 1
    fi
    echo "setup: Rust $found"
}

case "$(uname -s)" in
    Linux)
        if command -v apt-get >/dev/null && command -v dpkg-query >/dev/null; then
            install_packages
        else
            echo "setup: this is no Debian or Ubuntu; install what these packages hold there: ${packages[*]}" >&2
        fi
        ;;
    Darwin) echo "setup: macOS needs Rust, the command line tools (xcode-select --install) and CMake (brew install cmake)" ;;
    *) echo "setup: this system is not known; Rust, a C++ compiler, CMake and a Vulkan or DirectX 12 driver are needed" >&2 ;;
esac
check_rust
