#!/bin/sh
# The old system's control, as people and scripts know it: controle_monitor.sh pausar|retomar|status
# Another console than 127.0.0.1:1101: ARIMONITOR_ADDRESS=HOST:PORT
set -eu

arimonitor=${ARIMONITOR:-arimonitor}
case ${1:-} in
    pausar) command=pause ;;
    retomar) command=resume ;;
    status) command=status ;;
    *)
        echo "usage: $0 pausar|retomar|status" >&2
        exit 2
        ;;
esac
exec "$arimonitor" ctl ${ARIMONITOR_ADDRESS:+--address "$ARIMONITOR_ADDRESS"} "$command"
