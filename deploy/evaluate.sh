#!/bin/bash
# evaluate.sh JOB DATE [SECONDS]: evaluates a job for a day, and again where that helps.
#
# Only exit code 5 (storage, cluster) may end otherwise another time; the run's folder goes on where it was left. A file
# of its own, because what a RayJob is told to run is split into words on its way.
set -u
for try in 1 2 3; do
  [ "$try" -eq 1 ] || sleep "${3:-60}"
  ortbatch run "$1" --var "date=$2"
  code=$?
  [ "$code" -eq 5 ] || break
done
exit "$code"
