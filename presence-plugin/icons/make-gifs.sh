#!/bin/sh
# Makes the GIFs of this folder from the SVGs. Needs rsvg-convert (Debian: librsvg2-bin) and ImageMagick's convert.
# The GIFs are committed: run this by hand after changing a drawing.
#
# A GIF knows a pixel as either there or not. The drawings bring a white edge of their own, so the hard cut falls between
# that edge and the page: smooth on a light page, a thin white line on a dark one.
#
# The GIF of forbidden is that of offline: as an image, a refusal looks like somebody who is offline.
set -eu
cd "$(dirname "$0")"

for drawing in available.svg chat.svg away.svg xa.svg dnd.svg offline.svg; do
    rsvg-convert --width=16 --height=16 --format=png "$drawing" |
        convert png:- -channel Alpha -threshold 50% +channel -dither None -colors 31 -strip "GIF:${drawing%.svg}.gif"
done

cp offline.gif forbidden.gif
