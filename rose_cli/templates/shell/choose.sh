#!/bin/sh
# Choose the next angle from the flights so far: sh choose.sh METHOD LOWEST HIGHEST
#   bisection: the middle of the interval that must contain the solution, at first LOWEST to HIGHEST
#   sweep: even steps
# Prints the report of this iteration on its last line. Numbers have few digits, so that every awk gives the same.
set -eu
here=$ROSE_ITERATION
next=$((here + 1))
angle=$(cat "angle-$here.txt")
distance=$(sed -n 's/^landed at \(.*\) m$/\1/p' "flight-$here.txt")

if test "$here" = 0
then interval="$2 $3"
else interval=$(cat "interval-$here.txt")
fi

# Write to a temporary file first: a later task never finds half a file, even after a power failure.
echo "$interval" | awk -v method="$1" -v angle="$angle" -v distance="$distance" -v wanted="$WANTED" '{
    low = $1; high = $2
    if (distance < wanted) low = angle; else high = angle
    print low, high > "interval.unfinished"
    printf "%.6f\n", method == "sweep" ? angle + 2.5 : (low + high) / 2 > "angle.unfinished"
}'
mv interval.unfinished "interval-$next.txt"
mv angle.unfinished "angle-$next.txt"
echo "{\"angle\": $angle, \"distance\": $distance}"
