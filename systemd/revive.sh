#!/bin/sh
# Starts every instance of the service again that is enabled and has failed for good; one stopped by hand is left alone.
set -eu

systemctl list-units --all --plain --no-legend --state=failed 'tremorscope.service' 'tremorscope@*.service' |
    while read -r unit _; do
        systemctl is-enabled --quiet "$unit" || continue
        echo "starting $unit again, which had failed for good"
        systemctl reset-failed "$unit"
        systemctl --no-block start "$unit"
    done
