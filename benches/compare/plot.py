"""A plot of the main figures as SVG, made by hand: bars on a logarithmic scale, readable on light and on dark pages."""

from math import ceil, floor, log10
from xml.sax.saxutils import escape

from report import number

COLOURS = ("#2f6fde", "#e07a1f", "#2a9d5c", "#a24bc4", "#c43d57")
WIDTH, LABEL_WIDTH, VALUE_WIDTH = 860, 330, 110
BAR, GAP, TOP = 15, 14, 78

STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2430 }
.title { font-size: 16px; font-weight: 600 } .axis { font-size: 11px; fill: #667 }
.page { fill: #ffffff } .grid { stroke: #d5d9e0 }
@media (prefers-color-scheme: dark) {
  text { fill: #e4e7ee } .axis { fill: #9aa3b2 } .page { fill: #14171d } .grid { stroke: #333a46 }
}
"""


def svg(names, rows, results, title):
    """One group of bars for each row that counts something a second."""
    rows = [row for row in rows if row.main.unit == "/s" and results[row.name]]
    values = [value.get(row.main.key) for row in rows for value in results[row.name].values()]
    values = [value for value in values if value]
    if not values:
        return None
    low, high = floor(log10(min(values))), ceil(log10(max(values)))
    high = max(high, low + 1)
    span = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    group = BAR * len(names) + GAP
    height = TOP + group * len(rows) + 30

    def across(value):
        return LABEL_WIDTH + span * (log10(value) - low) / (high - low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="8"/>',
        f'<text class="title" x="16" y="28">{escape(title)}</text>',
    ]
    for at, name in enumerate(names):
        x = 16 + at * 160
        parts.append(f'<rect x="{x}" y="42" width="12" height="12" rx="2" fill="{COLOURS[at % len(COLOURS)]}"/>')
        parts.append(f'<text x="{x + 18}" y="53">{escape(name)}</text>')
    for power in range(low, high + 1):
        x = across(10**power)
        parts.append(f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TOP - 6}" y2="{height - 26}"/>')
        parts.append(f'<text class="axis" x="{x:.1f}" y="{height - 10}" text-anchor="middle">{10**power:,}/s</text>')
    for at, row in enumerate(rows):
        y = TOP + at * group
        middle = y + BAR * len(names) / 2 + 4
        parts.append(f'<text x="{LABEL_WIDTH - 10}" y="{middle:.1f}" text-anchor="end">{escape(row.label)}</text>')
        for place, name in enumerate(names):
            value = results[row.name].get(name, {}).get(row.main.key)
            if not value:
                continue
            end, colour = across(value), COLOURS[place % len(COLOURS)]
            parts.append(
                f'<rect x="{LABEL_WIDTH}" y="{y + place * BAR}" width="{max(end - LABEL_WIDTH, 1):.1f}" '
                f'height="{BAR - 2}" rx="2" fill="{colour}"/>'
            )
            parts.append(
                f'<text class="axis" x="{end + 6:.1f}" y="{y + place * BAR + 11}">{number(value)}/s</text>'
            )
    parts.append("</svg>")
    return "\n".join(parts) + "\n"
