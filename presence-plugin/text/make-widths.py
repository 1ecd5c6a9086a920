#!/usr/bin/env python3
"""Makes widths.bin: how wide the characters of DejaVu Sans are, in 1/128 of the size of the text. Needs fonttools.

The file is committed: run this by hand where it should change. What it holds, and for which characters, is said in src/v1/badge/width.rs.
DejaVu Sans is as wide as Verdana, which it was made to go with; a badge names both.
"""
import pathlib
import sys

from fontTools.ttLib import TTFont

font = TTFont(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")
characters, metrics, unit = font.getBestCmap(), font["hmtx"], font["head"].unitsPerEm


def width(glyph):
    return min(255, round(metrics[glyph][0] * 128 / unit)) if glyph else 0


def alternates(feature):
    """The glyphs that a feature of the font puts in the place of others."""
    table, found = font["GSUB"].table, {}
    for record in table.FeatureList.FeatureRecord:
        if record.FeatureTag == feature:
            for lookup in record.Feature.LookupListIndex:
                for part in table.LookupList.Lookup[lookup].SubTable:
                    found.update(getattr(getattr(part, "ExtSubTable", part), "mapping", {}))
    return found


plain = [width(characters.get(code)) for code in [*range(0x20, 0x700), *range(0x2010, 0x2060), *range(0x20A0, 0x20C0)]]
joined = []
for feature in ("init", "medi", "fina"):
    forms = alternates(feature)
    joined += [width(forms.get(characters.get(code))) for code in range(0x620, 0x6D4)]
pathlib.Path(__file__).with_name("widths.bin").write_bytes(bytes(plain + joined))
