"""The command `completion`: what a shell needs to complete commands, options and paths of ortbatch."""

from __future__ import annotations

import click

from ortbatch.errors import OrtbatchError
from ortbatch.terminal import put

PROGRAM, VARIABLE = "ortbatch", "_ORTBATCH_COMPLETE"


@click.command("completion")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the completion script of a SHELL.

    bash: `eval "$(ortbatch completion bash)"` in ~/.bashrc; zsh: the same with zsh in ~/.zshrc; fish:
    `ortbatch completion fish > ~/.config/fish/completions/ortbatch.fish`.
    """
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    if kind is None:
        raise OrtbatchError(f"click does not complete in {shell}; install click 8.1 or newer")
    put(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source() + "\n")
