#!/bin/sh
# check_exports.sh PLUGIN.so [SANITIZER]: what the plugin shows to, and needs from, the process that loads it.
set -eu
plugin=$1
sanitizer=${2:-}
status=0

fail() {
  echo "FAILED: $1"
  status=1
}

expected='ncclNetPlugin_v10 ncclNetPlugin_v11 ncclNetPlugin_v12 ncclNetPlugin_v6 ncclNetPlugin_v8 ncclNetPlugin_v9 '
exported=$(nm -D --defined-only "$plugin" | awk '{print $3}' | LC_ALL=C sort | tr '\n' ' ')
[ "$exported" = "$expected" ] || fail "exports: $exported"

dynamic=$(readelf -dW "$plugin")
case $dynamic in *TEXTREL*) fail "text relocations" ;; esac
case $dynamic in *NODELETE*) ;; *) fail "not linked with -z nodelete" ;; esac

if [ -z "$sanitizer" ]; then
  needed=$(echo "$dynamic" | sed -n 's/.*(NEEDED).*\[\(.*\)\]/\1/p')
  for library in $needed; do
    case $library in
      libc.so.6 | libm.so.6 | libpthread.so.0 | libdl.so.2 | librt.so.1 | ld-linux*) ;;
      *) fail "needs $library, which a user's machine may lack" ;;
    esac
  done
  unresolved=$(LD_BIND_NOW=1 ldd -r "$plugin" 2>&1 | grep -i 'undefined\|not found' || true)
  [ -z "$unresolved" ] || fail "unresolved: $unresolved"
fi
[ $status -ne 0 ] || echo ok
exit $status
