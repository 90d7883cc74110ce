"""Curves of a run as small SVG pictures, drawn by hand: numbers in, markup out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Curve = Sequence[tuple[float, float]]  # step, value

_WIDTH, _HEIGHT, _LEFT, _BOTTOM = 360, 150, 6, 16
# More points than pixels show nothing more.
_MOST = 300


def chart(title: str, curves: Mapping[str, Curve]) -> str:
    """A figure with one line for each of `curves`, by name; "" where none has a finite value.

    A value that is not finite breaks its line. Long curves are drawn at 300 of their points, the last one among them.
    """
    drawn = {name: _thinned([point for point in curve if _finite(point)]) for name, curve in curves.items()}
    drawn = {name: curve for name, curve in drawn.items() if curve}
    points = [point for curve in drawn.values() for point in curve]
    if not points:
        return ""
    (left, right), (low, high) = ((min(values), max(values)) for values in zip(*points, strict=True))

    def place(step: float, value: float) -> str:
        x = _LEFT + (_WIDTH - 2 * _LEFT) * ((step - left) / (right - left) if right > left else 0.5)
        y = _BOTTOM + (_HEIGHT - 2 * _BOTTOM) * ((high - value) / (high - low) if high > low else 0.5)
        return f"{x:.1f},{y:.1f}"

    lines, names = [], []
    for index, (name, curve) in enumerate(drawn.items()):
        at = " ".join(place(*point) for point in curve)
        kind = f"c{index % 6}"
        # A line of one point would not be seen.
        lines.append(f'<polyline class="{kind}" points="{at if len(curve) > 1 else f"{at} {at}"}"/>')
        names.append(f'<span class="{kind}">{escape(name)} <b>{number(curve[-1][1])}</b></span>')
    return (
        f'<figure><figcaption>{escape(title)}</figcaption><svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
        f'aria-label="{escape(title)}"><line x1="0" x2="{_WIDTH}" y1="{_BOTTOM}" y2="{_BOTTOM}"/>'
        f'<line x1="0" x2="{_WIDTH}" y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM}"/>{"".join(lines)}'
        f'<text x="2" y="{_BOTTOM - 4}">{number(high)}</text><text x="2" y="{_HEIGHT - 4}">{number(low)}</text>'
        f'<text x="{_WIDTH - 2}" y="{_HEIGHT - 4}" text-anchor="end">step {right:,.0f}</text></svg>'
        f"<p>{' '.join(names)}</p></figure>"
    )


def number(value: float) -> str:
    """Four digits that matter."""
    return f"{value:.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _finite(point: tuple[float, float]) -> bool:
    return all(map(math.isfinite, point))


def _thinned(curve: Curve) -> Curve:
    if len(curve) <= _MOST:
        return curve
    return [curve[round(index * (len(curve) - 1) / (_MOST - 1))] for index in range(_MOST)]


__all__ = ["Curve", "chart", "number"]
