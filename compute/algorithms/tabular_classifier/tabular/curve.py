"""The training curve as a picture."""

from __future__ import annotations

import io


def draw(curve: list[tuple[float, float]], best: int) -> bytes:
    """A PNG of the losses after each epoch. curve: training and validation loss. best: the epoch kept, from 1."""
    # Imported late: a second and more, which only a finished training should cost.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4.0), dpi=100, layout="tight")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    epochs = range(1, len(curve) + 1)
    axes.plot(epochs, [loss for loss, _ in curve], label="training", marker=".")
    axes.plot(epochs, [stop for _, stop in curve], label="validation", marker=".")
    axes.axvline(best, color="grey", linestyle=":", label="kept")
    axes.set_xlabel("epoch")
    axes.set_ylabel("class-weighted cross entropy (nats)")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend()
    target = io.BytesIO()
    figure.savefig(target, format="png", metadata={"Software": None})
    return target.getvalue()
