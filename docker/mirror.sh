#!/bin/sh
# The Debian mirror that this machine already uses, or Debian's own.
found=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
  grep -E '^(deb |URIs:)' | grep -oE 'https?://[^ ]+/debian/?( |$)' | head -n 1 | tr -d ' ')
echo "${found:-http://deb.debian.org/debian}"
