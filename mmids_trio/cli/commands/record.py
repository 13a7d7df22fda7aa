"""`record`: what `capture` was called before recordings of media."""

import click


@click.command(
    hidden=True, add_help_option=False, context_settings={"ignore_unknown_options": True, "allow_extra_args": True}
)
def record() -> None:
    """What `capture` was called before recordings of media; it must not look as if it made one."""
    raise click.UsageError("there is no command 'record': a tape of what comes into a server is made by 'capture'")
