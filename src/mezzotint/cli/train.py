"""`mezzotint train`."""

from __future__ import annotations

from pathlib import Path

import typer


def train(
    recipe: str = typer.Argument(
        ...,
        help="A shipped recipe (see `mezzotint recipes`), a .toml file, or auto: a generator's, chosen for the pictures.",
    ),
    overrides: list[str] | None = typer.Argument(None, help="Changes, such as optimizer.generator.learning_rate=3e-4."),
    data: list[Path] | None = typer.Option(
        None, "--data", help="Folder, zip or IDX file of images, or of pairs in HR and LR; may be repeated."
    ),
    out: Path | None = typer.Option(None, "-o", "--out", help="The run folder to make."),
    validation: Path | None = typer.Option(None, "--validation", help="Images to choose the best weights on."),
    minutes: float | None = typer.Option(
        None, "--minutes", help="Time budget; the schedule is stretched to it.", min=0.01
    ),
    resume: bool = typer.Option(False, "--resume", help="Go on from the run folder's checkpoint."),
    rescue: bool = typer.Option(
        False, "--rescue", help="Let the doctor of GANs act: lower rates, raise penalties or augmentation, roll back."
    ),
    threads: int | None = typer.Option(None, "--threads", help="CPU threads; all by default.", min=1),
    dry_run: bool = typer.Option(False, "--dry-run", help="Check the recipe and print it, then stop; auto's as TOML."),
    as_json: bool = typer.Option(False, "--json", help="Print the card of the weights as JSON."),
) -> None:
    """Train networks by a recipe on your own pictures."""
    from mezzotint.cli._signals import interruptible
    from mezzotint.errors import UsageError
    from mezzotint.recipes import model
    from mezzotint.training.distributed import one_voice

    settings = overrides or []
    with one_voice() as speaks:
        # `auto` is the recipe that the run chooses for its pictures; any other one is checked before anything is read.
        checked: str | model.Recipe = recipe
        if recipe != "auto":
            checked = model.read(recipe, [*settings, *([f"minutes={minutes}"] if minutes else [])])
        if dry_run and isinstance(checked, model.Recipe):
            if speaks:
                print(checked.model_dump_json(indent=1))
            return
        if dry_run and data:
            from mezzotint.recipes import toml
            from mezzotint.training import auto

            choice, reasons = auto.choose(
                data, out, overrides=settings, minutes=minutes, resume=resume, threads=threads, quiet=as_json
            )
            print(toml.written(choice.model_dump(mode="json", exclude_unset=True), reasons), end="")
            return
        if not data or out is None:
            raise UsageError("training needs --data PATH (folder, zip or IDX file) and -o RUN (the folder to make)")
        from mezzotint.training.run import train as run

        # While it trains, the run itself takes signals and saves first; this is for the time before and after.
        with interruptible(f"--resume goes on with what {out} holds"):
            card = run(
                checked, list(data), out, overrides=settings, validation=validation, minutes=minutes, resume=resume,
                rescue=rescue, threads=threads, quiet=as_json,
            )  # fmt: skip
        if speaks:
            print(
                card.to_json() if as_json else f"{recipe} -> {out} ({card.steps} steps; try: mezzotint inspect {out})"
            )
