"""`completion`: has a shell complete commands and options."""

import click
from click.shell_completion import get_completion_class

PROGRAM = "mmids_trio"
"""The name under which pip installs the program: shells complete by the first word of a line."""

VARIABLE = "_MMIDS_TRIO_COMPLETE"
"""In which the shell asks; click makes it of the program's name."""


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print what makes a shell complete the commands and options of mmids_trio.

    bash: source <(mmids_trio completion bash) in ~/.bashrc; zsh: the same with zsh in ~/.zshrc; fish: mmids_trio
    completion fish > ~/.config/fish/completions/mmids_trio.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None, "click has these three"
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())
