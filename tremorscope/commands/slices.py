"""The command ``tremorscope slices``."""

from __future__ import annotations

from pathlib import Path

import click
from tqdm import tqdm


@click.command()
@click.argument("clip", type=click.Path(path_type=Path))
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option(
    "-a",
    "--amplification",
    type=click.FloatRange(min=1),
    default=20.0,
    show_default=True,
    help="Magnified over true displacement.",
)
@click.option("--column", "column_px", type=click.IntRange(min=0), help="Show the line of pixels at this x.")
@click.option("--row", "row_px", type=click.IntRange(min=0), help="Show the line of pixels at this y.")
@click.option(
    "--frames", type=click.IntRange(min=2), default=150, show_default=True, help="The first so many."
)
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), required=True, help="Picture to write (PNG)."
)
def slices(
    clip: Path,
    models: tuple[str, ...],
    amplification: float,
    column_px: int | None,
    row_px: int | None,
    frames: int,
    output: Path,
) -> None:
    """Magnify a recorded CLIP by several methods and show one line of its pixels over time for each, side by side.

    MODEL is as for `tremorscope evaluate`; unmagnified is the clip as it is. The reference is the first frame. Without
    --column or --row it is the column in which most changes.
    """
    from tremorscope.export.studies.runners import open_magnifier
    from tremorscope.export.studies.slices import draw_slices, liveliest_column_px, read_strip

    if column_px is not None and row_px is not None:
        raise click.UsageError("--column and --row are one line: name one of them")
    if column_px is None and row_px is None:
        column_px = liveliest_column_px(clip, frames)
        click.echo(f"column: {column_px}")
    opened = dict(open_magnifier(model) for model in dict.fromkeys(models))
    strip = read_strip(clip, frames, column_px, row_px)
    found = {}
    with tqdm(total=len(opened) * len(strip.frames), unit="frame", desc="slices", disable=None) as progress:
        for title, magnify in opened.items():
            lines = []
            for frame in strip.frames:
                lines.append(strip.line(magnify(frame, strip.frames[0], amplification)))
                progress.update()
            found[title] = lines
    draw_slices(found, clip.name, strip, amplification, output)
    click.echo(f"written: {output}")
