from __future__ import annotations

import click
from click.shell_completion import get_completion_class

_SHELLS = ("bash", "zsh", "fish")


@click.command("completion")
@click.argument("shell", type=click.Choice(_SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the script that completes verbs, options and the names of jobs.

    \b
    To have it in every shell, put one of these there:
      bash  ~/.bashrc                   eval "$(perdure completion bash)"
      zsh   ~/.zshrc                    eval "$(perdure completion zsh)"
      fish  ~/.config/fish/config.fish  perdure completion fish | source
    """
    complete = get_completion_class(shell)
    assert complete is not None
    click.echo(complete(context.find_root().command, {}, "perdure", "_PERDURE_COMPLETE").source())
