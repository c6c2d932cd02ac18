"""What a comparison found: medians, ratios, a Markdown table."""

from statistics import median

from rows import look_up


def medians(row, reports):
    """The median of each figure of a row over the rounds; figures that a broker has not are left out."""
    found = {}
    for figure in row.figures:
        values = [value for value in (look_up(report, figure.key) for report in reports) if value is not None]
        if values:
            found[figure.key] = median(values)
    return found


def spread(row, reports):
    """Lowest and highest value of the row's main figure."""
    values = [value for value in (look_up(report, row.main.key) for report in reports) if value is not None]
    return (min(values), max(values)) if values else None


def ratio(figure, ours, theirs):
    """How many times better ours is; None where that means nothing."""
    if not ours or not theirs:
        return None
    return ours / theirs if figure.more_is_better else theirs / ours


def number(value):
    if value is None:
        return "–"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}".rstrip("0").rstrip(".")


def markdown(names, ours, rows, results, heading):
    """The table. `results[row.name][broker]` are the medians; `ours` is the broker that the others are compared with."""
    peers = [name for name in names if name != ours]
    columns = ["workload", "figure", *names, *(f"ratio to {name}" for name in peers if ours)]
    lines = [heading, "", f"| {' | '.join(columns)} |", "|---|---|" + "--:|" * (len(columns) - 2)]
    for row in rows:
        for at, figure in enumerate(row.figures):
            values = [results[row.name].get(name, {}).get(figure.key) for name in names]
            if all(value is None for value in values):
                continue
            cells = [row.label if at == 0 else "", f"{figure.label}, {figure.unit}", *map(number, values)]
            for name in peers if ours else ():
                better = ratio(figure, results[row.name].get(ours, {}).get(figure.key), values[names.index(name)])
                cells.append("–" if better is None else f"{better:.1f}")
            lines.append(f"| {' | '.join(cells)} |")
    lines += ["", "A ratio above 1 says that ours is better: more of what is good, less of what costs."]
    return "\n".join(lines) + "\n"
