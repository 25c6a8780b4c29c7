"""click: the program's name is found from __main__; standalone mode ends with sys.exit."""
# needs: click
# run: python click_command.py --count 2 Ada
# run: python click_command.py --help
# run: python click_command.py --count x Ada
# run: python click_command.py --abort Ada

import click


@click.command()
@click.option("--count", default=1, help="number of greetings")
@click.option("--abort", is_flag=True)
@click.argument("name")
def hello(count: int, abort: bool, name: str) -> None:
    """Greet NAME."""
    if abort:
        raise click.Abort
    for _ in range(count):
        click.echo(f"Hello {name} ü")
    click.echo("to standard error", err=True)


if __name__ == "__main__":
    hello()
