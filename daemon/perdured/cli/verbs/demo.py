from __future__ import annotations

import click


@click.command("demo", context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def command(arguments: tuple[str, ...]) -> int:
    """Train a real model on real text, crash it, preempt it, and show that nothing was lost."""
    from perdured.demo import main

    return main(list(arguments))
