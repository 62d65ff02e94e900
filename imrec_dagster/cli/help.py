"""Help of the commands: sections of a command group, and examples."""

from typing import Any

import click


def examples(*lines: str) -> str:
    """Return the end of a command's help, with a command line per line."""
    indented = "\n".join(f"  {line}" for line in lines)
    return f"\b\n{'Examples' if len(lines) > 1 else 'Example'}:\n{indented}"  # \b: click wraps no line of the paragraph


class SectionedGroup(click.Group):
    """A command group whose help lists the commands by section, in the order in which they were added."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.sections: dict[str, tuple[click.Command, ...]] = {}

    def add_section(self, title: str, *commands: click.Command) -> None:
        """Add commands to the group, under a title in its help."""
        self.sections[title] = commands
        for command in commands:
            self.add_command(command)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in the order of the help."""
        return [command.name or "" for commands in self.sections.values() for command in commands]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write a section of short helps per title."""
        width = max(map(len, self.list_commands(ctx)))  # one column of names in all sections
        for title, commands in self.sections.items():
            rows = [((command.name or "").ljust(width), command.get_short_help_str()) for command in commands]
            with formatter.section(title):
                formatter.write_dl(rows)
