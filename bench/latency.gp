# Draws the figures of one run of scripts/compare-latency as SVG, to standard output.
# gnuplot -c latency.gp TABLE TITLE SUBTITLE
# TABLE: values separated by tabs, below a line of names: operation, subject, p50 and p99 in µs.

table = ARG1
set encoding utf8
set datafile separator "\t"
set datafile columnheaders

# One look for each subject whatever else is drawn, so that plots can be compared: name, colour,
# point type. Shapes differ, too, for who does not tell the colours apart.
looks = "native:#000000:7 \
    passthrough_ll:#d55e00:5 passthrough_ll-1h:#c28100:4 passthrough_ll-perm:#8c510a:12 \
    passthrough_hp:#c2478f:13 passthrough_hp-1d:#882255:14 \
    shortfuse-off:#0072b2:8 shortfuse:#00805c:9 shortfuse-plain:#6a3d9a:10 \
    shortfuse-maps:#3a7d0a:11 shortfuse-opens:#3b5bdb:6"
# What 'looks' does not know is drawn, too.
look(subject) = known(subject) > 0 ? word(looks, known(subject)) : subject.":#666666:3"
known(subject) = sum [i = 1:words(looks)] (name(word(looks, i)) eq subject ? i : 0)
name(look) = look[1:strstrt(look, ":") - 1]
rest(look) = look[strstrt(look, ":") + 1:*]
colour(subject) = name(rest(look(subject)))
shape(subject) = int(rest(rest(look(subject))))

# place(LIST, NAME): which word of LIST it is; 0 if none.
place(list, name) = sum [i = 1:words(list)] (word(list, i) eq name ? i : 0)
with(list, name) = place(list, name) > 0 ? list : list." ".name

# Both in the table's order; stats is but the loop over its lines.
operations = ""
subjects = ""
stats table using (operations = with(operations, strcol(1)), \
    subjects = with(subjects, strcol(2)), $3) nooutput name "P50"
stats table using 4 nooutput name "P99"
# Whole decades, and at least one.
first = floor(log10(P50_min))
last = ceil(log10(P99_max))
if (last <= first) { last = first + 1 }

# Each operation has a band of height 1, which its subjects share, the first one on top.
step = 1.0 / (words(subjects) + 1)
y(operation, subject) = place(operations, operation) - 0.5 + step * place(subjects, subject)

# 15 pixels for each mark, and room for title, axis and legend.
height = words(operations) * (words(subjects) + 1) * 15 + 150
legend = words(subjects) * 24 + 160
# The white background is drawn: on a dark page black text would be lost.
set terminal svg size 1000, (height > legend ? height : legend) noenhanced \
    font "sans-serif,14" background rgb "white" name "latency"
set title ARG2."\n".ARG3

set logscale x 10
set xrange [10.0 ** first:10.0 ** last]
set xlabel "µs a call"
# All digits: 1000000 rather than 1e+06.
set format x "%.10g"
set yrange [words(operations) + 0.5:0.5]
# These words in place of numbers.
set ytics () scale 0
set for [i = 1:words(operations)] ytics add (word(operations, i) i)
set grid xtics mxtics lt 1 lw 1 lc rgb "#b0b0b0", lt 1 lw 0.5 lc rgb "#dddddd"
do for [i = 1:words(operations):2] {
    set object rectangle from graph 0, first i - 0.5 to graph 1, first i + 0.5 \
        fillcolor rgb "#f3f3f3" fillstyle solid noborder behind
}
set key outside right top Left reverse samplen 2 spacing 1.1
# No caps on the lines to p99: they would look like marks.
set bars 0

plot for [subject in subjects] table \
    using (strcol(2) eq subject ? $3 : NaN):(y(strcol(1), subject)):3:4 \
    with xerrorbars linecolor rgb colour(subject) linewidth 1.5 \
    pointtype shape(subject) pointsize 0.9 title subject
