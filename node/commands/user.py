"""`condyle user`: who may sign in to the page with a name and a password."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import typer
from rich.table import Table

from dicom_sr.words import counted
from node.access.identity import Role
from node.access.users import NotDone, Users, folded
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console, print_whole
from node.config import read
from node.config.secret_files import read_secret
from node.database.connection import opening_errors
from node.listings import listing
from node.listings.people import UserListing

STANDARD_INPUT = Path("-")


def add(name: str, role: Role, config: Path, *, sees_patients: bool, password_file: Path | None) -> int:
    """Add a user; the first may come before the node's first start.

    Parameters
    ----------
    password_file
        Holds the password; ``-`` is standard input; None asks for it twice.
    """
    from node.run.job_engine import set_up

    configuration = read(config)
    with opening_errors(configuration):
        database = set_up(configuration)
    users = Users(database)
    is_first = not users.any()
    if users.named(name) is not None:
        return _complain(f"{folded(name)}: there is such a user already")
    if is_first and role != Role.ADMINISTRATOR and configuration.status.openid is None:
        first = "The first user should be an administrator, as from now on everybody signs in"
        return _complain(f"{first}: condyle user add {folded(name)} --role administrator")
    password = _password(password_file)
    if password is None:
        return USAGE
    with _told() as told:
        users.add(name, password, role, operator(), sees_patients=sees_patients)
        console().print(f"{folded(name)} may sign in as {role}", markup=False)
        if is_first:
            console().print("From now on everybody signs in, at this machine too (docs/sign-in.md)", markup=False)
    return told()


def list_users(config: Path, *, as_json: bool) -> int:
    """Print all users."""
    _, database = opened(config)
    rows, out = Users(database).all(), console()
    if as_json:
        out.print_json(listing.as_json([UserListing.model_validate(row) for row in rows]))
        return OK
    table = Table(box=None, pad_edge=False)
    for heading in ("Name", "Role", "Patients", "State", "Added", "Last sign-in"):
        table.add_column(heading, no_wrap=True)
    for row in rows:
        last = f"{row.last_sign_in.astimezone():%d %b %Y %H:%M}" if row.last_sign_in else "never"
        table.add_row(
            row.name,
            row.role,
            "sees them" if row.sees_patients else "",
            "disabled" if row.disabled else "",
            f"{row.created.astimezone():%d %b %Y}",
            last,
        )
    print_whole(out, table)
    return OK


def set_role(name: str, role: Role, config: Path, *, sees_patients: bool | None) -> int:
    """Give a user another role; `sees_patients` None leaves that as it is."""
    users = _users(config)
    with _told() as told:
        ended = users.set_role(name, role, operator(), sees_patients=sees_patients)
        console().print(f"{folded(name)} is {role}{_and_ended(ended)}", markup=False)
    return told()


def set_password(name: str, config: Path, *, password_file: Path | None) -> int:
    """Give a user another password."""
    users = _users(config)
    if users.named(name) is None:
        return _complain(f"{name}: there is no such user; condyle user list shows them")
    password = _password(password_file)
    if password is None:
        return USAGE
    with _told() as told:
        ended = users.set_password(name, password, operator())
        console().print(f"{folded(name)} has another password{_and_ended(ended)}", markup=False)
    return told()


def disable(name: str, config: Path) -> int:
    """Have a user not sign in any more."""
    users = _users(config)
    with _told() as told:
        ended = users.disable(name, operator())
        console().print(f"{folded(name)} may not sign in any more{_and_ended(ended)}", markup=False)
        _name_tokens(users, name)
    return told()


def enable(name: str, config: Path) -> int:
    """Have a user sign in again."""
    users = _users(config)
    with _told() as told:
        users.enable(name, operator())
        console().print(f"{folded(name)} may sign in", markup=False)
    return told()


def remove(name: str, config: Path) -> int:
    """Remove a user."""
    users = _users(config)
    with _told() as told:
        ended = users.remove(name, operator())
        console().print(f"{folded(name)} is removed{_and_ended(ended)}", markup=False)
        _name_tokens(users, name)
        if not users.any():
            console(error=True).print("That was the last user: nobody signs in with a name and a password now")
    return told()


def _users(config: Path) -> Users:
    return Users(opened(config)[1])


def _password(file: Path | None) -> str | None:
    """The password; None where it cannot be asked for, which is told.

    Raises
    ------
    ConfigurationError
        If the file cannot be read or is empty.
    """
    if file == STANDARD_INPUT:
        return sys.stdin.readline().rstrip("\r\n")
    if file is not None:
        return read_secret("--password-file", file)
    if not sys.stdin.isatty():
        console(error=True).print("There is no terminal to ask for the password: say --password-file FILE, or - for it")
        return None
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt="The same again"))


@contextmanager
def _told() -> Iterator[Callable[[], int]]:
    """Tells why something is not done; gives what says the exit code afterwards."""
    code = [OK]
    try:
        yield lambda: code[0]
    except NotDone as error:
        code[0] = _complain(str(error))


def _complain(sentence: str) -> int:
    console(error=True).print(sentence, markup=False)
    return NOT_RIGHT


def _and_ended(sessions: int) -> str:
    return f"; {counted(sessions, 'session')} ended" if sessions else ""


def _name_tokens(users: Users, name: str) -> None:
    if tokens := users.live_tokens(name):
        them = "it" if tokens == 1 else "them"
        sentence = f"{counted(tokens, 'API token')} of {folded(name)} still good: condyle token revoke ends {them}"
        console(error=True).print(sentence, style="yellow", markup=False)
