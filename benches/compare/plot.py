"""The picture: what each scenario costs with each client, in processor seconds per GiB."""

import html

from figures import spread

INK, PAPER, DIM = "#d8dee9", "#20242c", "#8f9bb3"
OURS, FLOOR, OTHER, WHISKER = "#88c0a0", "#5e6a80", "#81a1c1", "#eceff4"
FONT = "'DejaVu Sans', Verdana, Helvetica, sans-serif"

# In pixels.
WIDTH, COLUMNS, BAR, GAP, LABEL, MARGIN = 960, 2, 16, 8, 110, 24


def draw(results, title):
    """The picture, as SVG."""
    panels = [(name, rows(results, name)) for name in results.scenarios]
    panels = [(name, bars) for name, bars in panels if bars]
    height, shapes = 64, []
    for at in range(0, len(panels), COLUMNS):
        line = panels[at : at + COLUMNS]
        for column, (name, bars) in enumerate(line):
            left = MARGIN + column * (WIDTH - MARGIN) / COLUMNS
            shapes += panel(name, bars, left, height)
        height += 52 + max(len(bars) for _, bars in line) * (BAR + GAP)
    return f"""<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" \
width="{WIDTH}" height="{height}" role="img" aria-label="{html.escape(title)}">
<rect width="100%" height="100%" rx="8" fill="{PAPER}"/>
<g font-family="{FONT}" font-size="12">
{text(MARGIN, 30, title, INK, 16)}
{text(MARGIN, 48, "bars are medians, lines go from the least to the most; less is better", DIM, 12)}
{chr(10).join(shapes)}
</g>
</svg>
"""


def rows(results, scenario):
    """Contenders and their figures, the cheapest first; those that failed are left out."""
    bars = []
    for name in results.scenarios[scenario]:
        values = results.values(scenario, name, "cpu_s_per_gib")
        values = [value for value in values if value is not None]
        if values:
            bars.append((name, results.median(scenario, name, "cpu_s_per_gib"), values))
    return sorted(bars, key=lambda bar: bar[1])


def panel(name, bars, left, top):
    room = (WIDTH - MARGIN) / COLUMNS - LABEL - 110
    scale = room / max(max(values) for _, _, values in bars)
    yield text(left, top + 20, name, INK, 14)
    for number, (client, middle, values) in enumerate(bars):
        y = top + 32 + number * (BAR + GAP)
        colour = OURS if client.startswith("ripcurrent") else FLOOR if client == "floor" else OTHER
        x, centre = left + LABEL, y + BAR / 2
        yield text(left, y + 12, client, INK if colour == OURS else DIM, 12)
        yield (
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(middle * scale, 1):.1f}" height="{BAR}"'
            f' rx="2" fill="{colour}"><title>{html.escape(client)}: {spread(values, "{:.3f}")}'
            f" CPU-s/GiB</title></rect>"
        )
        yield (
            f'<line x1="{x + min(values) * scale:.1f}" x2="{x + max(values) * scale:.1f}"'
            f' y1="{centre:.1f}" y2="{centre:.1f}" stroke="{WHISKER}"/>'
        )
        yield text(x + max(values) * scale + 6, y + 12, f"{middle:.2f}", INK, 12)


def text(x, y, words, colour, size):
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" fill="{colour}" font-size="{size}">'
        f"{html.escape(words)}</text>"
    )
