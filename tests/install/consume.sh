#!/bin/sh
# consume.sh BUILD SOURCE CC - the installed library serves others: by pkg-config, static and shared, and by CMake.
set -eu
build=$1 source=$2 cc=$3
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cmake --install "$build" --prefix "$room/prefix" >/dev/null
export PKG_CONFIG_PATH
PKG_CONFIG_PATH=$(dirname "$(find "$room/prefix" -name sunup.pc)")
# The prefix was chosen at install time; pkg-config is told of it as a packager would.
# shellcheck disable=SC2046
"$cc" "$source/examples/02_gradient.c" $(pkg-config --define-variable=prefix="$room/prefix" --cflags --libs sunup) -lm \
    -o "$room/by-pkg-config"
LD_LIBRARY_PATH=$(dirname "$(find "$room/prefix" -name libsunup.so)")
export LD_LIBRARY_PATH
"$room/by-pkg-config"
mkdir "$room/project"
cp "$source/examples/02_gradient.c" "$room/project/main.c"
cat >"$room/project/CMakeLists.txt" <<'TXT'
cmake_minimum_required(VERSION 3.22)
project(consumer LANGUAGES C)
find_package(sunup 0.1 REQUIRED)
add_executable(consumer main.c)
target_link_libraries(consumer PRIVATE sunup::sunup m)
TXT
cmake -G Ninja -S "$room/project" -B "$room/project/build" -DCMAKE_PREFIX_PATH="$room/prefix" -DCMAKE_C_COMPILER="$cc" >/dev/null
cmake --build "$room/project/build" >/dev/null
"$room/project/build/consumer"
"$room/prefix/bin/sunup" --version
