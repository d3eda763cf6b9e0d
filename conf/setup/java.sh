#!/usr/bin/env bash
# Makes sure that Spark finds Java 17 or newer, in JAVA_HOME or on the PATH.
# Root on Debian or Ubuntu gets it installed; everyone else is told in one sentence what to do.
set -euo pipefail

readonly NEEDED=17

java_is_new_enough() {
    local java=${JAVA_HOME:+$JAVA_HOME/bin/}java version
    version=$("$java" -version 2>&1) || return 1
    [[ $version =~ version\ \"([0-9]+) ]] && ((BASH_REMATCH[1] >= NEEDED))
}

stop() {
    echo "$1" >&2
    exit 2
}

java_is_new_enough && exit 0

[[ -z ${JAVA_HOME:-} ]] ||
    stop "JAVA_HOME is $JAVA_HOME, which holds no Java $NEEDED or newer: point it at one, or unset it."
[[ $(id -u) -eq 0 ]] && command -v apt-get >/dev/null ||
    stop "Java $NEEDED or newer is needed: install a JRE (Debian and Ubuntu: openjdk-$NEEDED-jre-headless) or set JAVA_HOME."

echo "Installing Java ..."
install() { apt-get install -qq -y --no-install-recommends "$1" >/dev/null; }
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
install "openjdk-$NEEDED-jre-headless" || install default-jre-headless # newer releases carry only a newer Java
java_is_new_enough || stop "A JRE was installed, but the java on the PATH is older than $NEEDED: set JAVA_HOME to the new one."
